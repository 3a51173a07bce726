"""The released import path of the trunk's small parts."""

import torch.nn.functional as F
from torch import Tensor

from sam2.modeling.hiera import PatchEmbed, cut_windows, join_windows

__all__ = ["PatchEmbed", "window_partition", "window_unpartition"]


def window_partition(x: Tensor, window_size: int) -> tuple[Tensor, tuple[int, int]]:
    """Return maps (B, H, W, C) as windows (B * windows, side, side, C), and the sides with what was filled with zeros."""
    below, beside = -x.shape[1] % window_size, -x.shape[2] % window_size
    padded = F.pad(x, (0, 0, 0, beside, 0, below))
    return cut_windows(padded, window_size), (padded.shape[1], padded.shape[2])


def window_unpartition(windows: Tensor, window_size: int, pad_hw: tuple[int, int], hw: tuple[int, int]) -> Tensor:
    """Put windows back into maps (B, *hw, C); `pad_hw` follows from the rest."""
    if windows.shape[1] != window_size:
        raise ValueError(f"window_size={window_size}: the windows are {windows.shape[1]} wide")
    return join_windows(windows, hw)
