"""The neck: which maps meet, and that folding the decoder's convolutions in changes nothing."""

import pytest
import torch
from torch import nn

from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine

DIMS = (4, 8, 16, 32)


def maps(side: int = 8) -> list[torch.Tensor]:
    return [torch.randn(2, dim, side >> k, side >> k) for k, dim in enumerate(DIMS)]


def make_neck(**choices: object) -> FpnNeck:
    choices = {"fpn_interp_model": "nearest", "fpn_top_down_levels": [2, 3]} | choices
    return FpnNeck(PositionEmbeddingSine(12), 12, DIMS[::-1], **choices)


def pair() -> tuple[nn.Conv2d, nn.Conv2d]:
    return nn.Conv2d(12, 3, kernel_size=1), nn.Conv2d(12, 5, kernel_size=1)


def test_the_coarsest_map_is_enlarged_and_added_to_the_next() -> None:
    neck, (at_4, at_8, at_16, at_32) = make_neck(), maps()
    found, places = neck([at_4, at_8, at_16, at_32])
    top = neck.convs[0](at_32)
    enlarged = top.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = [neck.convs[3](at_4), neck.convs[2](at_8), neck.convs[1](at_16) + enlarged, top]
    for x, wanted, place in zip(found, expected, places, strict=True):
        torch.testing.assert_close(x, wanted)
        assert place.shape == x.shape


def test_choices_of_the_pyramid_act() -> None:
    given = maps(16)
    plain = make_neck()
    for choices in ({"fuse_type": "avg"}, {"fpn_interp_model": "bilinear"}, {"fpn_top_down_levels": None}):
        other = make_neck(**choices)
        other.load_state_dict(plain.state_dict())
        assert any(not torch.allclose(a, b) for a, b in zip(other(given)[0], plain(given)[0], strict=True)), choices


def test_fine_maps_go_through_the_neck_and_then_the_decoder() -> None:
    neck, after, given = make_neck(), pair(), maps()
    plain, folded = neck(given)[0], neck(given, after)[0]
    assert neck.folds(after)
    for level in (0, 1):
        torch.testing.assert_close(folded[level], after[level](plain[level]))
    for level in (2, 3):
        assert torch.equal(folded[level], plain[level])


class Twice(nn.Module):
    """A wrapper that keeps up the weights of what it wraps, as LoRA layers do."""

    def __init__(self, inner: nn.Conv2d) -> None:
        super().__init__()
        self.inner, self.weight, self.bias = inner, inner.weight, inner.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.inner(x)


def test_wrapped_and_watched_convolutions_are_called() -> None:
    given, plain = maps(), make_neck()
    expected = plain(given)[0]
    wrapped = make_neck()
    wrapped.load_state_dict(plain.state_dict())
    wrapped.convs[3].conv = Twice(wrapped.convs[3].conv)
    assert not wrapped.folds(pair())
    torch.testing.assert_close(wrapped(given)[0][0], 2 * expected[0])
    seen: list[torch.Size] = []
    hook = plain.convs[1].conv.register_forward_hook(lambda _, __, answer: seen.append(answer.shape))
    plain(given)
    assert seen == [expected[2].shape]
    hook.remove()
    assert plain.folds(pair())
    assert not plain.folds((Twice(pair()[0]), pair()[1]))


def test_trunk_and_neck_must_agree() -> None:
    with pytest.raises(ValueError, match="expected the same"):
        ImageEncoder(Hiera(embed_dim=8, stages=(1, 1, 2, 1), global_att_blocks=()), make_neck())
