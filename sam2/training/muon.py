"""Muon: a matrix moves by its momentum with all singular values made alike.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers"; the size of a step is AdamW's (Liu et al. 2025, "Muon is
scalable for LLM training"). torch has had a Muon since 2.9 that multiplies in bfloat16, which a processor without a unit
for it does 30 times as slowly as float32; this one stays in the gradient's own type.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)     # a x + b x^3 + c x^5, applied to singular values: steep at 0, near 1 soon
ROUNDS = 5
LEAST_NORM = 1e-7
RMS_OF_ADAMW = 0.2                      # what an element of AdamW's step is about, for a learning rate of 1


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
    found = matrix.T if tall else matrix
    found = found / found.norm().clamp(min=LEAST_NORM)
    for _ in range(ROUNDS):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.T if tall else found
