"""What moves the weights: AdamW, or Muon for matrices with AdamW for the rest; one learning rate serves both."""

import math
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from sam2.training.muon import Muon
from sam2.training.recipe import Recipe, Stage

# heads and tables of a few rows each, where a step that treats all directions alike makes no sense
NO_MATRICES = ("embed", "token", "tpos", "no_", "iou_prediction_head", "pred_obj_score_head")


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
