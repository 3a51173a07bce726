"""Memory attention: a frame's tokens look at each other, then at what is remembered of the object.

Legend: B objects, N tokens of the frame (h * w), K tokens of the memory, C hidden channels, D memory channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.blockwise import attend_blockwise
from sam2.modeling.config import ModelConfig
from sam2.modeling.layers import Attention
from sam2.modeling.position_encoding import axial_rotations, rotate


class RotaryAttention(Attention):
    """Attention with one head whose queries and spatial keys are turned by their place on the map."""

    def __init__(self, dim: int, *, kv_dim: int | None = None, dropout: float = 0.0) -> None:
        super().__init__(dim, heads=1, kv_dim=kv_dim)
        self.dropout = dropout

    def forward(
        self, queries_BNC: Tensor, keys_BKD: Tensor, values_BKD: Tensor, rotations: Tensor, *, unplaced: int = 0
    ) -> Tensor:
        """The last `unplaced` keys (object pointers) have no place and are not turned."""
        q, k = self.q_proj(queries_BNC), self.k_proj(keys_BKD)
        placed = k.shape[1] - unplaced
        if placed:
            k = torch.cat((rotate(k[:, :placed], rotations), k[:, placed:]), dim=1) if unplaced else rotate(k, rotations)
        q = rotate(q, rotations)
        if self._blockwise_pays(q, values_BKD):
            # weights add up to 1, so that projecting their sum of values is projecting every value, and a quarter of the work
            q = q.expand(len(k), -1, -1)
            return self.out_proj(self.v_proj(attend_blockwise(q, k, values_BKD.expand(len(k), -1, -1))))
        return self.attend(q, k, self.v_proj(values_BKD), dropout=self.dropout)

    def _blockwise_pays(self, q_BNC: Tensor, values_BKD: Tensor) -> bool:
        """Return whether blocks beat the fused kernel, which wants values as wide as keys: in float32 on a CPU they do."""
        if torch.compiler.is_compiling():       # blocks are a loop whose length would be compiled in
            return False
        learns = torch.is_grad_enabled() or (self.training and self.dropout > 0)
        narrow = values_BKD.shape[2] < q_BNC.shape[2]
        return narrow and not learns and q_BNC.device.type == "cpu" and q_BNC.dtype == torch.float32


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memory, MLP, each on a normed input and added to what came in."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, dropout = config.hidden_dim, config.memory_attention_dropout
        self.self_attn = RotaryAttention(dim, dropout=dropout)
        self.cross_attn_image = RotaryAttention(dim, kv_dim=config.memory_dim, dropout=dropout)
        self.linear1 = nn.Linear(dim, config.memory_attention_ffn_dim)
        self.linear2 = nn.Linear(config.memory_attention_ffn_dim, dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x_BNC: Tensor, memory_BKD: Tensor, keys_BKD: Tensor, rotations: Tensor, *, pointer_tokens: int
    ) -> Tensor:
        normed = self.norm1(x_BNC)
        x_BNC = x_BNC + self.dropout(self.self_attn(normed, normed, normed, rotations))
        remembered = self.cross_attn_image(self.norm2(x_BNC), keys_BKD, memory_BKD, rotations, unplaced=pointer_tokens)
        x_BNC = x_BNC + self.dropout(remembered)
        hidden = self.dropout(F.relu(self.linear1(self.norm3(x_BNC))))
        return x_BNC + self.dropout(self.linear2(hidden))


class MemoryAttention(nn.Module):
    """The stack of layers. A frame of batch 1 shares its first self-attention among all objects of the memory."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(config) for _ in range(config.memory_attention_layers))
        self.norm = nn.LayerNorm(config.hidden_dim)

    def forward(
        self, x_BNC: Tensor, memory_BKD: Tensor, memory_pos_BKD: Tensor, *, x_pos_1NC: Tensor, pointer_tokens: int
    ) -> Tensor:
        """Return (B, N, C). The frame's position is added once, a tenth of it, at the input; the memory's to the keys."""
        x_BNC = x_BNC + 0.1 * x_pos_1NC
        keys_BKD = memory_BKD + memory_pos_BKD
        rotations = axial_rotations(round(x_BNC.shape[1] ** 0.5), x_BNC.shape[2], x_BNC.device)
        for layer in self.layers:
            x_BNC = layer(x_BNC, memory_BKD, keys_BKD, rotations, pointer_tokens=pointer_tokens)
        return self.norm(x_BNC)
