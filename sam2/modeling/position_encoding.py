"""Where a token is: sine tables, Fourier features of points, rotations. Tables depend on sizes alone.

Legend: h, w map height and width, D channels, N tokens, P points.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from sam2.modeling.layers import Derived

BASE = 10000.0


def _sine_divisors(count: int, device: torch.device) -> Tensor:
    """Return `count` divisors in pairs of equals, from 1 to almost BASE (Vaswani et al. 2017, section 3.5)."""
    index = torch.arange(count, dtype=torch.float32, device=device)
    return BASE ** (2 * (index // 2) / count)


@lru_cache(maxsize=16)
def sine_map(side: int, dim: int, device: torch.device) -> Tensor:
    """Return the (1, dim, side, side) sine encoding of a map: the first half of the channels says y, the second x."""
    with torch.inference_mode(False), torch.no_grad():
        place = torch.arange(1, side + 1, dtype=torch.float32, device=device)
        angles = (place / (side + 1e-6) * (2 * math.pi))[:, None] / _sine_divisors(dim // 2, device)
        line = torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=2).flatten(1)
        rows = line[:, None].expand(side, side, -1)
        return torch.cat((rows, rows.transpose(0, 1)), dim=2).permute(2, 0, 1)[None].contiguous()


def sine_of_offsets(offsets: Tensor, dim: int) -> Tensor:
    """Return the (..., dim) sine encoding of scalar positions: all sines, then all cosines."""
    angles = offsets.unsqueeze(-1) / _sine_divisors(dim // 2, offsets.device)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


@lru_cache(maxsize=8)
def axial_rotations(side: int, dim: int, device: torch.device) -> Tensor:
    """Return complex (side * side, dim / 2) rotations: the first half of the pairs turns with x, the second with y.

    Source: Heo et al. 2024, "Rotary Position Embedding for Vision Transformer", axial frequencies.
    """
    with torch.inference_mode(False), torch.no_grad():
        speeds = BASE ** -(torch.arange(0, dim, 4, device=device)[: dim // 4].float() / dim)
        place = torch.arange(side, dtype=torch.float32, device=device)
        turns = torch.outer(place, speeds)
        by_x = turns[None].expand(side, -1, -1)
        angles = torch.cat((by_x, by_x.transpose(0, 1)), dim=2).flatten(0, 1)
        return torch.polar(torch.ones_like(angles), angles)


def rotate(x_BND: Tensor, rotations: Tensor) -> Tensor:
    """Turn channel pairs by each token's rotation; N may be a multiple of the table's length (several maps)."""
    pairs = torch.view_as_complex(x_BND.float().unflatten(2, (-1, 2)))
    turned = pairs.unflatten(1, (-1, rotations.shape[0])) * rotations
    return torch.view_as_real(turned).flatten(3).flatten(1, 2).to(x_BND.dtype)


class FourierPoints(nn.Module):
    """Random Fourier features of points in [0, 1]^2 (Tancik et al. 2020); the frequencies are a saved buffer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, dim // 2))
        self._grid = Derived()

    def forward(self, xy_BP2: Tensor) -> Tensor:
        """Return (B, P, dim) features, in full precision, of points given as shares of the image's side."""
        frequencies = self.positional_encoding_gaussian_matrix
        with torch.autocast(frequencies.device.type, enabled=False):
            angles = 2 * math.pi * ((2 * xy_BP2.to(frequencies.dtype) - 1) @ frequencies)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def grid(self, side: int) -> Tensor:
        """Return the (1, dim, side, side) features of the centres of a map's cells."""
        frequencies = self.positional_encoding_gaussian_matrix
        return self._grid.get([frequencies], key=side, compute=lambda: self._compute_grid(side))

    def _compute_grid(self, side: int) -> Tensor:
        frequencies = self.positional_encoding_gaussian_matrix
        centres = (torch.arange(side, device=frequencies.device, dtype=frequencies.dtype) + 0.5) / side
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self(torch.stack((x, y), dim=-1)).permute(2, 0, 1)[None]
