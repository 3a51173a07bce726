"""The trunk: windows cut and joined, filling tokens, tables that follow their parameters."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sam2.modeling.backbones.hieradet import Hiera, MultiScaleAttention, cut_windows, do_pool, join_windows


def test_windows_are_put_back_where_they_were() -> None:
    x = torch.randn(2, 6, 9, 5)
    windows = cut_windows(x, 3)
    assert windows.shape == (12, 3, 3, 5)
    assert torch.equal(windows[1], x[0, :3, 3:6])
    assert torch.equal(join_windows(windows, (6, 9)), x)


def test_what_sticks_out_is_dropped() -> None:
    x = torch.randn(1, 6, 6, 2)
    assert torch.equal(join_windows(cut_windows(x, 3), (4, 5)), x[:, :4, :5])


def test_halving_keeps_the_largest_of_each_cell() -> None:
    x = torch.randn(2, 4, 6, 3)
    halved = do_pool(x, nn.MaxPool2d(kernel_size=2, stride=2))
    assert torch.equal(halved[1, 1, 2], x[1, 2:4, 4:6].amax((0, 1)))


@pytest.mark.parametrize("halves", [False, True])
def test_windows_beyond_the_map_are_filled_with_tokens_of_zeros(halves: bool) -> None:
    attention = MultiScaleAttention(6, 8, 2, nn.MaxPool2d(2, 2) if halves else None, window=4)
    torch.nn.init.normal_(attention.qkv.bias)
    x = torch.randn(1, 6, 6, 6)
    answered = attention(x)
    filled = attention(F.pad(x, (0, 0, 0, 2, 0, 2)))
    side = 3 if halves else 6
    assert answered.shape == (1, side, side, 8)
    torch.testing.assert_close(answered, filled[:, :side, :side])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 96), (160, 160), (96, 160)])
def test_maps_halve_and_channels_double(height: int, width: int) -> None:
    trunk = Hiera(embed_dim=8, stages=(1, 1, 2, 1), global_att_blocks=(3,))
    maps = trunk(torch.randn(2, 3, height, width))
    assert [tuple(x.shape) for x in maps] == [(2, 2 * k, height // k, width // k) for k in (4, 8, 16, 32)]
    assert trunk.channel_list == [64, 32, 16, 8]


@pytest.mark.parametrize("given", [{"q_pool": 2}, {"q_stride": (1, 1)}, {"dim_mul": 1.0}, {"weights_path": "hiera.pt"}])
def test_a_trunk_that_is_not_built_here_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"Hiera: {next(iter(given))}="):
        Hiera(**given)


def test_a_wrapped_projection_is_called_for_filling_tokens_too() -> None:
    class Doubled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.weight, self.bias = inner, inner.weight, inner.bias

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * self.inner(x)

    attention = MultiScaleAttention(6, 8, 2, window=4)
    x = torch.randn(1, 6, 6, 6)
    attention.qkv = Doubled(attention.qkv)
    wrapped = attention(x)
    with torch.no_grad():
        attention.qkv = attention.qkv.inner
        attention.qkv.weight.mul_(2)
        attention.qkv.bias.mul_(2)
    torch.testing.assert_close(wrapped, attention(x))


def test_a_block_keeps_only_its_own_share_of_paths_in_training() -> None:
    trunk = Hiera(embed_dim=8, stages=(1, 1, 2, 1), global_att_blocks=(3,), drop_path_rate=0.5)
    assert [getattr(block.drop_path, "drop_prob", 0.0) for block in trunk.blocks] == pytest.approx([0, 0.125, 0.25, 0.375, 0.5])
    image = torch.randn(2, 3, 32, 32)
    assert not torch.equal(trunk(image)[3], trunk(image)[3])
    trunk.eval()
    assert torch.equal(trunk(image)[3], trunk(image)[3])


def test_the_position_table_repeats_one_part_and_stretches_the_other() -> None:
    trunk = Hiera(embed_dim=4)
    with torch.no_grad():
        trunk.pos_embed_window.normal_()
        table = trunk._get_pos_embed((24, 24))
        assert torch.equal(table[0, :8, :8], table[0, 8:16, 16:24])
        trunk.pos_embed.fill_(2.0)
        torch.testing.assert_close(trunk._get_pos_embed((24, 24)), table + 2)
