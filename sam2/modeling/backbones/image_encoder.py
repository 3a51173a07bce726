"""The released import path of the image encoder."""

from sam2.modeling.fpn_neck import FpnNeck, ImageEncoder

__all__ = ["FpnNeck", "ImageEncoder"]
