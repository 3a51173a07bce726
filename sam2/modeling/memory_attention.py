"""Memory attention: a frame's tokens look at each other, then at what is remembered of the object.

Legend: B objects, N tokens of the frame (h * w), K tokens of the memory, C hidden channels, D memory channels
(the width of values before they are projected).
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.layers import Attention, untouched
from sam2.modeling.position_encoding import axial_rotations, rotate

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "glu": F.glu}


class RoPEAttention(Attention):
    """Attention with one head whose queries and spatial keys are turned by their place on a square map.

    `feat_sizes` is the map that the first table of rotations is for; other maps get theirs when they come. Memories of
    several maps need `rope_k_repeat`.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int = 1,
        downsample_rate: int = 1,
        dropout: float = 0.0,
        kv_in_dim: int | None = None,
        *,
        rope_theta: float = 10000.0,
        rope_k_repeat: bool = False,
        feat_sizes: tuple[int, int] = (64, 64),
    ) -> None:
        super().__init__(embedding_dim, num_heads, downsample_rate, dropout, kv_in_dim)
        if num_heads != 1:
            raise ValueError(f"num_heads={num_heads}: attention with rotations has 1 head here")
        self.rope_theta, self.rope_k_repeat = rope_theta, rope_k_repeat
        self.freqs_cis = axial_rotations(feat_sizes[0], self.internal_dim, torch.device("cpu"), rope_theta)

    def place(self, tokens: int, device: torch.device) -> None:
        """Have the table of rotations at hand for a map of so many tokens."""
        if len(self.freqs_cis) != tokens or self.freqs_cis.device != device:
            self.freqs_cis = axial_rotations(round(tokens**0.5), self.internal_dim, device, self.rope_theta)

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, num_k_exclude_rope: int = 0, key_scale: Tensor | None = None
    ) -> Tensor:
        """Attend from q (B, N, C) to k and v (B, K, kv_in_dim).

        The last `num_k_exclude_rope` keys (object pointers) have no place and are not turned. `key_scale` (B, K, 1) weighs
        projected keys.
        """
        self.place(q.shape[1], q.device)
        values_BKD, q, k = v, self.q_proj(q), self.k_proj(k)
        if key_scale is not None:
            k = k * key_scale.to(k.dtype)
        placed = k.shape[1] - num_k_exclude_rope
        if placed > q.shape[1] and not self.rope_k_repeat:
            raise ValueError(f"{placed} keys with a place for a map of {q.shape[1]}: several maps need rope_k_repeat=True")
        if placed:
            turned = rotate(k[:, :placed], self.freqs_cis)
            k = torch.cat((turned, k[:, placed:]), dim=1) if num_k_exclude_rope else turned
        q = rotate(q, self.freqs_cis)
        if self._blockwise_pays(q, values_BKD):
            # weights add up to 1, so that projecting their sum of values is projecting every value, and a quarter of the work
            q = q.expand(len(k), -1, -1)
            return self.out_proj(self.v_proj(attend_blockwise(q, k, values_BKD.expand(len(k), -1, -1))))
        return self.attend(q, k, self.v_proj(values_BKD))

    def _blockwise_pays(self, q_BNC: Tensor, values_BKD: Tensor) -> bool:
        """Return whether blocks beat the fused kernel, which wants values as wide as keys: in float32 on a CPU they do."""
        if torch.compiler.is_compiling():       # blocks are a loop whose length would be compiled in
            return False
        learns = torch.is_grad_enabled() or (self.training and self.dropout_p > 0)
        narrow = values_BKD.shape[2] < q_BNC.shape[2] and untouched(self.v_proj, nn.Linear)
        return narrow and not learns and q_BNC.device.type == "cpu" and q_BNC.dtype == torch.float32


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memory, MLP, each on a normed input and added to what came in."""

    def __init__(
        self,
        activation: str,
        cross_attention: nn.Module,
        d_model: int,
        dim_feedforward: int,
        dropout: float,
        pos_enc_at_attn: bool,
        pos_enc_at_cross_attn_keys: bool,
        pos_enc_at_cross_attn_queries: bool,
        self_attention: nn.Module,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation!r}: expected one of {list(ACTIVATIONS)}")
        self.d_model, self.dim_feedforward, self.dropout_value = d_model, dim_feedforward, dropout
        self.self_attn, self.cross_attn_image = self_attention, cross_attention
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.dropout, self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(dropout) for _ in range(4))
        self.activation_str, self.activation = activation, ACTIVATIONS[activation]
        self.pos_enc_at_attn = pos_enc_at_attn
        self.pos_enc_at_cross_attn_queries = pos_enc_at_cross_attn_queries
        self.pos_enc_at_cross_attn_keys = pos_enc_at_cross_attn_keys

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        pos: Tensor | None = None,
        query_pos: Tensor | None = None,
        num_k_exclude_rope: int = 0,
        key_scale: Tensor | None = None,
    ) -> Tensor:
        """Return (B, N, C) of the frame's tokens (1 or B, N, C) and the memory (B, K, D), whose positions are `pos`."""
        normed = self.norm1(tgt)
        placed = normed + query_pos if self.pos_enc_at_attn else normed
        tgt = tgt + self.dropout1(self.self_attn(placed, placed, normed))
        asks = self.norm2(tgt)
        asks = asks + query_pos if self.pos_enc_at_cross_attn_queries else asks
        keys = memory + pos if self.pos_enc_at_cross_attn_keys else memory
        turns: dict[str, Any] = {"num_k_exclude_rope": num_k_exclude_rope} if num_k_exclude_rope else {}
        if key_scale is not None:
            turns["key_scale"] = key_scale
        tgt = tgt + self.dropout2(self.cross_attn_image(asks, keys, memory, **turns))
        hidden = self.dropout(self.activation(self.linear1(self.norm3(tgt))))
        return tgt + self.dropout3(self.linear2(hidden))


class MemoryAttention(nn.Module):
    """The stack of layers. A frame of batch 1 shares its first self-attention among all objects of the memory."""

    def __init__(
        self, d_model: int, pos_enc_at_input: bool, layer: nn.Module, num_layers: int, batch_first: bool = True
    ) -> None:
        super().__init__()
        if not batch_first:
            raise ValueError("batch_first=False: the layers here take the batch first")
        self.d_model, self.num_layers = d_model, num_layers
        self.layers = nn.ModuleList(deepcopy(layer) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)
        self.pos_enc_at_input, self.batch_first = pos_enc_at_input, batch_first

    def forward(
        self,
        curr: Tensor | list[Tensor],
        memory: Tensor,
        curr_pos: Tensor | list[Tensor] | None = None,
        memory_pos: Tensor | None = None,
        num_obj_ptr_tokens: int = 0,
        key_scale: Tensor | None = None,
    ) -> Tensor:
        """Return (N, B, C) of a frame's tokens (N, 1 or B, C) and a memory (K, B, D), batch second throughout.

        The frame's position is added once, a tenth of it, at the input; the memory's to the keys, which `key_scale`
        (B, K, 1) weighs.
        """
        curr = curr[0] if isinstance(curr, list | tuple) else curr
        curr_pos = curr_pos[0] if isinstance(curr_pos, list | tuple) else curr_pos
        x = curr + 0.1 * curr_pos if self.pos_enc_at_input and curr_pos is not None else curr
        x_BNC, memory_BKD = x.transpose(0, 1), memory.transpose(0, 1)
        pos_BKD = memory_BKD.new_zeros(()) if memory_pos is None else memory_pos.transpose(0, 1)
        query_pos = None if curr_pos is None else curr_pos.transpose(0, 1)
        for layer in self.layers:
            for attention in layer._modules.values():
                if isinstance(attention, RoPEAttention):
                    attention.place(x_BNC.shape[1], x_BNC.device)
            x_BNC = layer(
                tgt=x_BNC, memory=memory_BKD, pos=pos_BKD, query_pos=query_pos, num_k_exclude_rope=num_obj_ptr_tokens,
                **({} if key_scale is None else {"key_scale": key_scale}),
            )  # fmt: skip
        return self.norm(x_BNC).transpose(0, 1)


QUERIES, KEYS = 512, 1024       # of a block of `attend_blockwise`: its 2 MB of scores fit a core's caches


def attend_blockwise(q_BNC: Tensor, k_BKC: Tensor, values_BKD: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(C)) values, (B, N, D); without gradients.

    One head, float32, values narrower than keys. Source of the running maximum and sum: Rabe and Staats 2021,
    "Self-attention does not need O(n^2) memory".
    """
    q_BNC = q_BNC * q_BNC.shape[2] ** -0.5
    answer_BND = values_BKD.new_empty(*q_BNC.shape[:2], values_BKD.shape[2])
    scratch = q_BNC.new_empty(min(QUERIES, q_BNC.shape[1]) * min(KEYS, k_BKC.shape[1]))
    for q_NC, k_KC, values_KD, answer_ND in zip(q_BNC, k_BKC, values_BKD, answer_BND, strict=True):
        for q_nC, answer_nD in zip(q_NC.split(QUERIES), answer_ND.split(QUERIES), strict=True):
            answer_nD.copy_(_attend(q_nC, k_KC.split(KEYS), values_KD.split(KEYS), scratch))
    return answer_BND


def _attend(q_nC: Tensor, keys: tuple[Tensor, ...], values: tuple[Tensor, ...], scratch: Tensor) -> Tensor:
    """Go through the keys once: what was summed up so far fades where a higher score turns up."""
    count = len(q_nC)
    top_n1 = q_nC.new_full((count, 1), -torch.inf)
    total_n1, sum_nD = q_nC.new_zeros(count, 1), q_nC.new_zeros(count, values[0].shape[1])
    for k_kC, values_kD in zip(keys, values, strict=True):
        scores_nk = torch.mm(q_nC, k_kC.T, out=scratch[: count * len(k_kC)].view(count, len(k_kC)))
        higher_n1 = torch.maximum(top_n1, scores_nk.amax(1, keepdim=True))
        fade_n1 = (top_n1 - higher_n1).exp_()
        weights_nk = scores_nk.sub_(higher_n1).exp_()
        total_n1.mul_(fade_n1).add_(weights_nk.sum(1, keepdim=True))
        sum_nD.mul_(fade_n1).addmm_(weights_nk, values_kD)
        top_n1 = higher_n1
    return sum_nD.div_(total_n1)
