"""One frame asked often: its features are made once, then clicks, a box and the present mask give a mask within milliseconds.

A frame in hand is a value; the predictor keeps nothing of it. Legend: H, W the frame's height and width, 3 its colours.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.errors import BadInput
from labeling.geometry import clipped
from labeling.track.follow import PromptArrays, check_coordinates, prompt_arrays
from labeling.track.predictor import Predictor, arithmetic, mask_of
from labeling.types import RLE, Box, Point

if TYPE_CHECKING:
    from torch import Tensor

    from sam2.tracking.state import VideoState

OBJECT, FRAME = 1, 0


@dataclass(frozen=True, slots=True, eq=False)
class FrameInHand:
    """A frame with its features, made by `take_frame`; `lock` keeps two questions about it apart."""

    state: "VideoState"
    size_hw: tuple[int, int]
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Clicked:
    """What clicks gave: the mask, the network's own guess of its IoU, and the logit of the object being there."""

    mask: RLE
    predicted_iou: float
    object_score: float


def take_frame(predictor: Predictor, rgb_HW3: npt.NDArray[np.uint8]) -> FrameInHand:
    """Take one upright RGB frame (H, W, 3) uint8 in hand; the first question makes its features."""
    state = predictor.init_state([np.ascontiguousarray(rgb_HW3)], memory="all")
    return FrameInHand(state, (rgb_HW3.shape[0], rgb_HW3.shape[1]))


def click(
    predictor: Predictor, frame: FrameInHand, *, points_xy: Sequence[Point] = (), labels: Sequence[int] = (),
    box_xyxy: Box | None = None, mask: RLE | None = None, precision: str = "fp32", device: str = "cpu",
) -> Clicked:
    """Segment the object at clicks (labels 1 on it, 0 beside it) or in a box; `mask` is the present one, to be mended.

    Coordinates in pixels of the frame. BadInput (`bad_prompt`) for what is outside, missing or of another size.
    """
    if not points_xy and box_xyxy is None:
        raise BadInput("neither points nor a box came; expected at least one click, or a box", "bad_prompt")
    if mask is not None and mask.size_hw != frame.size_hw:
        raise BadInput(f"the mask is {mask.size_hw} (h, w), the frame {frame.size_hw}", "bad_prompt")
    check_coordinates("the click", frame.size_hw, points_xy=points_xy, box_xyxy=box_xyxy)
    arrays = prompt_arrays(points_xy, labels, None if box_xyxy is None else clipped(box_xyxy, frame.size_hw))
    with frame.lock, arithmetic(precision, device=device):
        try:
            return _ask(predictor, frame.state, arrays, mask)
        except ValueError as error:
            raise BadInput(str(error), "bad_prompt") from error
        finally:
            # The features stay; what was asked is forgotten, so that each question stands alone.
            frame.state.tracks.clear()


def _ask(predictor: Predictor, state: "VideoState", arrays: PromptArrays, mask: RLE | None) -> Clicked:
    if mask is not None and rle.area(mask):
        # The network takes the answer that is there on a frame as its mask prompt.
        predictor.add_new_mask(state, FRAME, OBJECT, rle.decode(mask))
    _, _, logits_N1HW = predictor.add_new_points_or_box(state, FRAME, OBJECT, **arrays)
    entry = state.tracks[OBJECT].entry_on(FRAME)
    assert entry is not None  # it was just asked for
    scores_K = entry.scores_K.float().cpu()
    return Clicked(rle.encode(mask_of(logits_N1HW[0] > 0)), _finite(scores_K[0]), _finite(scores_K[1]))


def _finite(value: "Tensor") -> float:
    number = float(value)
    return number if np.isfinite(number) else 0.0
