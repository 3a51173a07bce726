"""The decoder's transformer: prompt tokens and image tokens attend to each other in turn.

Legend: B objects, T prompt and output tokens, N image tokens (h * w), C hidden channels.
"""

from torch import Tensor, nn

from sam2.modeling.config import ModelConfig
from sam2.modeling.layers import MLP, Attention


class TwoWayBlock(nn.Module):
    """Tokens to tokens, tokens to image, MLP on tokens, image to tokens; norms follow the sums.

    In the first block the tokens attend to each other bare: they still are their own position encoding.
    """

    def __init__(self, config: ModelConfig, *, first: bool) -> None:
        super().__init__()
        dim, heads, inner = config.hidden_dim, config.decoder_heads, config.hidden_dim // 2
        self.first = first
        self.self_attn = Attention(dim, heads=heads)
        self.cross_attn_token_to_image = Attention(dim, heads=heads, inner_dim=inner)
        self.mlp = MLP(dim, hidden=config.decoder_mlp_dim, dim_out=dim, depth=2)
        self.cross_attn_image_to_token = Attention(dim, heads=heads, inner_dim=inner)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(dim) for _ in range(4))

    def forward(
        self, tokens_BTC: Tensor, image_BNC: Tensor, *, token_pos_BTC: Tensor, image_pos_1NC: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.first:
            tokens_BTC = self.self_attn(tokens_BTC, tokens_BTC, tokens_BTC)
        else:
            placed = tokens_BTC + token_pos_BTC
            tokens_BTC = tokens_BTC + self.self_attn(placed, placed, tokens_BTC)
        tokens_BTC = self.norm1(tokens_BTC)

        placed_image = image_BNC + image_pos_1NC
        seen = self.cross_attn_token_to_image(tokens_BTC + token_pos_BTC, placed_image, image_BNC)
        tokens_BTC = self.norm2(tokens_BTC + seen)
        tokens_BTC = self.norm3(tokens_BTC + self.mlp(tokens_BTC))

        told = self.cross_attn_image_to_token(placed_image, tokens_BTC + token_pos_BTC, tokens_BTC)
        return tokens_BTC, self.norm4(image_BNC + told)


class TwoWayTransformer(nn.Module):
    """The blocks, and one last look of the tokens at the image."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(config, first=i == 0) for i in range(config.decoder_layers))
        self.final_attn_token_to_image = Attention(
            config.hidden_dim, heads=config.decoder_heads, inner_dim=config.hidden_dim // 2
        )
        self.norm_final_attn = nn.LayerNorm(config.hidden_dim)

    def forward(self, image_BNC: Tensor, image_pos_1NC: Tensor, prompt_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, T, C) and the image (B, N, C) after they have read each other."""
        tokens = prompt_BTC
        for layer in self.layers:
            tokens, image_BNC = layer(tokens, image_BNC, token_pos_BTC=prompt_BTC, image_pos_1NC=image_pos_1NC)
        seen = self.final_attn_token_to_image(tokens + prompt_BTC, image_BNC + image_pos_1NC, image_BNC)
        return self.norm_final_attn(tokens + seen), image_BNC
