"""An object tracked again on some frames alone: what lies outside them is the earlier version's, mask for mask.

Within a span the object is followed both ways from its first new correction, with the prompts that lie in the span: so one
that begins there is tracked forward alone, one that ends there backward. A reviewer's preview is made in the same way.
"""

import bisect
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from labeling.config import Direction
from labeling.jobs import KeptMasks
from labeling.track.follow import SampledFrames, Tracked, follow
from labeling.track.predictor import Predictor
from labeling.types import FrameMask, Prompt

Span = tuple[int, int]


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
    deadline: float,
) -> Iterator[Tracked]:
    """Follow one object from the prompt on frame `start` both ways to the ends of the frames; they come in ascending order.

    Errors are those of `follow`.
    """
    ends = frames.frame_indices[0], frames.frame_indices[-1] + 1
    ways = {Direction.backward: (ends[0], start + 1), Direction.forward: (start, ends[1])}
    for direction, span in ways.items():
        if direction is Direction.backward and ends[0] == start:
            continue
        prompts_within = [p for p in prompts if span[0] <= p.frame_idx < span[1]]
        part = FramesWithin(frames, span)
        for tracked in follow(predictor, part, prompts_within, size_hw=size_hw, direction=direction, deadline=deadline):
            if direction is Direction.forward or tracked.mask.frame_idx < start:
                yield tracked


def follow_within(
    predictor: Predictor, frames: SampledFrames, prompts: Sequence[Prompt], kept: KeptMasks, before: Sequence[FrameMask], *,
    size_hw: tuple[int, int], deadline: float,
) -> Iterator[Tracked]:
    """Follow one object within the spans of `kept` and take the masks of `before` elsewhere, in ascending frames.

    Errors are those of `follow`.
    """
    object_id, done = prompts[0].object_id, -1
    for span, start in zip(kept.spans, kept.starts, strict=True):
        yield from (Tracked(object_id, mask) for mask in before if done <= mask.frame_idx < span[0])
        prompts_within = [p for p in prompts if span[0] <= p.frame_idx < span[1]]
        yield from follow_from(predictor, FramesWithin(frames, span), prompts_within, start, size_hw=size_hw, deadline=deadline)
        done = span[1]
    yield from (Tracked(object_id, mask) for mask in before if mask.frame_idx >= done)
