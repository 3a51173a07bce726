"""The released import path of attention and the decoder's transformer."""

from sam2.modeling.layers import MLP, Attention
from sam2.modeling.memory_attention import RoPEAttention
from sam2.modeling.position_encoding import apply_rotary_enc, compute_axial_cis
from sam2.modeling.two_way_transformer import TwoWayAttentionBlock, TwoWayTransformer

__all__ = [
    "MLP", "Attention", "RoPEAttention", "TwoWayAttentionBlock", "TwoWayTransformer", "apply_rotary_enc", "compute_axial_cis",
]  # fmt: skip
