"""The released import path of the mask decoder."""

from sam2.modeling.layers import MLP, LayerNorm2d
from sam2.modeling.mask_decoder import MaskDecoder

__all__ = ["MLP", "LayerNorm2d", "MaskDecoder"]
