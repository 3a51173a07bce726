"""Runs the network for the page: a mask from clicks on one frame, and a short span tracked from corrections."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeling.config import TrackDirection
from labeling.errors import BadInput, DeadlineExceeded, Unavailable
from labeling.ingest.decode import FrameReader
from labeling.review.web.cache import LruCache
from labeling.track.correction import Clicked, FrameInHand, click, follow_from, take_frame
from labeling.track.predictor import Predictor, arithmetic
from labeling.types import RLE, Box, FrameMask, Point, Prompt

MAX_SPAN = 120
FRAMES_IN_HAND = 8
DEADLINE_S = 60.0
WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Network:
    """A predictor with the arithmetic and device that it runs with."""

    predictor: Predictor
    precision: str = "fp32"
    device: str = "cpu"


class Clicker:
    """Answers clicks and short propagations with a network that is built when first asked for.

    `build` None means that this server has no network; `why` is the message of Unavailable then.
    """

    def __init__(self, build: Callable[[], Network] | None, *, why: str = "") -> None:
        self._build, self._why = build, why or "this server runs without a network; start it with model=..."
        self._built: Network | None = None
        self._building, self._tracking = threading.Lock(), threading.Lock()
        self._frames: LruCache[tuple[str, int], FrameInHand] = LruCache(FRAMES_IN_HAND)
        self._newest: dict[str, threading.Event] = {}

    def network(self) -> Network:
        """The network, built the first time; Unavailable where there is none."""
        if self._build is None:
            raise Unavailable(self._why, "no_network")
        with self._building:
            if self._built is None:
                self._built = self._build()
            return self._built

    def click(
        self, content_id: str, frame_idx: int, rgb: Callable[[], npt.NDArray[np.uint8]], *, points_xy: Sequence[Point],
        labels: Sequence[int], box_xyxy: Box | None, mask: RLE | None,
    ) -> Clicked:
        """The mask that clicks give on a frame; `rgb` reads it where it is not in hand. BadInput for a bad prompt."""
        network = self.network()
        frame = self._frames.of((content_id, frame_idx), lambda: take_frame(network.predictor, rgb()))
        return click(
            network.predictor, frame, points_xy=points_xy, labels=labels, box_xyxy=box_xyxy, mask=mask,
            precision=network.precision, device=network.device,
        )

    def track(
        self, frames: FrameReader, prompts: Sequence[Prompt], start: int, *, size_hw: tuple[int, int], reviewer: str
    ) -> tuple[Mapping[int, FrameMask], bool]:
        """Track one object both ways from frame `start`; the masks by frame, and whether that is all of them.

        An earlier request of `who` ends early, for its page no longer waits. At most `DEADLINE_S` seconds; Unavailable after
        `WAIT_S` seconds of waiting for another reviewer's tracking.
        """
        network = self.network()
        masks: dict[int, FrameMask] = {}
        given_up = self._newest_of(reviewer)
        with self._one_at_a_time(), arithmetic(network.precision, device=network.device):
            deadline = time.time() + DEADLINE_S
            try:
                for tracked in follow_from(network.predictor, frames, prompts, start, size_hw=size_hw, deadline=deadline):
                    masks[tracked.mask.frame_idx] = tracked.mask
                    if given_up.is_set():
                        return masks, False
            except DeadlineExceeded:
                return masks, False
        return masks, True

    def _newest_of(self, reviewer: str) -> threading.Event:
        """End a reviewer's earlier request; returns the event that a later one sets."""
        with self._building:
            before, self._newest[reviewer] = self._newest.get(reviewer), threading.Event()
            if before is not None:
                before.set()
            return self._newest[reviewer]

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._tracking.acquire(timeout=WAIT_S):
            raise Unavailable("the network is busy tracking for somebody else; try again in a moment", "busy")
        try:
            yield
        finally:
            self._tracking.release()


def window(
    frame_indices: Sequence[int], corrected: Sequence[int], *, direction: TrackDirection, span: tuple[int, int] | None
) -> tuple[int, ...]:
    """The frames to track through: at most 120 of those in `span`, from the corrections on the asked way.

    BadInput where a corrected frame is not among the tracked ones, or the corrections are too far apart.
    """
    inside = [i for i in frame_indices if span is None or span[0] <= i < span[1]]
    positions = {frame_idx: position for position, frame_idx in enumerate(inside)}
    missing = [i for i in corrected if i not in positions]
    if missing:
        shown = f"{inside[0]} to {inside[-1]}" if inside else "none"
        raise BadInput(f"frame {missing[0]} is not among the tracked ones ({shown})", "bad_prompt")
    first, last = (positions[pick(corrected)] for pick in (min, max))
    if last - first >= MAX_SPAN:
        message = f"the corrections lie {last - first + 1} frames apart; at most {MAX_SPAN} are tracked as a preview"
        raise BadInput(f"{message}: preview fewer at a time", "bad_prompt")
    spare = MAX_SPAN - (last - first + 1)
    before = {TrackDirection.forward: 0, TrackDirection.backward: spare, TrackDirection.both: spare // 2}[direction]
    start = max(0, first - before)
    stop = last + 1 if direction is TrackDirection.backward else min(len(inside), start + MAX_SPAN)
    return tuple(inside[start:stop])
