"""Shot boundaries, found while frames are read: a frame that differs from the one before far more than its neighbours do.

The rule is that of PySceneDetect's adaptive detector: the change between two frames is the mean absolute difference of hue,
saturation and value; a cut changes by at least `LEAST`, and `TIMES` as much as the mean of the `WINDOW` changes on either side.
It is the same read forward and backward, and with any part of the video, as each frame is judged by its neighbours alone.

Legend: H, W a frame's height and width, h, w those of its small picture.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

Image8 = npt.NDArray[np.uint8]

LEAST, TIMES, WINDOW = 15.0, 3.0, 2
SAMPLED_SIDE, REDUCED_BY = 192, 4   # pixels of the longer side that are looked at, and how many make one of the small picture
HUES = 180.0 / 256.0                # of hue: a degree counts half, as where the constants come from
AHEAD = WINDOW + 1                  # frames that are read before one is judged, on either side
HELD = AHEAD + 1                    # full frames that wait until they are asked for


class Frames(Protocol):
    @property
    def frame_indices(self) -> Sequence[int]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> Image8: ...
    def pts_seconds(self, position: int) -> float: ...


class FoundCuts(Collection[int]):
    """Cuts as they are found: the first frames of shots, by the source's index, in ascending order."""

    def __init__(self, cuts: Collection[int] = ()) -> None:
        # Replaced as a whole: one thread reads frames while another asks.
        self._cuts = tuple(sorted(cuts))

    def add(self, frame_idx: int) -> None:
        """Take in one cut."""
        self._cuts = tuple(sorted({*self._cuts, frame_idx}))

    def __contains__(self, frame_idx: object) -> bool:
        return frame_idx in self._cuts

    def __iter__(self) -> Iterator[int]:
        return iter(self._cuts)

    def __len__(self) -> int:
        return len(self._cuts)


class ShotFrames:
    """Sampled frames that find the cuts around each frame before it is given; at most `HELD` more frames are held for that."""

    def __init__(self, frames: Frames) -> None:
        self.cuts = FoundCuts()
        self._frames = frames
        self._small: OrderedDict[int, Image8] = OrderedDict()
        self._change: dict[int, float] = {}
        self._ready: OrderedDict[int, Image8] = OrderedDict()
        self._judged: set[int] = {0, len(frames)}

    @property
    def frame_indices(self) -> Sequence[int]:
        """The source's frame index of each sampled frame."""
        return self._frames.frame_indices

    def pts_seconds(self, position: int) -> float:
        """The presentation time of a frame, in seconds from the file's start."""
        return self._frames.pts_seconds(position)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, position: int, /) -> Image8:
        # The boundaries on both sides: tracking may come from either.
        for at in (position, position + 1):
            if at not in self._judged:
                self._judge(at)
        frame_HW3 = self._ready.pop(position, None)
        return self._frames[position] if frame_HW3 is None else frame_HW3

    def _judge(self, at: int) -> None:
        near = range(max(1, at - WINDOW), min(len(self) - 1, at + WINDOW) + 1)
        changes = {k: self._change_to(k) for k in near}
        if is_cut(changes.pop(at), list(changes.values())):
            self.cuts.add(self.frame_indices[at])
        self._judged.add(at)

    def _change_to(self, at: int) -> float:
        if at not in self._change:
            before, after = self._picture(at - 1), self._picture(at)
            self._change[at] = change(before, after)
        return self._change[at]

    def _picture(self, at: int) -> Image8:
        if at not in self._small:
            self._ready[at] = self._frames[at]
            self._small[at] = small_picture(self._ready[at])
            while len(self._ready) > HELD:
                self._ready.popitem(last=False)
            while len(self._small) > 4 * AHEAD:
                self._small.popitem(last=False)
        return self._small[at]


def small_picture(rgb_HW3: Image8) -> Image8:
    """Return a frame (H, W, 3) as hue, saturation and value (h, w, 3) of a picture some 48 pixels across."""
    step = max(1, max(rgb_HW3.shape[:2]) // SAMPLED_SIDE)
    picture = Image.fromarray(np.ascontiguousarray(rgb_HW3[::step, ::step]))
    small_hw3: Image8 = np.asarray(picture.reduce(REDUCED_BY).convert("HSV"))
    return small_hw3


def change(before_hw3: Image8, after_hw3: Image8) -> float:
    """Return how much one small picture differs from another, 0 to about 200."""
    difference_hw3 = np.abs(after_hw3.astype(np.int16) - before_hw3)
    hue, saturation, value = difference_hw3.reshape(-1, 3).mean(axis=0)
    return float((HUES * hue + saturation + value) / 3)


def is_cut(changed: float, around: Sequence[float]) -> bool:
    """Whether a change is one between shots; `around` are those beside it, without any there is no cut."""
    return bool(around) and changed >= LEAST and changed >= TIMES * sum(around) / len(around)
