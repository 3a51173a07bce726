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
    """Cut maps into windows (B * windows, side, side, C); zeros fill what sticks out at the bottom and the right."""
    batch, height, width, channels = x_BHWC.shape
    below, beside = -height % side, -width % side
    if below or beside:
        x_BHWC = F.pad(x_BHWC, (0, 0, 0, beside, 0, below))
    rows, columns = (height + below) // side, (width + beside) // side
    cut = x_BHWC.view(batch, rows, side, columns, side, channels).transpose(2, 3)
    return cut.reshape(-1, side, side, channels)


def join_windows(windows: Tensor, hw: tuple[int, int]) -> Tensor:
    """Put windows back into maps (B, *hw, C), dropping what had stuck out."""
    side, (height, width) = windows.shape[1], hw
    rows, columns = -(-height // side), -(-width // side)
    joined = windows.view(-1, rows, columns, side, side, windows.shape[-1]).transpose(2, 3)
    return joined.reshape(-1, rows * side, columns * side, windows.shape[-1])[:, :height, :width]


class WindowAttention(nn.Module):
    """Attention among the tokens of each map it is given; with `halves` only the queries are pooled."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.heads, self.halves = plan.heads, plan.halves
        self.qkv = nn.Linear(plan.dim_in, 3 * plan.dim_out)
        self.proj = nn.Linear(plan.dim_out, plan.dim_out)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        q, k, v = self.qkv(x_BHWC).chunk(3, dim=-1)
        if self.halves:
            q = halve(q)
        hw = q.shape[1:3]
        answer = F.scaled_dot_product_attention(*map(self._heads_first, (q, k, v)))
        return self.proj(answer.transpose(1, 2).flatten(2).unflatten(1, hw))

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
        x_BHWC = kept + self._attend(normed, kept.shape[1:3])
        return x_BHWC + self.mlp(self.norm2(x_BHWC))

    def _attend(self, normed_BHWC: Tensor, hw_out: tuple[int, int]) -> Tensor:
        if not self.plan.window:
            return self.attn(normed_BHWC)
        return join_windows(self.attn(cut_windows(normed_BHWC, self.plan.window)), hw_out)


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
