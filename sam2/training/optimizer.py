"""What moves the weights: AdamW, or Muon for matrices with AdamW for the rest; one learning rate serves both.

Muon moves a matrix by its momentum with all singular values made alike. Source: Jordan et al. 2024, "Muon: An optimizer
for hidden layers"; the size of a step is AdamW's (Liu et al. 2025, "Muon is scalable for LLM training"). torch has had a
Muon since 2.9 that multiplies in bfloat16, which a processor without a unit for it does 30 times as slowly as float32;
this one stays in the gradient's own type.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from sam2.training.recipe import Recipe, Stage

# heads and tables of a few rows each, where a step that treats all directions alike makes no sense
NO_MATRICES = ("embed", "token", "tpos", "no_", "iou_prediction_head", "pred_obj_score_head")

MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)     # a x + b x^3 + c x^5, applied to singular values: steep at 0, near 1 soon
ROUNDS = 5
LEAST_NORM = 1e-7
RMS_OF_ADAMW = 0.2                      # what an element of AdamW's step is about, for a learning rate of 1


class Optimizers:
    """One optimizer or two, moved together."""

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        groups = _groups(recipe, network)
        self.parts: list[Optimizer] = [AdamW(groups["adamw"], lr=recipe.stages[0].learning_rate, betas=(0.9, 0.999))]
        if "muon" in groups:
            self.parts.append(Muon(groups["muon"], lr=recipe.stages[0].learning_rate))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def set_rate(self, rate: float) -> None:
        """Give every group its share of a learning rate."""
        for group in self.param_groups:
            group["lr"] = rate * group["share"]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, held: list[dict[str, Any]]) -> None:
        for part, state in zip(self.parts, held, strict=True):
            part.load_state_dict(state)


def learning_rate(stage: Stage, place: int) -> float:
    """Return the rate of a stage's step: a linear rise, then half a cosine."""
    if place < stage.warmup:
        return stage.learning_rate * (place + 1) / stage.warmup
    along = (place - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.learning_rate * (stage.last_share + (1 - stage.last_share) * 0.5 * (1 + math.cos(math.pi * along)))


def _groups(recipe: Recipe, network: nn.Module) -> dict[str, list[dict[str, Any]]]:
    """Sort parameters: vectors and embeddings do not decay, and the image encoder has a rate of its own."""
    sorted_: dict[str, dict[tuple[bool, bool], list[nn.Parameter]]] = {"adamw": {}}
    for name, parameter in network.named_parameters():
        decays = parameter.ndim > 1 and "embed" not in name and "token" not in name
        is_matrix = parameter.ndim == 2 and not any(part in name for part in NO_MATRICES)
        kind = "muon" if recipe.optimizer == "muon" and is_matrix else "adamw"
        sorted_.setdefault(kind, {}).setdefault((name.startswith("image_encoder"), decays), []).append(parameter)
    return {kind: [_group(recipe, key, held) for key, held in sorted(groups.items())] for kind, groups in sorted_.items()}


def _group(recipe: Recipe, key: tuple[bool, bool], parameters: list[nn.Parameter]) -> dict[str, Any]:
    in_encoder, decays = key
    return {
        "params": parameters,
        "share": recipe.encoder_share if in_encoder else 1.0,
        "weight_decay": recipe.weight_decay if decays else 0.0,
    }


class Muon(Optimizer):
    """For matrices alone; `params` are parameters or groups of them, each with `lr` and `weight_decay` of its own."""

    def __init__(self, params: Iterable[Any], *, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.ndim != 2]
        if shapes:
            raise ValueError(f"params holds tensors of shapes {shapes}: expected matrices")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                momentum = state["momentum_buffer"]
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))    # Nesterov: one step ahead
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * RMS_OF_ADAMW * math.sqrt(max(matrix.shape)))


def orthogonal(matrix: Tensor) -> Tensor:
    """Return the matrix with its singular values between about 0.7 and 1.2, by Newton-Schulz rounds."""
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    estimate = matrix.T if tall else matrix
    estimate = estimate / estimate.norm().clamp(min=LEAST_NORM)
    for _ in range(ROUNDS):
        gram = estimate @ estimate.T
        estimate = torch.addmm(estimate, torch.addmm(gram, gram, gram, beta=b, alpha=c), estimate, beta=a)
    return estimate.T if tall else estimate
