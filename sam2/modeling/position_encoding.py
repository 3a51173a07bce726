"""Where a token is: sine tables, Fourier features of points, rotations. Tables depend on sizes alone.

Legend: h, w map height and width, D channels, N tokens, P points.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from sam2.modeling.layers import Derived

BASE = 10000.0


def _sine_divisors(count: int, device: torch.device, temperature: float = BASE) -> Tensor:
    """Return `count` divisors in pairs of equals, from 1 to almost `temperature` (Vaswani et al. 2017, section 3.5)."""
    index = torch.arange(count, dtype=torch.float32, device=device)
    return temperature ** (2 * (index // 2) / count)


@lru_cache(maxsize=16)
def sine_map(
    hw: tuple[int, int], dim: int, device: torch.device, turn: float | None = 2 * math.pi, temperature: float = BASE
) -> Tensor:
    """Return the (1, dim, *hw) sine encoding of a map: the first half of the channels says y, the second x.

    A whole side is `turn`; with None cells are counted as they are.
    """
    with torch.inference_mode(False), torch.no_grad():
        return _sine_table(hw, dim, device, turn, temperature)


def _sine_table(hw: tuple[int, int], dim: int, device: torch.device, turn: float | None, temperature: float) -> Tensor:
    divisors = _sine_divisors(dim // 2, device, temperature)
    lines = []
    for side in hw:
        positions = torch.arange(1, side + 1, dtype=torch.float32, device=device)
        angles = (positions if turn is None else positions / (side + 1e-6) * turn)[:, None] / divisors
        lines.append(torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=2).flatten(1))
    rows, columns = lines[0][:, None].expand(*hw, -1), lines[1][None].expand(*hw, -1)
    return torch.cat((rows, columns), dim=2).permute(2, 0, 1)[None].contiguous()


class PositionEmbeddingSine(nn.Module):
    """The sine encoding of a map's cells, `num_pos_feats` channels; it has no weights, and tables are made when needed.

    Without `normalize` cells are counted as they are; with it a whole side is `scale` (2 pi).
    """

    def __init__(
        self,
        num_pos_feats: int,
        temperature: float = BASE,
        normalize: bool = True,
        scale: float | None = None,
        warmup_cache: bool = True,
        image_size: int = 1024,
        strides: tuple[int, ...] = (4, 8, 16, 32),
    ) -> None:
        super().__init__()
        if num_pos_feats % 2:
            raise ValueError(f"num_pos_feats={num_pos_feats}: expected an even number")
        if scale is not None and not normalize:
            raise ValueError(f"scale={scale} needs normalize=True")
        self.num_pos_feats, self.temperature, self.normalize = num_pos_feats // 2, temperature, normalize
        self.scale = 2 * math.pi if scale is None else scale

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, num_pos_feats, H, W) for a map (B, C, H, W)."""
        turn = self.scale if self.normalize else None
        make = _sine_table if torch.compiler.is_compiling() else sine_map      # what is compiled sees no cache
        table = make((x.shape[-2], x.shape[-1]), 2 * self.num_pos_feats, x.device, turn, self.temperature)
        return table.expand(x.shape[0], -1, -1, -1)


def sine_of_offsets(offsets: Tensor, dim: int, temperature: float = BASE) -> Tensor:
    """Return the (..., dim) sine encoding of scalar positions: all sines, then all cosines."""
    angles = offsets.unsqueeze(-1) / _sine_divisors(dim // 2, offsets.device, temperature)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


@lru_cache(maxsize=8)
def axial_rotations(side: int, dim: int, device: torch.device, base: float = BASE) -> Tensor:
    """Return the rotations of a square map, as `compute_axial_cis` does."""
    with torch.inference_mode(False), torch.no_grad():
        return compute_axial_cis(dim, side, side, base, device=device)


def compute_axial_cis(
    dim: int, end_x: int, end_y: int, theta: float = BASE, *, device: torch.device | None = None
) -> Tensor:
    """Return complex (end_y * end_x, dim / 2) rotations: the first half of the pairs turns with x, the second with y.

    Source: Heo et al. 2024, "Rotary Position Embedding for Vision Transformer", axial frequencies.
    """
    end_x, end_y = int(end_x), int(end_y)
    speeds = theta ** -(torch.arange(0, dim, 4, device=device)[: dim // 4].float() / dim)
    by_x, by_y = (torch.outer(torch.arange(n, dtype=torch.float32, device=device), speeds) for n in (end_x, end_y))
    angles = torch.cat((by_x[None].expand(end_y, -1, -1), by_y[:, None].expand(-1, end_x, -1)), dim=2).flatten(0, 1)
    return torch.polar(torch.ones_like(angles), angles)


def apply_rotary_enc(
    xq: Tensor, xk: Tensor, freqs_cis: Tensor, repeat_freqs_k: bool = False
) -> tuple[Tensor, Tensor]:
    """Turn queries and keys (B, heads, N, C); keys of several maps need `repeat_freqs_k`."""
    if xk.shape[-2] > len(freqs_cis) and not repeat_freqs_k:
        raise ValueError(f"{xk.shape[-2]} keys for {len(freqs_cis)} rotations: several maps need repeat_freqs_k=True")
    turned = [rotate(x.flatten(0, 1), freqs_cis).view_as(x) if x.shape[-2] else x for x in (xq, xk)]
    return turned[0], turned[1]


def rotate(x_BND: Tensor, rotations: Tensor) -> Tensor:
    """Turn channel pairs by each token's rotation; N may be a multiple of the table's length (several maps)."""
    pairs = torch.view_as_complex(x_BND.float().unflatten(2, (-1, 2)))
    turned = pairs.unflatten(1, (-1, rotations.shape[0])) * rotations
    return torch.view_as_real(turned).flatten(3).flatten(1, 2).to(x_BND.dtype)


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier features of points (Tancik et al. 2020), twice `num_pos_feats`; the frequencies are a saved buffer."""

    def __init__(self, num_pos_feats: int = 64, scale: float | None = None) -> None:
        super().__init__()
        spread = scale if scale is not None and scale > 0 else 1.0
        self.register_buffer("positional_encoding_gaussian_matrix", spread * torch.randn(2, num_pos_feats))
        self._grid = Derived()

    def forward(self, size: tuple[int, int]) -> Tensor:
        """Return the (C, *size) features of the centres of a map's cells."""
        frequencies = self.positional_encoding_gaussian_matrix
        return self._grid.get([frequencies], key=tuple(size), compute=lambda: self._compute_grid(*size))

    def forward_with_coords(self, coords_input: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Return the (B, P, C) features of points (B, P, 2) given as x, y in pixels of an image (height, width)."""
        x, y = coords_input.unbind(dim=-1)
        return self._pe_encoding(torch.stack((x / image_size[1], y / image_size[0]), dim=-1).float())

    def _pe_encoding(self, coords: Tensor) -> Tensor:
        """Return (..., C) features, in full precision, of points (..., 2) given as shares of the image's sides."""
        frequencies = self.positional_encoding_gaussian_matrix
        with torch.autocast(frequencies.device.type, enabled=False):
            angles = 2 * math.pi * ((2 * coords.to(frequencies.dtype) - 1) @ frequencies)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def _compute_grid(self, height: int, width: int) -> Tensor:
        frequencies = self.positional_encoding_gaussian_matrix
        y, x = (
            (torch.arange(side, device=frequencies.device, dtype=frequencies.dtype) + 0.5) / side for side in (height, width)
        )
        y, x = torch.meshgrid(y, x, indexing="ij")
        return self._pe_encoding(torch.stack((x, y), dim=-1)).permute(2, 0, 1)
