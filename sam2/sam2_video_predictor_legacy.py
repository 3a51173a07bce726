"""The released import path of the predictor before objects were independent; `SAM2VideoPredictor` serves both."""

from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor

__all__ = ["NO_OBJ_SCORE", "SAM2Base", "SAM2VideoPredictor"]
