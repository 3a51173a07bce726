"""The neck: a feature pyramid over the trunk's maps, and the image encoder that is trunk and neck.

Legend: B images, H, W map height and width, C channels, h, w the 1/16 map.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.layers import chained_1x1, is_plain_1x1, linear_1x1, untouched

__all__ = ["FpnNeck", "ImageEncoder"]


# two convolutions, one for the 1/4 and one for the 1/8 map
Pair = tuple[nn.Module, nn.Module]


class FpnNeck(nn.Module):
    """One convolution per stage, coarsest first (Lin et al. 2017); the levels of `fpn_top_down_levels` add the coarser map.

    In SAM 2 that is the 1/16 map alone: the finer two go their own ways (section D.1 of Ravi et al.).
    """

    def __init__(
        self,
        position_encoding: nn.Module,
        d_model: int,
        backbone_channel_list: Sequence[int],
        kernel_size: int = 1,
        stride: int = 1,
        padding: int = 0,
        fpn_interp_model: str = "bilinear",
        fuse_type: str = "sum",
        fpn_top_down_levels: Iterable[int] | None = None,
    ) -> None:
        super().__init__()
        if fuse_type not in ("sum", "avg"):
            raise ValueError(f"fuse_type={fuse_type!r}: expected 'sum' or 'avg'")
        self.position_encoding = position_encoding
        self.d_model, self.backbone_channel_list = d_model, list(backbone_channel_list)
        self.fpn_interp_model, self.fuse_type = fpn_interp_model, fuse_type
        count = len(self.backbone_channel_list)
        self.fpn_top_down_levels = list(range(count) if fpn_top_down_levels is None else fpn_top_down_levels)
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=nn.Conv2d(dim, d_model, kernel_size, stride, padding)))
            for dim in self.backbone_channel_list
        )

    def forward(self, xs: list[Tensor], after: Pair | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Return maps (B, C, H, W) and their position encodings, finest first, of the trunk's maps.

        `after` are convolutions that the finest two maps go through on top of their own, where `folds` allows it; the
        encodings of these, large and read by nobody, are then None.
        """
        maps: list[Any] = [None] * len(self.convs)
        folded = 0 if after is None else len(after)
        coarser = None
        for level in reversed(range(len(xs))):
            conv = self.convs[len(xs) - 1 - level]
            if level < folded:
                maps[level] = _channels_first(chained_1x1(conv.conv, after[level], xs[level].permute(0, 2, 3, 1)))
                continue
            coarser = maps[level] = self._lateral(conv, xs[level], coarser if level in self.fpn_top_down_levels else None)
        places = [None if level < folded else self.position_encoding(x).to(x.dtype) for level, x in enumerate(maps)]
        return maps, places

    def folds(self, after: Pair) -> bool:
        """Return whether convolutions that follow the finest two maps can be folded into the neck's own."""
        fine = [conv for conv in self.convs[-2:] if untouched(conv, nn.Sequential) and is_plain_1x1(conv[0])]
        apart = not {0, 1} & set(self.fpn_top_down_levels)
        return untouched(self, FpnNeck) and apart and len(fine) == 2 and all(map(is_plain_1x1, after))

    def _lateral(self, conv: nn.Module, x_BCHW: Tensor, coarser: Tensor | None) -> Tensor:
        if untouched(conv, nn.Sequential) and is_plain_1x1(conv[0]):
            lateral = _channels_first(linear_1x1(conv[0], x_BCHW.permute(0, 2, 3, 1)))
        else:
            lateral = conv(x_BCHW)
        if coarser is None:
            return lateral
        corners = None if self.fpn_interp_model == "nearest" else False
        larger = F.interpolate(coarser.float(), scale_factor=2.0, mode=self.fpn_interp_model, align_corners=corners)
        return lateral + larger if self.fuse_type == "sum" else (lateral + larger) / 2


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the image encoder says of a batch of frames.

    `vision_BChw` is the 1/16 map before `no_mem_embed`, `pos_1Chw` its sine position encoding,
    `high_res` the 1/4 and 1/8 maps (C/8 and C/4 channels) as the mask decoder adds them.
    """

    vision_BChw: Tensor
    pos_1Chw: Tensor
    high_res: tuple[Tensor, Tensor]

    def __len__(self) -> int:
        return self.vision_BChw.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> "ImageFeatures":
        """Return the features of some frames of the batch; an int keeps the batch axis."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        fine, middle = self.high_res
        return ImageFeatures(self.vision_BChw[rows], self.pos_1Chw, (fine[rows], middle[rows]))


class ImageEncoder(nn.Module):
    """Trunk and neck; the coarsest `scalp` maps are dropped."""

    def __init__(self, trunk: nn.Module, neck: nn.Module, scalp: int = 0) -> None:
        super().__init__()
        if list(trunk.channel_list) != list(neck.backbone_channel_list):
            raise ValueError(
                f"the trunk's channels are {list(trunk.channel_list)} and the neck's {list(neck.backbone_channel_list)}: "
                "expected the same"
            )
        self.trunk, self.neck, self.scalp = trunk, neck, scalp

    def forward(self, sample: Tensor, after: Pair | None = None) -> dict[str, Any]:
        """Return "backbone_fpn", maps (B, C, H, W) finest first, their "vision_pos_enc", and the last of the maps as
        "vision_features"; `after` as in `FpnNeck.forward`."""
        maps, places = self.neck(self.trunk(sample)) if after is None else self.neck(self.trunk(sample), after)
        if self.scalp > 0:
            maps, places = maps[: -self.scalp], places[: -self.scalp]
        return {"vision_features": maps[-1], "vision_pos_enc": places, "backbone_fpn": maps}

    def folds(self, after: Pair) -> bool:
        """Return whether `after` may be handed to `forward`: nobody replaced, wrapped or watches what would be folded."""
        return untouched(self, ImageEncoder) and isinstance(self.neck, FpnNeck) and self.neck.folds(after)


def _channels_first(x_BHWC: Tensor) -> Tensor:
    return x_BHWC.permute(0, 3, 1, 2)



