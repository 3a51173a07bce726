"""Signals of an object's coming and going: gaps, losses, returns, and scores that contradict the masks."""

import math

import numpy as np

from labeling.geometry import runs
from labeling.qc import series
from labeling.qc.series import Series

SignalValues = dict[str, tuple[float | None, series.Positions | None]]

UNSURE_SCORE = 3.0  # an object score nearer to 0 than this is undecided
SHRUNK = 0.5  # of the median area: below it, a disappearance was announced
LOOK_FRAMES = 12  # on either side of a gap, to know the object by
BORDER_DISCOUNT = 0.3  # of a loss at the end, when the last mask touched the border


def presence_signals(frames: Series, presence_threshold: float, frame_seconds: float) -> SignalValues:
    """Measure presence over one or more frames.

    `presence_conflict` and `presence_dither`: shares of frames whose object score and mask disagree, and whose score is
    within 3 of 0. `gap_rate`: present -> absent changes per second. `unexplained_absence`: share of frames that are empty
    although the last mask neither touched the border nor was below half the median area; another object in front is not
    known here. `tail_loss`: share of frames after the last mask, times 0.3 when that touched the border.
    `reentry_mismatch`: see `_mismatch`, the largest over gaps.
    """
    visible, logit = frames.visible, frames["object_score"]
    conflict, unsure = (logit > presence_threshold) != visible, np.abs(logit) < UNSURE_SCORE
    signals: SignalValues = {
        "presence_conflict": (float(conflict.mean()), series.longest(conflict)),
        "presence_dither": (float(unsure.mean()), series.longest(unsure)),
    }
    if visible.any():
        signals |= _gap_signals(frames, frame_seconds)
    return signals


def _gap_signals(frames: Series, frame_seconds: float) -> SignalValues:
    visible, pts, num_frames = frames.visible, frames["pts_seconds"], len(frames)
    seen = np.flatnonzero(visible)
    first, last = int(seen[0]), int(seen[-1])
    # What is empty before the first mask is not a loss: the object has not come yet.
    gaps = [gap for gap in runs(~visible) if gap[0] > first]
    seconds = float(pts[-1] - pts[0]) + (frames.step_seconds or frame_seconds)
    unexplained = [gap for gap in gaps if not _announced(frames, gap[0] - 1)]
    tail = num_frames - 1 - last
    left_by_border = frames["border"][last] == 1
    mismatches = [(_mismatch(frames, gap), gap) for gap in gaps if gap[1] < num_frames]
    worst, where = max(mismatches, default=(None, None))
    return {
        "gap_rate": (len(gaps) / seconds if seconds > 0 else None, (gaps[0][0], gaps[-1][1]) if gaps else None),
        "unexplained_absence": (
            sum(b - a for a, b in unexplained) / num_frames,
            max(unexplained, key=lambda gap: gap[1] - gap[0], default=None),
        ),
        "tail_loss": (
            tail / num_frames * (BORDER_DISCOUNT if left_by_border else 1.0),
            (last + 1, num_frames) if tail else None,
        ),
        "reentry_mismatch": (worst, (where[0] - 1, where[1] + 1) if where else None),
    }


def _announced(frames: Series, last: int) -> bool:
    """Whether the mask before a gap touched the border or had shrunk below half the median area."""
    area = frames["area"]
    return bool(frames["border"][last] == 1 or area[last] < SHRUNK * np.median(area[frames.visible]))


def _mismatch(frames: Series, gap: series.Positions) -> float:
    """How unlike the object that returns is to the one that left: |change of ln area| + speed in object lengths a frame
    + |change of elongation| + |change of extent|.

    The way is that from the last to the first mask; the rest is what `_usual_look` sees on either side, since what goes
    behind something leaves and returns as a sliver.
    """
    before, after = gap[0] - 1, gap[1]
    old, new = _usual_look(frames, range(before, -1, -1)), _usual_look(frames, range(after, len(frames)))
    way = math.hypot(*(frames[axis][after] - frames[axis][before] for axis in ("centre_x", "centre_y")))
    speed = way / (math.sqrt(math.exp(old[0])) * (after - before))
    return speed + sum(abs(a - b) for a, b in zip(old, new, strict=True))


def _usual_look(frames: Series, positions: range) -> tuple[float, ...]:
    """Return ln area, elongation and extent: medians over the larger half of the nearest 12 visible frames."""
    visible = frames.visible
    near = np.array([t for t in positions[: 4 * LOOK_FRAMES] if visible[t]][:LOOK_FRAMES])
    area = frames["area"][near]
    large = near[area >= np.median(area)]
    return (
        math.log(float(np.median(frames["area"][large]))),
        float(np.median(frames["elongation"][large])),
        float(np.median(frames["extent"][large])),
    )
