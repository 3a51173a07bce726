"""The trunk: a Hiera vision transformer whose maps halve and whose channels double from stage to stage.

Legend: B images, H, W map height and width, C channels, N tokens of a window, S the image side.
Maps inside the trunk have their channels last.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.config import TrunkSizes
from sam2.modeling.layers import MLP, Derived


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What one block does: channels in and out, heads, window side (0: the whole map), whether it halves the map."""

    dim_in: int
    dim_out: int
    heads: int
    window: int
    halves: bool


def plan_blocks(sizes: TrunkSizes) -> list[BlockPlan]:
    """List the trunk's blocks. A stage's first block halves the map, still in windows of the stage before."""
    plans: list[BlockPlan] = []
    for stage, depth in enumerate(sizes.stages):
        dim, heads = sizes.embed_dim * 2**stage, sizes.num_heads * 2**stage
        for place in range(depth):
            enters = stage > 0 and place == 0
            window = sizes.window_spec[stage - 1] if enters else sizes.window_spec[stage]
            if len(plans) in sizes.global_att_blocks:
                window = 0
            plans.append(BlockPlan(dim // 2 if enters else dim, dim, heads, window, enters))
    return plans


def halve(x_BHWC: Tensor) -> Tensor:
    """Keep the largest of each 2x2 cell, channel by channel."""
    return F.max_pool2d(x_BHWC.permute(0, 3, 1, 2), kernel_size=2, stride=2).permute(0, 2, 3, 1)


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


class WindowAttention(nn.Module):
    """Attention among the tokens of each window; where the map is halved only the queries are pooled."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.heads, self.halves, self.window = plan.heads, plan.halves, plan.window
        self.qkv = nn.Linear(plan.dim_in, 3 * plan.dim_out)
        self.proj = nn.Linear(plan.dim_out, plan.dim_out)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Return (B, H, W, C), or half the sides. Windows that stick out of the map are filled with tokens of zeros."""
        hw = [side // 2 if self.halves else side for side in x_BHWC.shape[1:3]]
        q, k, v = self._windows(x_BHWC).chunk(3, dim=-1)
        if self.halves:
            q = halve(q)
        side_hw = q.shape[1:3]
        answer = F.scaled_dot_product_attention(*map(self._heads_first, (q, k, v)))
        answer = answer.transpose(1, 2).flatten(2).unflatten(1, side_hw)
        return self.proj(join_windows(answer, (hw[0], hw[1])) if self.window else answer)

    def _windows(self, x_BHWC: Tensor) -> Tensor:
        """Return the projected windows. A filling token projects to the bias, and is not multiplied by the weights."""
        if not self.window:
            return self.qkv(x_BHWC)
        height, width = x_BHWC.shape[1:3]
        below, beside = -height % self.window, -width % self.window
        if not below and not beside:
            return self.qkv(cut_windows(x_BHWC, self.window))
        inside = self.qkv(x_BHWC)
        filled = self.qkv.bias.to(inside.dtype).expand(len(inside), height + below, width + beside, -1).clone()
        filled[:, :height, :width] = inside
        return cut_windows(filled, self.window)

    def _heads_first(self, x_BHWC: Tensor) -> Tensor:
        return x_BHWC.flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attention in windows, then an MLP, each on a normed input and added to what came in."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        self.norm1 = nn.LayerNorm(plan.dim_in, eps=1e-6)
        self.attn = WindowAttention(plan)
        self.norm2 = nn.LayerNorm(plan.dim_out, eps=1e-6)
        self.mlp = MLP(plan.dim_out, hidden=4 * plan.dim_out, dim_out=plan.dim_out, depth=2, activation=F.gelu)
        if plan.dim_in != plan.dim_out:
            self.proj = nn.Linear(plan.dim_in, plan.dim_out)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        normed = self.norm1(x_BHWC)
        kept = halve(self.proj(normed)) if self.plan.halves else x_BHWC
        x_BHWC = kept + self.attn(normed)
        return x_BHWC + self.mlp(self.norm2(x_BHWC))


class PatchEmbed(nn.Module):
    """The image as overlapping 7x7 patches, one for every 4x4 pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=7, stride=4, padding=3)

    def forward(self, image_B3SS: Tensor) -> Tensor:
        return self.proj(image_B3SS).permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """Return the maps at 1/4, 1/8, 1/16 and 1/32 of an image, channels last."""

    def __init__(self, sizes: TrunkSizes) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(sizes.embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.embed_dim, *sizes.window_pos_embed_bkg_spatial_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, sizes.embed_dim, *[sizes.window_spec[0]] * 2))
        self.blocks = nn.ModuleList(map(Block, plan_blocks(sizes)))
        self.last_of_stage = {sum(sizes.stages[: stage + 1]) - 1 for stage in range(4)}
        self._table = Derived()

    def forward(self, image_B3SS: Tensor) -> list[Tensor]:
        x_BHWC = self.patch_embed(image_B3SS)
        x_BHWC = x_BHWC + self.position_table(x_BHWC.shape[1])
        maps = []
        for index, block in enumerate(self.blocks):
            x_BHWC = block(x_BHWC)
            if index in self.last_of_stage:
                maps.append(x_BHWC)
        return maps

    def position_table(self, side: int) -> Tensor:
        """Return (1, side, side, C): a coarse table stretched over the map plus one repeated in every window."""
        sources = (self.pos_embed, self.pos_embed_window)
        return self._table.get(sources, key=side, compute=lambda: self._compute_table(side))

    def _compute_table(self, side: int) -> Tensor:
        repeats = side // self.pos_embed_window.shape[-1]
        stretched = F.interpolate(self.pos_embed, size=(side, side), mode="bicubic")
        return (stretched + self.pos_embed_window.tile(1, 1, repeats, repeats)).permute(0, 2, 3, 1)
