"""Shortcuts answer as the layers they stand for."""

import pytest
import torch
from torch import nn

from sam2.modeling.layers import Attention, Derived, LayerNorm2d, chained_1x1, double_resolution, linear_1x1, untouched


def test_a_1x1_convolution_is_a_linear_layer() -> None:
    conv, x = nn.Conv2d(5, 7, kernel_size=1), torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(linear_1x1(conv, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), conv(x))


def test_two_1x1_convolutions_are_one() -> None:
    first, second, x = nn.Conv2d(5, 9, kernel_size=1), nn.Conv2d(9, 3, kernel_size=1), torch.randn(2, 5, 3, 4)
    chained = chained_1x1(first, second, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(chained, second(first(x)))


def test_a_transposed_convolution_is_a_linear_layer() -> None:
    conv, x = nn.ConvTranspose2d(6, 4, kernel_size=2, stride=2), torch.randn(2, 6, 3, 5)
    torch.testing.assert_close(double_resolution(conv, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), conv(x))


def test_a_map_is_normed_at_each_position() -> None:
    norm, x = LayerNorm2d(8), 5 * torch.randn(2, 8, 3, 4) + 2
    normed = norm(x)
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(1, unbiased=False), torch.ones(2, 3, 4), atol=1e-4, rtol=0)


def test_attention_broadcasts_one_frame_over_objects() -> None:
    attention = Attention(16, 4, downsample_rate=2, kv_in_dim=6)
    queries, keys = torch.randn(1, 5, 16), torch.randn(3, 7, 6)
    together = attention(queries, keys, keys)
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], attention(queries, keys[row : row + 1], keys[row : row + 1]))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide an attention width of 16"):
        Attention(16, num_heads=3)


def test_what_is_derived_follows_its_sources() -> None:
    source, made = torch.ones(3), []

    def compute() -> torch.Tensor:
        made.append(1)
        return 2 * source

    derived = Derived()
    with torch.no_grad():
        for _ in range(3):
            assert derived.get([source], key=4, compute=compute).tolist() == [2, 2, 2]
        assert len(made) == 1
        source.data[1] = 5
        assert derived.get([source], key=4, compute=compute).tolist() == [2, 10, 2]
        derived.get([source], key=5, compute=compute)
        assert len(made) == 3
    derived.get([source], key=5, compute=compute)
    assert len(made) == 4, "where a gradient may be asked for nothing is remembered"


def test_a_layer_is_untouched_until_somebody_reaches_in() -> None:
    conv = nn.Conv2d(3, 4, kernel_size=1)
    assert untouched(conv, nn.Conv2d)
    watching = conv.register_forward_hook(lambda *_: None)
    assert not untouched(conv, nn.Conv2d)
    watching.remove()
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert not untouched(conv, nn.Conv2d)
    everywhere.remove()
    conv.forward = lambda x: x
    assert not untouched(conv, nn.Conv2d)
    del conv.forward
    assert untouched(conv, nn.Conv2d)
    nn.utils.parametrizations.weight_norm(conv)
    assert not untouched(conv, nn.Conv2d)
    assert not untouched(nn.Identity(), nn.Conv2d)


def test_a_transposed_convolution_that_was_touched_is_called() -> None:
    conv, x, seen = nn.ConvTranspose2d(6, 4, kernel_size=2, stride=2), torch.randn(2, 3, 5, 6), []
    plain = double_resolution(conv, x)
    conv.register_forward_pre_hook(lambda *_: seen.append(1))
    torch.testing.assert_close(double_resolution(conv, x), plain)
    assert seen == [1]
