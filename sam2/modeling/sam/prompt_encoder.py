"""The released import path of the prompt encoder."""

from sam2.modeling.layers import LayerNorm2d
from sam2.modeling.position_encoding import PositionEmbeddingRandom
from sam2.modeling.prompt_encoder import PromptEncoder

__all__ = ["LayerNorm2d", "PositionEmbeddingRandom", "PromptEncoder"]
