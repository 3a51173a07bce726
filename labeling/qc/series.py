"""All frames of one object as a series, and sums over series: runs, steps, soft minima.

Positions count sampled frames; spans are half-open.
"""

import bisect
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeling.geometry import runs
from labeling.qc.measure import FIELDS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Positions = tuple[int, int]

STEP_MARGIN = 5  # frames that a step needs on either side
_MOST_BLOCKS = 2048  # points that a step is looked for among


@dataclass(frozen=True, slots=True)
class Series:
    """All frames of one object as an array (T, len(FIELDS)), read by field name."""

    rows: Floats

    def __getitem__(self, name: str) -> Floats:
        """Return one field of every frame (T,)."""
        column: Floats = self.rows[:, FIELDS.index(name)]
        return column

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def visible(self) -> Bools:
        """Which frames have a mask (T,)."""
        return self["area"] > 0

    @property
    def step_seconds(self) -> float:
        """The usual time between sampled frames, 0.0 when there is only one."""
        return float(np.median(np.diff(self["pts_seconds"]))) if len(self) > 1 else 0.0

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Turn positions [start, stop) into a half-open span of source frame indices."""
        frame_idx = self["frame_idx"]
        return int(frame_idx[start]), int(frame_idx[stop - 1]) + 1


def finite(values_T: Floats) -> Floats:
    """Return the values that are numbers."""
    return values_T[np.isfinite(values_T)]


def percentile(values_T: Floats, percent: float) -> float | None:
    """Return a percentile of the values that are numbers, or None when there are none."""
    numbers = finite(values_T)
    return float(np.percentile(numbers, percent)) if numbers.size else None


def soft_minimum(values_T: Floats, temperature: float) -> float | None:
    """Return -t ln mean exp(-v / t): near the least value when a good share of frames is low, near the mean when none is."""
    numbers = finite(values_T)
    if numbers.size == 0:
        return None
    low = float(numbers.min())
    return low - temperature * math.log(float(np.mean(np.exp(-(numbers - low) / temperature))))


def where_least(values_T: Floats) -> Positions | None:
    """Return the position of the least number, as a span of one frame."""
    if not np.isfinite(values_T).any():
        return None
    at = int(np.nanargmin(values_T))
    return at, at + 1


def where_most(values_T: Floats) -> Positions | None:
    """Return the position of the greatest number, as a span of one frame."""
    return where_least(-values_T)


def longest(flags_T: Bools) -> Positions | None:
    """Return the longest span where the flag is on, the first of equals, or None."""
    return max(runs(flags_T), key=lambda span: span[1] - span[0], default=None)


def largest_step(values_T: Floats) -> tuple[float, int] | None:
    """Return the greatest |median before - median after| over all splits, and the position the later part starts at.

    A split leaves at least `STEP_MARGIN` frames on either side; None when there are too few. A series of more than 2048
    frames is looked at in blocks of equal length, by their medians, so that the cost stays that of the frames.
    """
    block = -(-values_T.size // _MOST_BLOCKS)
    whole = values_T.size // block * block if block else 0
    points = np.median(values_T[:whole].reshape(-1, block), axis=1) if block > 1 else values_T
    margin = -(-STEP_MARGIN // block) if block else STEP_MARGIN
    if points.size < 2 * margin:
        return None
    before = _running_medians(points)
    after = _running_medians(points[::-1])[::-1]
    splits = np.arange(margin, points.size - margin + 1)
    steps = np.abs(before[splits - 1] - after[splits])
    # Several splits beside a step can be equally good; the step is in their middle.
    height = float(steps.max())
    best = np.flatnonzero(steps >= height - 1e-9)
    return height, int(splits[best[best.size // 2]]) * block


def _running_medians(values_T: Floats) -> Floats:
    """Return the median of the first 1, 2, ... values."""
    ordered: list[float] = []
    medians = np.empty(values_T.size)
    for count, value in enumerate(values_T.tolist(), start=1):
        bisect.insort(ordered, value)
        medians[count - 1] = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return medians
