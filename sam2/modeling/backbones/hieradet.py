"""The released import path of the trunk."""

from sam2.modeling.backbones.utils import PatchEmbed, window_partition, window_unpartition
from sam2.modeling.hiera import Hiera, MultiScaleAttention, MultiScaleBlock, do_pool
from sam2.modeling.layers import MLP, DropPath

__all__ = [
    "MLP", "DropPath", "Hiera", "MultiScaleAttention", "MultiScaleBlock", "PatchEmbed", "do_pool", "window_partition",
    "window_unpartition",
]  # fmt: skip
