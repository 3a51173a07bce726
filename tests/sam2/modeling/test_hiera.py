"""The trunk: windows cut and joined, filling tokens, tables that follow their parameters."""

import pytest
import torch
import torch.nn.functional as F

from sam2.modeling.config import TrunkSizes
from sam2.modeling.hiera import BlockPlan, Hiera, WindowAttention, cut_windows, halve, join_windows


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
    assert torch.equal(halve(x)[1, 1, 2], x[1, 2:4, 4:6].amax((0, 1)))


@pytest.mark.parametrize("halves", [False, True])
def test_windows_beyond_the_map_are_filled_with_tokens_of_zeros(halves: bool) -> None:
    attention = WindowAttention(BlockPlan(dim_in=6, dim_out=8, heads=2, window=4, halves=halves))
    torch.nn.init.normal_(attention.qkv.bias)
    x = torch.randn(1, 6, 6, 6)
    answered = attention(x)
    filled = attention(F.pad(x, (0, 0, 0, 2, 0, 2)))
    side = 3 if halves else 6
    assert answered.shape == (1, side, side, 8)
    torch.testing.assert_close(answered, filled[:, :side, :side])


@pytest.mark.parametrize("side", [32, 96, 160])
def test_maps_halve_and_channels_double(side: int) -> None:
    trunk = Hiera(TrunkSizes(embed_dim=8, stages=(1, 1, 2, 1), global_att_blocks=(3,)))
    maps = trunk(torch.randn(2, 3, side, side))
    assert [tuple(x.shape) for x in maps] == [(2, side // k, side // k, 2 * k) for k in (4, 8, 16, 32)]


def test_the_position_table_repeats_one_part_and_stretches_the_other() -> None:
    trunk = Hiera(TrunkSizes(embed_dim=4))
    with torch.no_grad():
        trunk.pos_embed_window.normal_()
        table = trunk.position_table(24)
        assert torch.equal(table[0, :8, :8], table[0, 8:16, 16:24])
        trunk.pos_embed.fill_(2.0)
        torch.testing.assert_close(trunk.position_table(24), table + 2)
