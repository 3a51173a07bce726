"""The trunk: a Hiera vision transformer whose maps halve and whose channels double from stage to stage.

Legend: B images, H, W map height and width, C channels, N tokens of a window. Maps inside the trunk have their
channels last.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.backbones.utils import PatchEmbed, cut_windows, join_windows, window_partition, window_unpartition
from sam2.modeling.config import TrunkSizes
from sam2.modeling.layers import MLP, Derived, DropPath, only, untouched

__all__ = [
    "MLP", "DropPath", "Hiera", "MultiScaleAttention", "MultiScaleBlock", "PatchEmbed", "do_pool", "window_partition",
    "window_unpartition",
]  # fmt: skip


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
        for block in range(depth):
            enters = stage > 0 and block == 0
            window = sizes.window_spec[stage - 1] if enters else sizes.window_spec[stage]
            if len(plans) in sizes.global_att_blocks:
                window = 0
            plans.append(BlockPlan(dim // 2 if enters else dim, dim, heads, window, enters))
    return plans


def do_pool(x: Tensor, pool: nn.Module | None, norm: nn.Module | None = None) -> Tensor:
    """Pool a map (B, H, W, C), then norm it; without a pool it stays as it is."""
    if pool is None:
        return x
    x_BHWC = pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return x_BHWC if norm is None else norm(x_BHWC)


class MultiScaleAttention(nn.Module):
    """Attention among the tokens of each window (the whole map with 0); where there is a pool only the queries are pooled."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, q_pool: nn.Module | None = None, *, window: int = 0) -> None:
        super().__init__()
        self.dim, self.dim_out, self.num_heads = dim, dim_out, num_heads
        self.q_pool, self.window = q_pool, window
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, H, W, C), or half the sides. Windows that stick out of the map are filled with tokens of zeros."""
        hw = [side // 2 if self.q_pool is not None else side for side in x.shape[1:3]]
        q, k, v = self._windows(x).chunk(3, dim=-1)
        q = do_pool(q, self.q_pool)
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
        if not untouched(self.qkv, nn.Linear) or self.qkv.bias is None:
            return self.qkv(cut_windows(F.pad(x_BHWC, (0, 0, 0, beside, 0, below)), self.window))
        inside = self.qkv(x_BHWC)
        filled = self.qkv.bias.to(inside.dtype).expand(len(inside), height + below, width + beside, -1).clone()
        filled[:, :height, :width] = inside
        return cut_windows(filled, self.window)

    def _heads_first(self, x_BHWC: Tensor) -> Tensor:
        return x_BHWC.flatten(1, 2).unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class MultiScaleBlock(nn.Module):
    """Attention in windows, then an MLP, each on a normed input and added to what came in; maps are (B, H, W, C)."""

    def __init__(self, plan: BlockPlan, drop_path: float = 0.0) -> None:
        super().__init__()
        self.dim, self.dim_out, self.window_size = plan.dim_in, plan.dim_out, plan.window
        self.q_stride = (2, 2) if plan.halves else None
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2) if plan.halves else None
        self.norm1 = nn.LayerNorm(plan.dim_in, eps=1e-6)
        self.attn = MultiScaleAttention(plan.dim_in, plan.dim_out, plan.heads, self.pool, window=plan.window)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(plan.dim_out, eps=1e-6)
        self.mlp = MLP(plan.dim_out, 4 * plan.dim_out, plan.dim_out, 2, activation=nn.GELU)
        if plan.dim_in != plan.dim_out:
            self.proj = nn.Linear(plan.dim_in, plan.dim_out)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        shortcut = do_pool(self.proj(normed), self.pool) if self.dim != self.dim_out else x
        x = shortcut + self.drop_path(self.attn(normed))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Hiera(nn.Module):
    """The trunk under the released call; sizes as in `TrunkSizes`. Other pools and growth than its own are refused."""

    def __init__(
        self,
        embed_dim: int = 96,
        num_heads: int = 1,
        drop_path_rate: float = 0.0,
        q_pool: int = 3,
        q_stride: tuple[int, int] = (2, 2),
        stages: tuple[int, ...] = (2, 3, 16, 3),
        dim_mul: float = 2.0,
        head_mul: float = 2.0,
        window_pos_embed_bkg_spatial_size: tuple[int, int] = (14, 14),
        window_spec: tuple[int, ...] = (8, 4, 14, 7),
        global_att_blocks: tuple[int, ...] = (12, 16, 20),
        weights_path: str | None = None,
        return_interm_layers: bool = True,
    ) -> None:
        super().__init__()
        only("Hiera", q_pool=(q_pool, 3), q_stride=(tuple(q_stride), (2, 2)), dim_mul=(dim_mul, 2), head_mul=(head_mul, 2))
        only("Hiera", weights_path=(weights_path, None))
        listed = (stages, global_att_blocks, window_pos_embed_bkg_spatial_size, window_spec)
        self.sizes = sizes = TrunkSizes(embed_dim, num_heads, *(tuple(values) for values in listed))
        self.q_stride, self.q_pool_blocks = (2, 2), [sum(sizes.stages[:stage]) for stage in (1, 2, 3)]
        self.window_spec, self.global_att_blocks = sizes.window_spec, sizes.global_att_blocks
        self.window_pos_embed_bkg_spatial_size = sizes.window_pos_embed_bkg_spatial_size
        self.return_interm_layers = return_interm_layers
        self.stage_ends = [sum(sizes.stages[: stage + 1]) - 1 for stage in range(4)]
        coarsest_first = list(sizes.stage_dims[::-1])
        self.channel_list = coarsest_first if return_interm_layers else coarsest_first[:1]
        self.patch_embed = PatchEmbed(embed_dim=embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, embed_dim, *sizes.window_pos_embed_bkg_spatial_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, embed_dim, *[sizes.window_spec[0]] * 2))
        plans = plan_blocks(sizes)
        rates = torch.linspace(0, drop_path_rate, len(plans)).tolist()
        self.blocks = nn.ModuleList(map(MultiScaleBlock, plans, rates))
        self._table = Derived()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps (B, C, H, W) at 1/4, 1/8, 1/16 and 1/32 of images (B, 3, H, W); their memory has channels last."""
        x_BHWC = self.patch_embed(x)
        x_BHWC = x_BHWC + self._get_pos_embed((x_BHWC.shape[1], x_BHWC.shape[2]))
        maps = []
        for index, block in enumerate(self.blocks):
            x_BHWC = block(x_BHWC)
            if index == self.stage_ends[-1] or (index in self.stage_ends and self.return_interm_layers):
                maps.append(x_BHWC.permute(0, 3, 1, 2))
        return maps

    def get_num_layers(self) -> int:
        return len(self.blocks)

    def get_layer_id(self, layer_name: str) -> int:
        """Return the depth that a parameter belongs to: 0 before the blocks, then each block's place from 1."""
        if layer_name.startswith("blocks."):
            return int(layer_name.split(".")[1]) + 1
        below = ("rel_pos", "pos_embed", "patch_embed")
        return 0 if any(word in layer_name for word in below) else len(self.blocks) + 1

    def _get_pos_embed(self, hw: tuple[int, int]) -> Tensor:
        """Return (1, *hw, C): a coarse table stretched over the map plus one repeated in every window."""
        sources = (self.pos_embed, self.pos_embed_window)
        return self._table.get(sources, key=tuple(hw), compute=lambda: self._compute_table(hw))

    def _compute_table(self, hw: tuple[int, int]) -> Tensor:
        repeats = [side // window for side, window in zip(hw, self.pos_embed_window.shape[2:], strict=True)]
        stretched = F.interpolate(self.pos_embed, size=tuple(hw), mode="bicubic")
        return (stretched + self.pos_embed_window.tile(1, 1, *repeats)).permute(0, 2, 3, 1)



