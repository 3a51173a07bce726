"""Attention in blocks is attention: any number of queries and keys, however large the scores."""

import pytest
import torch
import torch.nn.functional as F

from sam2.modeling.blockwise import KEYS, QUERIES, attend_blockwise
from sam2.modeling.memory_attention import RoPEAttention


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
