"""The decoder's transformer: prompt tokens and image tokens attend to each other in turn.

Legend: B objects, T prompt and output tokens, N image tokens (h * w), C hidden channels. An image of batch 1 serves B objects.
"""

from torch import Tensor, nn

from sam2.modeling.layers import MLP, Attention
from sam2.modeling.memory_attention import RoPEAttention
from sam2.modeling.position_encoding import apply_rotary_enc, compute_axial_cis

__all__ = [
    "MLP", "Attention", "RoPEAttention", "TwoWayAttentionBlock", "TwoWayTransformer", "apply_rotary_enc", "compute_axial_cis",
]  # fmt: skip


class TwoWayAttentionBlock(nn.Module):
    """Tokens to tokens, tokens to image, MLP on tokens, image to tokens; norms follow the sums.

    In the first block (`skip_first_layer_pe`) the tokens attend to each other bare: they still are their own position
    encoding.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int = 2048,
        activation: type[nn.Module] = nn.ReLU,
        attention_downsample_rate: int = 2,
        skip_first_layer_pe: bool = False,
    ) -> None:
        super().__init__()
        self.skip_first_layer_pe = skip_first_layer_pe
        self.self_attn = Attention(embedding_dim, num_heads)
        self.cross_attn_token_to_image = Attention(embedding_dim, num_heads, attention_downsample_rate)
        self.mlp = MLP(embedding_dim, mlp_dim, embedding_dim, 2, activation)
        self.cross_attn_image_to_token = Attention(embedding_dim, num_heads, attention_downsample_rate)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(embedding_dim) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, T, C) and the image (B, N, C)."""
        if self.skip_first_layer_pe:
            queries = self.self_attn(q=queries, k=queries, v=queries)
        else:
            placed = queries + query_pe
            queries = queries + self.self_attn(q=placed, k=placed, v=queries)
        queries = self.norm1(queries)

        placed_image = keys + key_pe
        seen = self.cross_attn_token_to_image(q=queries + query_pe, k=placed_image, v=keys)
        queries = self.norm2(queries + seen)
        queries = self.norm3(queries + self.mlp(queries))

        answered = self.cross_attn_image_to_token(q=placed_image, k=queries + query_pe, v=queries)
        return queries, self.norm4(keys + answered)


class TwoWayTransformer(nn.Module):
    """The blocks, and one last look of the tokens at the image."""

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        activation: type[nn.Module] = nn.ReLU,
        attention_downsample_rate: int = 2,
    ) -> None:
        super().__init__()
        self.depth, self.embedding_dim, self.num_heads, self.mlp_dim = depth, embedding_dim, num_heads, mlp_dim
        sizes = (embedding_dim, num_heads, mlp_dim, activation, attention_downsample_rate)
        self.layers = nn.ModuleList(TwoWayAttentionBlock(*sizes, skip_first_layer_pe=i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(embedding_dim, num_heads, attention_downsample_rate)
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(self, image_embedding: Tensor, image_pe: Tensor, point_embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, T, C) and the image (B, N, C) after they have read each other.

        `image_embedding` and `image_pe` are maps (1 or B, C, h, w), `point_embedding` is (B, T, C).
        """
        keys, key_pe = (x.flatten(2).transpose(1, 2) for x in (image_embedding, image_pe))
        queries = point_embedding
        for layer in self.layers:
            queries, keys = layer(queries=queries, keys=keys, query_pe=point_embedding, key_pe=key_pe)
        seen = self.final_attn_token_to_image(q=queries + point_embedding, k=keys + key_pe, v=keys)
        return self.norm_final_attn(queries + seen), keys



