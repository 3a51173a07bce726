"""Memory encoder: a mask, brought down to 1/16, and the frame's features become one map to remember.

Legend: B objects, S the image side, h, w the 1/16 map, C hidden channels, D memory channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.config import ModelConfig
from sam2.modeling.layers import MapNorm


class MaskDownSampler(nn.Module):
    """Four 3x3 convolutions of stride 2, channels 1, 4, 16, 64, 256, then one 1x1 to the hidden channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        channels = 1
        for _ in range(4):
            self.encoder.append(nn.Conv2d(channels, 4 * channels, kernel_size=3, stride=2, padding=1))
            channels *= 4
            self.encoder.append(MapNorm(channels)).append(nn.GELU())
        self.encoder.append(nn.Conv2d(channels, dim, kernel_size=1))

    def forward(self, mask_B1SS: Tensor) -> Tensor:
        return self.encoder(mask_B1SS)


class FuserBlock(nn.Module):
    """A ConvNeXt block (Liu et al. 2022): 7x7 depthwise convolution, norm, MLP, learned scale, residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = MapNorm(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x_BChw: Tensor) -> Tensor:
        mixed = self.norm.channels_last(self.dwconv(x_BChw).permute(0, 2, 3, 1))
        mixed = self.gamma * self.pwconv2(F.gelu(self.pwconv1(mixed)))
        return x_BChw + mixed.permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """A few blocks that let the mask and the features meet."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FuserBlock(config.hidden_dim) for _ in range(config.memory_fuser_layers))

    def forward(self, x_BChw: Tensor) -> Tensor:
        for layer in self.layers:
            x_BChw = layer(x_BChw)
        return x_BChw


class MemoryEncoder(nn.Module):
    """Return `memory_BDhw`; features of batch 1 serve the masks of all objects."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.mask_downsampler = MaskDownSampler(dim)
        self.pix_feat_proj = nn.Conv2d(dim, dim, kernel_size=1)
        self.fuser = Fuser(config)
        # the released network has no projection where none is needed, and names its weights accordingly
        self.out_proj = nn.Conv2d(dim, config.memory_dim, kernel_size=1) if config.memory_dim != dim else nn.Identity()

    def forward(self, vision_BChw: Tensor, mask_B1SS: Tensor) -> Tensor:
        fused = self.pix_feat_proj(vision_BChw) + self.mask_downsampler(mask_B1SS)
        return self.out_proj(self.fuser(fused))
