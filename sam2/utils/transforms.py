"""The released import path of the image predictor's transforms."""

from sam2.transforms import SAM2Transforms

__all__ = ["SAM2Transforms"]
