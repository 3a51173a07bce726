"""The neck: which maps meet, and that folding the decoder's convolutions in changes nothing."""

import torch
from torch import nn

from sam2.modeling.fpn_neck import FpnNeck

DIMS = (4, 8, 16, 32)


def maps(side: int = 8) -> list[torch.Tensor]:
    return [torch.randn(2, side >> k, side >> k, dim) for k, dim in enumerate(DIMS)]


def test_the_coarsest_map_is_enlarged_and_added_to_the_next() -> None:
    neck = FpnNeck(DIMS, dim=12)
    _, _, at_16, at_32 = maps()
    top = neck.convs[0](at_32.permute(0, 3, 1, 2))
    lateral = neck.convs[1](at_16.permute(0, 3, 1, 2))
    enlarged = top.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(neck.coarse(at_16, at_32), lateral + enlarged)


def test_fine_maps_go_through_the_neck_and_then_the_decoder() -> None:
    neck, after = FpnNeck(DIMS, dim=12), (nn.Conv2d(12, 3, kernel_size=1), nn.Conv2d(12, 5, kernel_size=1))
    at_4, at_8, _, _ = maps()
    fine, middle = neck.fine(at_8, at_4, after=after)
    torch.testing.assert_close(fine, after[0](neck.convs[3](at_4.permute(0, 3, 1, 2))))
    torch.testing.assert_close(middle, after[1](neck.convs[2](at_8.permute(0, 3, 1, 2))))
