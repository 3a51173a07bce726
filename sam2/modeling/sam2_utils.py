"""The released import path of small parts: layers, position tables, the choice of conditioning frames.

The samplers of training clicks are not here; `sam2.training.clicks` has its own.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from sam2.modeling.layers import MLP, DropPath, LayerNorm2d
from sam2.modeling.memory_attention import ACTIVATIONS
from sam2.modeling.position_encoding import sine_of_offsets
from sam2.tracking.memory_bank import closest_conditioning

__all__ = [
    "MLP", "DropPath", "LayerNorm2d", "get_1d_sine_pe", "get_activation_fn", "get_clones", "select_closest_cond_frames",
]  # fmt: skip


def get_1d_sine_pe(pos_inds: Tensor, dim: int, temperature: float = 10000) -> Tensor:
    """Return the (..., dim) sine encoding of scalar positions: all sines, then all cosines."""
    return sine_of_offsets(pos_inds, dim, temperature)


def select_closest_cond_frames(
    frame_idx: int, cond_frame_outputs: Mapping[int, Any], max_cond_frame_num: int
) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return at most so many conditioning frames (-1: all) by nearness, and those that were left out."""
    if max_cond_frame_num in (0, 1) and len(cond_frame_outputs) > max_cond_frame_num:
        raise ValueError(f"max_cond_frame_num={max_cond_frame_num}: expected -1, or 2 and more")
    chosen = closest_conditioning(cond_frame_outputs, frame_idx, max_cond_frame_num)
    return chosen, {t: answer for t, answer in cond_frame_outputs.items() if t not in chosen}


def get_activation_fn(activation: str) -> Callable[[Tensor], Tensor]:
    """Return the function that a name stands for; RuntimeError for another name."""
    if activation not in ACTIVATIONS:
        raise RuntimeError(f"activation={activation!r}: expected one of {list(ACTIVATIONS)}")
    return ACTIVATIONS[activation]


def get_clones(module: nn.Module, N: int) -> nn.ModuleList:
    """Return a list of copies that share nothing."""
    return nn.ModuleList(deepcopy(module) for _ in range(N))
