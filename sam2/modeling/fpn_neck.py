"""The neck: a feature pyramid over the trunk's maps, and the image encoder that is trunk and neck.

Legend: B images, H, W map height and width, C channels, h, w the 1/16 map.
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.config import ModelConfig
from sam2.modeling.hiera import Hiera
from sam2.modeling.layers import chained_1x1, linear_1x1


class FpnNeck(nn.Module):
    """One 1x1 convolution per stage, coarsest first (Lin et al. 2017).

    The 1/32 map is added, enlarged, to the 1/16 map; the finer two go their own ways (section D.1 of Ravi et al.).
    """

    def __init__(self, stage_dims: tuple[int, ...], *, dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=nn.Conv2d(stage_dim, dim, kernel_size=1))) for stage_dim in stage_dims[::-1]
        )

    def coarse(self, at_16_BHWC: Tensor, at_32_BHWC: Tensor) -> Tensor:
        """Return the 1/16 map (B, C, h, w) with the 1/32 map added to it."""
        top = linear_1x1(self.convs[0].conv, at_32_BHWC).permute(0, 3, 1, 2)
        lateral = linear_1x1(self.convs[1].conv, at_16_BHWC).permute(0, 3, 1, 2)
        return lateral + F.interpolate(top.float(), scale_factor=2.0, mode="nearest")

    def fine(self, at_8_BHWC: Tensor, at_4_BHWC: Tensor, *, after: tuple[nn.Conv2d, nn.Conv2d]) -> tuple[Tensor, Tensor]:
        """Return the 1/4 and 1/8 maps (B, C, H, W), each through its own convolution of `after`."""
        at_4 = chained_1x1(self.convs[3].conv, after[0], at_4_BHWC)
        at_8 = chained_1x1(self.convs[2].conv, after[1], at_8_BHWC)
        return at_4.permute(0, 3, 1, 2), at_8.permute(0, 3, 1, 2)


class ImageEncoder(nn.Module):
    """Trunk and neck. The decoder's two convolutions on fine maps are handed in, to be folded into the neck's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = Hiera(config.trunk)
        self.neck = FpnNeck(config.trunk.stage_dims, dim=config.hidden_dim)

    def forward(
        self, image_B3SS: Tensor, *, after: tuple[nn.Conv2d, nn.Conv2d]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the 1/16 map, and the 1/4 and 1/8 maps after the decoder's convolutions."""
        at_4, at_8, at_16, at_32 = self.trunk(image_B3SS)
        return self.neck.coarse(at_16, at_32), self.neck.fine(at_8, at_4, after=after)
