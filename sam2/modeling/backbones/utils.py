"""The trunk's patches, and maps cut into windows and put together again.

Legend: B images, H, W map height and width, C channels.
"""

import torch.nn.functional as F
from torch import Tensor, nn


def cut_windows(x_BHWC: Tensor, side: int) -> Tensor:
    """Cut maps whose sides are multiples of `side` into windows (B * windows, side, side, C)."""
    batch, height, width, channels = x_BHWC.shape
    cut = x_BHWC.view(batch, height // side, side, width // side, side, channels).transpose(2, 3)
    return cut.reshape(-1, side, side, channels)


def join_windows(windows: Tensor, hw: tuple[int, int]) -> Tensor:
    """Put windows back into maps (B, *hw, C), dropping what sticks out of the map."""
    side, (height, width) = windows.shape[1], hw
    rows, columns = -(-height // side), -(-width // side)
    joined = windows.view(-1, rows, columns, side, side, windows.shape[-1]).transpose(2, 3)
    return joined.reshape(-1, rows * side, columns * side, windows.shape[-1])[:, :height, :width]


class PatchEmbed(nn.Module):
    """The image as overlapping patches, one for every 4x4 pixels."""

    def __init__(
        self,
        kernel_size: tuple[int, ...] = (7, 7),
        stride: tuple[int, ...] = (4, 4),
        padding: tuple[int, ...] = (3, 3),
        in_chans: int = 3,
        embed_dim: int = 768,
    ) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=kernel_size, stride=stride, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, H, W, C)."""
        return self.proj(x).permute(0, 2, 3, 1)


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
