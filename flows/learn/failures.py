"""Where tracking fails: what a wrong mask covers on a frame, what went wrong with a track, and the long-term measures.

A mask is right on a frame where its J with the truth is 0.5 or more; a track is bad where its mean J is below 0.5.

Shape suffixes: H frame height, W frame width.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

RIGHT_FROM = 0.5            # of the J of a frame
BAD_BELOW = 0.5             # of the mean J of a track
MOST = 0.5                  # share of a mask, or of an object, from which on it counts as most of it

Bools = npt.NDArray[np.bool_]


class Failure(Enum):
    """What wrong masks cover: another object, ground, a part of the object or too much, nothing; or wrong from the start."""

    swap = "swap"
    drift = "drift"
    boundary = "boundary"
    lost = "lost"
    seed = "seed"


def frame_failure(found_HW: Bools, true_HW: Bools, others_HW: Bools, *, j: float) -> Failure | None:
    """Say what a frame's mask covers where its J is below 0.5; None where it is right, or both are empty.

    `others_HW` is the truth of all other objects together; what lies on the object too counts as the object's. Nothing is
    `lost`; a mask that lies on other objects for the most part is a `swap`; one that lies on the object for the most part (a
    part of it) or holds most of it (too much) is `boundary`; any other is `drift`.
    """
    if j >= RIGHT_FROM:
        return None
    area = int(found_HW.sum())
    if not area:
        return Failure.lost
    true_area, shared = int(true_HW.sum()), int((found_HW & true_HW).sum())
    if (found_HW & others_HW & ~true_HW).sum() > MOST * area:
        return Failure.swap
    if true_area and (shared >= MOST * area or shared >= MOST * true_area):
        return Failure.boundary
    return Failure.drift


def track_failure(failures: Sequence[Failure | None], shown: Sequence[bool]) -> Failure | None:
    """Say what went wrong with a track, from its frames; `shown` says where truth or mask is not empty.

    `seed` where no frame of the first half of those shown is right, else what is commonest among its frames (the first named
    by `Failure` of several); None where no frame is wrong.
    """
    counts = Counter(failure for failure in failures if failure is not None)
    if not counts:
        return None
    visible = [failure for failure, shows in zip(failures, shown, strict=True) if shows]
    if None not in visible[: math.ceil(len(visible) / 2)]:
        return Failure.seed
    return max(Failure, key=lambda kind: counts[kind])


@dataclass(frozen=True, slots=True)
class LongTerm:
    """Frames counted for the measures of long-term tracking.

    Of frames that show the object: `right` (J of 0.5 or more), `elsewhere` (a mask of less), `missed` (no mask). Of the others:
    `imagined` (a mask), `noticed` (none). The measures are named as in VOTS 2023; what is right there is decided here by J.
    """

    right: int = 0
    elsewhere: int = 0
    missed: int = 0
    imagined: int = 0
    noticed: int = 0

    @classmethod
    def of(cls, j: Sequence[float], found: Sequence[bool], present: Sequence[bool]) -> "LongTerm":
        """Count the frames of a track."""
        frames = list(zip(j, found, present, strict=True))
        return cls(
            right=sum(shows and has and value >= RIGHT_FROM for value, has, shows in frames),
            elsewhere=sum(shows and has and value < RIGHT_FROM for value, has, shows in frames),
            missed=sum(shows and not has for _, has, shows in frames),
            imagined=sum(has and not shows for _, has, shows in frames),
            noticed=sum(not has and not shows for _, has, shows in frames),
        )

    @classmethod
    def total(cls, counts: Iterable["LongTerm"]) -> "LongTerm":
        """Count the frames of many tracks, each frame alike."""
        rows = [(c.right, c.elsewhere, c.missed, c.imagined, c.noticed) for c in counts]
        return cls(*(sum(column) for column in zip(*rows, strict=True)))

    @property
    def nre(self) -> float | None:
        """Not-reported error: the share of frames with the object on which there is no mask; None without such frames."""
        return _share(self.missed, self.right + self.elsewhere + self.missed)

    @property
    def dre(self) -> float | None:
        """Drift-rate error: the share of frames with the object on which a mask is not right; None without such frames."""
        return _share(self.elsewhere, self.right + self.elsewhere + self.missed)

    @property
    def adq(self) -> float | None:
        """Absence-detection quality: the share of frames without the object that have no mask; None without such frames."""
        return _share(self.noticed, self.noticed + self.imagined)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
