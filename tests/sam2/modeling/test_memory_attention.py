"""Memory attention: what has a place is turned, pointers are not, and the order of maps is told by position alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sam2.modeling.components import make_components
from sam2.modeling.memory_attention import KEYS, QUERIES, MemoryAttention, RoPEAttention, attend_blockwise
from sam2.variants import NANO


def stack() -> MemoryAttention:
    return make_components(NANO).memory_attention


def test_pointers_have_no_place() -> None:
    attention = RoPEAttention(8, kv_in_dim=4)
    queries, keys = torch.randn(1, 9, 8), torch.randn(1, 9, 4)
    pointers = torch.randn(1, 3, 4)
    memory, shuffled = (torch.cat((keys, p), dim=1) for p in (pointers, pointers[:, [2, 0, 1]]))
    answered = attention(queries, memory, memory, num_k_exclude_rope=3)
    torch.testing.assert_close(attention(queries, shuffled, shuffled, num_k_exclude_rope=3), answered)
    moved = torch.cat((keys[:, torch.randperm(9)], pointers), dim=1)
    assert not torch.allclose(attention(queries, moved, moved, num_k_exclude_rope=3), answered)


def test_pointers_alone_can_be_remembered() -> None:
    attention = RoPEAttention(8, kv_in_dim=4)
    pointers = torch.randn(2, 3, 4)
    assert attention(torch.randn(1, 9, 8), pointers, pointers, num_k_exclude_rope=3).shape == (2, 9, 8)


def test_maps_commute_with_their_positions() -> None:
    attention = stack().eval()
    frame, place = torch.randn(9, 1, 96), torch.randn(9, 1, 96)
    first, second, first_pos, second_pos = (torch.randn(9, 2, 32) for _ in range(4))
    answers = [
        attention(curr=[frame], curr_pos=[place], memory=torch.cat(maps), memory_pos=torch.cat(pos))
        for maps, pos in [((first, second), (first_pos, second_pos)), ((second, first), (second_pos, first_pos))]
    ]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def test_dropout_is_for_training_alone() -> None:
    attention = stack()
    frame, memory = torch.randn(9, 1, 96), torch.randn(9, 1, 32)

    def ask() -> torch.Tensor:
        return attention(frame, memory, curr_pos=frame, memory_pos=memory)

    assert not torch.equal(ask(), ask())
    attention.eval()
    assert torch.equal(ask(), ask())


def test_a_wrapped_projection_of_values_is_called_with_the_values() -> None:
    class Watched(nn.Module):
        def __init__(self, inner: nn.Linear) -> None:
            super().__init__()
            self.inner, self.shapes = inner, []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.shapes.append(tuple(x.shape))
            return self.inner(x)

    attention, queries, keys = RoPEAttention(8, kv_in_dim=4), torch.randn(1, 9, 8), torch.randn(1, 12, 4)
    with torch.no_grad():
        plain = attention(queries, keys, keys, num_k_exclude_rope=3)
        attention.v_proj = Watched(attention.v_proj)
        torch.testing.assert_close(attention(queries, keys, keys, num_k_exclude_rope=3), plain, rtol=1e-4, atol=1e-5)
    assert attention.v_proj.shapes == [(1, 12, 4)]


def test_several_maps_need_their_rotations_repeated() -> None:
    queries, keys = torch.randn(1, 9, 8), torch.randn(1, 18, 8)
    with pytest.raises(ValueError, match="18 keys with a place for a map of 9"):
        RoPEAttention(8)(queries, keys, keys)
    assert RoPEAttention(8, rope_k_repeat=True)(queries, keys, keys).shape == (1, 9, 8)


@pytest.mark.parametrize("choice", ["pos_enc_at_attn", "pos_enc_at_cross_attn_queries", "pos_enc_at_cross_attn_keys"])
def test_where_a_position_is_added_is_a_choice_that_acts(choice: str) -> None:
    attention = stack().eval()
    frame, place, memory, memory_pos = (torch.randn(9, 1, dim) for dim in (96, 96, 32, 32))

    def ask() -> torch.Tensor:
        return attention(frame, memory, curr_pos=place, memory_pos=memory_pos)

    before = ask()
    for layer in attention.layers:
        setattr(layer, choice, not getattr(layer, choice))
    assert not torch.allclose(ask(), before)


@pytest.mark.parametrize(
    ("queries", "keys"), [(1, 1), (QUERIES, KEYS), (QUERIES + 1, KEYS + 1), (3 * QUERIES - 5, 2 * KEYS + 7)]
)
def test_it_equals_the_fused_kernel(queries: int, keys: int) -> None:
    torch.manual_seed(queries)
    q, k, values = torch.randn(2, queries, 32), torch.randn(2, keys, 32), torch.randn(2, keys, 8)
    expected = F.scaled_dot_product_attention(q[:, None], k[:, None], values[:, None])[:, 0]
    torch.testing.assert_close(attend_blockwise(q, k, values), expected, rtol=1e-4, atol=1e-6)


def test_a_high_score_in_a_late_block_outweighs_all_before() -> None:
    k, values = torch.zeros(1, 2 * KEYS, 4), torch.arange(2.0 * KEYS)[None, :, None]
    k[0, KEYS + 3] = 1000.0
    assert attend_blockwise(torch.ones(1, 1, 4), k, values).item() == KEYS + 3


def test_a_layer_answers_alike_with_and_without_gradients() -> None:
    torch.manual_seed(0)
    layer = RoPEAttention(64, kv_in_dim=16, rope_k_repeat=True)
    queries, keys, values = torch.randn(1, 16, 64), torch.randn(3, 40, 16), torch.randn(3, 40, 16)
    fused = layer(queries, keys, values, num_k_exclude_rope=8)
    with torch.no_grad():
        torch.testing.assert_close(layer(queries, keys, values, num_k_exclude_rope=8), fused, rtol=1e-4, atol=1e-5)
