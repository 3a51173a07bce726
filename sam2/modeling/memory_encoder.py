"""Memory encoder: a mask, brought down to 1/16, and the frame's features become one map to remember.

Legend: B objects, S the image side, h, w the 1/16 map, C hidden channels, D memory channels.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from sam2.modeling.layers import DropPath, LayerNorm2d


class MaskDownSampler(nn.Module):
    """Convolutions that each divide the sides by `stride` and multiply the channels by its square, then a 1x1 to `embed_dim`.

    In SAM 2: four of 3x3 with stride 2, channels 1, 4, 16, 64, 256.
    """

    def __init__(
        self,
        embed_dim: int = 256,
        kernel_size: int = 4,
        stride: int = 4,
        padding: int = 0,
        total_stride: int = 16,
        activation: type[nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        channels, reached = 1, 1
        while reached < total_stride:
            wider, reached = channels * stride**2, reached * stride
            self.encoder.append(nn.Conv2d(channels, wider, kernel_size=kernel_size, stride=stride, padding=padding))
            self.encoder.append(LayerNorm2d(wider)).append(activation())
            channels = wider
        if reached != total_stride:
            raise ValueError(f"total_stride={total_stride}: expected a power of stride={stride}")
        self.encoder.append(nn.Conv2d(channels, embed_dim, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class CXBlock(nn.Module):
    """A ConvNeXt block (Liu et al. 2022): 7x7 depthwise convolution, norm, MLP, learned scale, residual."""

    def __init__(
        self,
        dim: int,
        kernel_size: int = 7,
        padding: int = 3,
        drop_path: float = 0.0,
        layer_scale_init_value: float = 1e-6,
        use_dwconv: bool = True,
    ) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=kernel_size, padding=padding, groups=dim if use_dwconv else 1)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(4 * dim, dim)
        scaled = layer_scale_init_value > 0
        self.gamma = nn.Parameter(torch.full((dim,), float(layer_scale_init_value))) if scaled else None
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        mixed = self.pwconv2(self.act(self.pwconv1(mixed)))
        mixed = mixed if self.gamma is None else self.gamma * mixed
        return x + self.drop_path(mixed.permute(0, 3, 1, 2))


class Fuser(nn.Module):
    """A few blocks that let the mask and the features meet."""

    def __init__(self, layer: nn.Module, num_layers: int, dim: int | None = None, input_projection: bool = False) -> None:
        super().__init__()
        if input_projection and dim is None:
            raise ValueError("input_projection=True needs dim, the number of channels")
        self.proj = nn.Conv2d(dim, dim, kernel_size=1) if input_projection else nn.Identity()
        self.layers = nn.ModuleList(deepcopy(layer) for _ in range(num_layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x)
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Features of a frame and masks of its objects become what is remembered of each."""

    def __init__(
        self,
        out_dim: int,
        mask_downsampler: nn.Module,
        fuser: nn.Module,
        position_encoding: nn.Module,
        in_dim: int = 256,
    ) -> None:
        super().__init__()
        self.mask_downsampler = mask_downsampler
        self.pix_feat_proj = nn.Conv2d(in_dim, in_dim, kernel_size=1)
        self.fuser = fuser
        self.position_encoding = position_encoding
        # the released network has no projection where none is needed, and names its weights accordingly
        self.out_proj = nn.Conv2d(in_dim, out_dim, kernel_size=1) if out_dim != in_dim else nn.Identity()

    def forward(self, pix_feat: Tensor, masks: Tensor, skip_mask_sigmoid: bool = False) -> dict[str, Any]:
        """Return "vision_features" (B, D, h, w) and their "vision_pos_enc", a list of one.

        `pix_feat` (1 or B, C, h, w): batch 1 serves the masks of all objects. `masks` (B, 1, S, S): logits, or what the
        convolutions read with `skip_mask_sigmoid`.
        """
        masks = masks if skip_mask_sigmoid else masks.sigmoid()
        down = self.mask_downsampler(masks)
        memory = self.out_proj(self.fuser(self.pix_feat_proj(pix_feat.to(down.device)) + down))
        return {"vision_features": memory, "vision_pos_enc": [self.position_encoding(memory).to(memory.dtype)]}
