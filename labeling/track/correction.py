"""What a reviewer's correction asks of the tracker: a mask at a click, and an object tracked again on some frames alone.

Clicks: one frame is asked often, so its features are made once; then clicks, a box and the present mask give a mask within
milliseconds. A frame in hand is a value; the predictor keeps nothing of it.

Spans: what lies outside them is the earlier version's, mask for mask. Within a span the object is followed both ways from its
first new correction, with the prompts that lie in the span: so one that begins there is tracked forward alone, one that ends
there backward. A reviewer's preview is made in the same way.

Legend: H, W the frame's height and width, 3 its colours.
"""

import bisect
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.config import PromptScope, TrackDirection
from labeling.errors import BadInput
from labeling.geometry import clipped
from labeling.jobs import KeptMasks
from labeling.track.follow import SampledFrames, Tracked, follow
from labeling.track.predictor import Predictor, arithmetic, mask_of
from labeling.track.prompts import PromptArrays, check_coordinates, prompt_arrays
from labeling.types import RLE, Box, FrameMask, Point, Prompt, Span

if TYPE_CHECKING:
    from torch import Tensor

    from sam2.tracking.state import VideoState

OBJECT, FRAME = 1, 0


class FramesWithin:
    """The sampled frames of a half-open span of source frames, read from those of the whole video."""

    def __init__(self, frames: SampledFrames, span: Span) -> None:
        self._frames = frames
        self._first, end = (bisect.bisect_left(frames.frame_indices, at) for at in span)
        self.frame_indices: Sequence[int] = frames.frame_indices[self._first : end]

    def __len__(self) -> int:
        return len(self.frame_indices)

    def __getitem__(self, position: int, /) -> npt.NDArray[np.uint8]:
        if not 0 <= position < len(self):
            raise IndexError(position)
        return self._frames[self._first + position]

    def pts_seconds(self, position: int) -> float:
        """The presentation time of a frame, in seconds from the file's start."""
        return self._frames.pts_seconds(self._first + position)


def follow_from(
    predictor: Predictor, frames: SampledFrames, prompts: Sequence[Prompt], start: int, *, size_hw: tuple[int, int],
    deadline: float, scope: PromptScope = PromptScope.all,
) -> Iterator[Tracked]:
    """Follow one object from the prompt on frame `start` both ways to the ends of the frames; they come in ascending order.

    Errors are those of `follow`.
    """
    ends = frames.frame_indices[0], frames.frame_indices[-1] + 1
    # Backward first: its masks come turned round, and so before those of the way forward.
    ways = {TrackDirection.backward: (ends[0], start + 1), TrackDirection.forward: (start, ends[1])}
    for direction, span in ways.items():
        if direction is TrackDirection.backward and ends[0] == start:
            continue
        prompts_within = [p for p in prompts if span[0] <= p.frame_idx < span[1]]
        part = FramesWithin(frames, span)
        followed = follow(
            predictor, part, prompts_within, size_hw=size_hw, direction=direction, scope=scope, deadline=deadline
        )
        for tracked in followed:
            # Both ways have the frame that they start from; it is the forward one's.
            if direction is TrackDirection.forward or tracked.mask.frame_idx < start:
                yield tracked


def follow_within(
    predictor: Predictor, frames: SampledFrames, prompts: Sequence[Prompt], kept: KeptMasks, before: Sequence[FrameMask], *,
    size_hw: tuple[int, int], deadline: float, scope: PromptScope = PromptScope.all,
) -> Iterator[Tracked]:
    """Follow one object within the spans of `kept` and take the masks of `before` elsewhere, in ascending frames.

    Errors are those of `follow`.
    """
    object_id, done = prompts[0].object_id, -1
    for span, start in zip(kept.spans, kept.starts, strict=True):
        yield from (Tracked(object_id, mask) for mask in before if done <= mask.frame_idx < span[0])
        prompts_within = [p for p in prompts if span[0] <= p.frame_idx < span[1]]
        part = FramesWithin(frames, span)
        yield from follow_from(
            predictor, part, prompts_within, start, size_hw=size_hw, deadline=deadline, scope=scope
        )
        done = span[1]
    yield from (Tracked(object_id, mask) for mask in before if mask.frame_idx >= done)


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
