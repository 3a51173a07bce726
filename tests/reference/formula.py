"""Weights, an image and prompts by formula: whoever follows it gets the same numbers, with no file passing between.

The `.npz` files beside this one hold what the released SAM 2 (facebookresearch/sam2 at 2b90b9f, float32, one CPU
thread) answered to them, thinned by `thin`.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KEPT = 500
# the released code answered with a nano of which a block has windows, that are padded at these sides
WINDOWED = ("++model.image_encoder.trunk.global_att_blocks=[4,6]", "++model.image_encoder.trunk.window_spec=[8,4,16,8]")


def noise(name: str, *shape: int) -> Tensor:
    """Return even float32 noise of variance 1 that depends on the name and the shape alone (RandomState never changes)."""
    share = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape).astype(np.float32)
    return (torch.from_numpy(share) - 0.5) * math.sqrt(12)


def formula_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights for each name of a state dict that keep activations of ordinary size."""
    return {name: _weight(name, tuple(tensor.shape)) for name, tensor in state_dict.items()}


def _weight(name: str, shape: tuple[int, ...]) -> Tensor:
    values = noise(name, *shape)
    if name.endswith("gaussian_matrix"):
        return values
    if name.endswith("pred_obj_score_head.layers.2.bias"):
        return values + 0.5
    if name.endswith("weight") and len(shape) > 1:
        return values / math.sqrt(math.prod(shape[1:]))
    if name.endswith(("weight", "gamma")):
        return 1 + 0.2 * values
    return 0.2 * values


@dataclass(frozen=True)
class Questions:
    """What is asked of a model of side S: B = 2 objects, three memories, four pointers."""

    image_13SS: Tensor
    points_xy_232: Tensor
    labels_23: Tensor
    mask_logits_21HW: Tensor
    memory_logits_21SS: Tensor
    object_scores_21: Tensor
    mask_21SS: Tensor
    memories_2Dhw: list[Tensor]
    pointers_2C: list[Tensor]


def questions(side: int, *, hidden: int, memory: int) -> Questions:
    """Return the questions for a model of that side and those widths."""
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    waves = torch.stack([torch.sin(9 * x + 4 * y + k) + 0.3 * torch.cos(40 * x * y - k) for k in range(3)])
    logits = 6 * torch.sin(7 * x + 2) * torch.cos(5 * y)
    mask = ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.05).float()
    return Questions(
        image_13SS=waves[None],
        points_xy_232=torch.tensor([[[0.3, 0.6], [0.7, 0.2], [0.0, 0.0]], [[0.2, 0.1], [0.8, 0.9], [0.5, 0.5]]]) * side,
        labels_23=torch.tensor([[1, 0, -1], [2, 3, 1]], dtype=torch.int32),
        mask_logits_21HW=torch.stack([logits, -logits])[:, None, ::4, ::4].contiguous(),
        memory_logits_21SS=torch.stack([logits, -logits])[:, None],
        object_scores_21=torch.tensor([[2.0], [-0.5]]),
        mask_21SS=torch.stack([mask, torch.zeros_like(mask)])[:, None],
        memories_2Dhw=[noise(f"memory {k}", 2, memory, side // 16, side // 16).bfloat16() for k in range(3)],
        pointers_2C=[noise(f"pointer {k}", 2, hidden) for k in range(4)],
    )


def thin(answer: Tensor) -> np.ndarray:
    """Return at most about 500 evenly spread values of a tensor as float32."""
    flat = answer.detach().float().flatten()
    return flat[:: max(1, flat.numel() // KEPT)].numpy()
