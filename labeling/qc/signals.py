"""Every signal of one masklet, measured while its frames go by; what stays is numbers and the previous mask's runs.

A signal is a number by column name, None where it has no meaning (no visible frame, one frame, no such score). "Next" means
the next sampled frame, so a stride changes what a step is. A signal that names a place has a span of source frame indices:
the worst frame, the pair around a jump, the longest run of what is counted. Formulas are in the four functions below and in
`labeling/qc/presence.py`; those of `containment` in `labeling/qc/containment.py`, as it needs the other objects.
"""

import bisect
import math
from array import array
from collections.abc import Collection
from fractions import Fraction

import numpy as np

from labeling.qc import series
from labeling.qc.measure import FIELDS, MaskBefore, measure, row_of
from labeling.qc.presence import SignalValues, presence_signals
from labeling.qc.series import Bools, Floats, Series
from labeling.types import FrameMask, Signals

TEMPERATURE = 0.1  # of the soft minimum of predicted IoU
LOW_PREDICTED_IOU = 0.75
LARGE_JUMP = 0.35  # of ln area between neighbours
LARGE_PART = 0.08  # second part's area over the whole
HIDDEN = 0.5  # of the median area: below it, something is in front of the object
END = 4  # of so many parts of the visible frames, the last
CUT_OFF = 0.8  # of the median area: below it at the border, part of the object is outside

FIRST_COLUMNS = (
    "num_frames",
    "visible_frames",
    "visible_share",
    "predicted_iou_softmin",
    "predicted_iou_median",
    "predicted_iou_low_run_s",
    "object_score_min",
    "object_score_median",
    "area_median",
    "area_min_share",
    "presence_conflict",
    "presence_dither",
    "innovation_p95",
    "innovation_max",
    "motion_iou_p5",
    "compensated_iou_min",
    "compensated_iou_p5",
    "area_jump_max",
    "area_jump_share",
    "area_step",
    "shape_step",
    "fragmentation_max",
    "fragmentation_share",
    "holes_max",
    "gap_rate",
    "unexplained_absence",
    "tail_loss",
    "reentry_mismatch",
    "frozen",
    "border_share",
    "stability_p5",
    "candidate_gap_p5",
    "pointer_similarity_p5",
)
# Columns that came later: `tracks` of older releases have nulls there.
LATER_COLUMNS = (
    "predicted_iou_p10",
    "predicted_iou_mean",
    "predicted_iou_end",
    "stability_mean",
    "extent_median",
    "look_seed_mean",
    "look_seed_end",
    "look_ring_mean",
    "look_contrast_p10",
    "look_contrast_end",
    "look_lead_p10",
    "look_lead_end",
    "colour_seed_mean",
    "colour_contrast_p10",
    "colour_contrast_end",
    "colour_lead_p10",
    "colour_lead_end",
    "edge_gradient_mean",
    "edge_gradient_p10",
    "edge_gradient_change",
    "seed_fit",
    "seed_agreement",
    "seed_twin",
    "cut",
)
COLUMNS = (*FIRST_COLUMNS, *LATER_COLUMNS)


class SignalMeter:
    """Measures one masklet frame by frame, then gives its signals.

    `presence_threshold` is the object score above which the tracker kept a mask (0 for SAM 2, -1 for SAMURAI).
    """

    def __init__(self, size_hw: tuple[int, int], frame_rate: Fraction | float, presence_threshold: float) -> None:
        if not frame_rate > 0:
            raise ValueError(f"frame_rate is {frame_rate!r}; expected frames per second above 0")
        if not math.isfinite(presence_threshold):
            raise ValueError(f"presence_threshold is {presence_threshold!r}; expected an object score, as -1.0 for SAMURAI")
        self._size_hw = (int(size_hw[0]), int(size_hw[1]))
        self._frame_seconds = 1.0 / float(frame_rate)
        self._presence_threshold = float(presence_threshold)
        self._rows = array("d")
        self._last_idx = -1
        self._before: MaskBefore | None = None

    def add(self, mask: FrameMask) -> None:
        """Measure the next frame; a ValueError when frames do not ascend or the mask has another size."""
        if mask.frame_idx <= self._last_idx:
            raise ValueError(f"frame_idx is {mask.frame_idx} after {self._last_idx}; expected ascending frames, each once")
        if mask.rle.size_hw != self._size_hw:
            raise ValueError(f"frame {mask.frame_idx} has a mask of size_hw {mask.rle.size_hw}; expected {self._size_hw}")
        numbers, self._before = measure(mask, self._before)
        self._rows.extend(row_of(numbers))
        self._last_idx = mask.frame_idx

    def signals(self) -> Signals:
        """Return every column of `COLUMNS` for the frames so far, and the spans of those that name a place."""
        frames = Series(np.array(self._rows).reshape(-1, len(FIELDS)))
        signals: SignalValues = dict.fromkeys(COLUMNS, (None, None)) | _counts(frames)
        if len(frames):
            signals |= score_signals(frames, self._presence_threshold, self._frame_seconds)
            signals |= presence_signals(frames, self._presence_threshold, self._frame_seconds)
            signals |= motion_signals(frames)
            signals |= shape_signals(frames)
            signals |= look_signals(frames)
        return Signals(
            values={name: signals[name][0] for name in COLUMNS},
            spans={name: frames.span(*at) for name in COLUMNS if (at := signals[name][1]) and signals[name][0] is not None},
        )

    def signals_of_cuts(self, cuts: Collection[int]) -> Signals:
        """Return `cut`: between how many of the frames so far a shot ends; its place is the pair around the first such end."""
        frames = Series(np.array(self._rows).reshape(-1, len(FIELDS)))
        indices = frames["frame_idx"].astype(int).tolist() if len(frames) else []
        passed = sorted(cut for cut in cuts if indices and indices[0] < cut <= indices[-1])
        at = bisect.bisect_left(indices, passed[0]) if passed else 0
        return Signals({"cut": float(len(passed))}, {"cut": (indices[at - 1], indices[at] + 1)} if passed else {})


def _counts(frames: Series) -> SignalValues:
    visible = frames.visible
    return {
        "num_frames": (float(len(frames)), None),
        "visible_frames": (float(visible.sum()), series.longest(~visible)),
        "visible_share": (float(visible.mean()) if len(frames) else 0.0, series.longest(~visible)),
    }


def score_signals(frames: Series, presence_threshold: float, frame_seconds: float) -> SignalValues:
    """Signals of what the network says of itself, read on visible frames alone.

    Predicted IoU as a soft minimum over frames (temperature 0.1) and as the longest time in seconds that it stays below 0.75
    while the object is present; object score; 5th percentiles of the scores that only tracking can give.
    """
    visible = frames.visible

    def seen(name: str) -> Floats:
        return np.where(visible, frames[name], np.nan)

    quality, presence = seen("predicted_iou"), seen("object_score")
    low = (frames["predicted_iou"] < LOW_PREDICTED_IOU) & (frames["object_score"] > presence_threshold)
    low_run = series.longest(low)
    step_s = frames.step_seconds or frame_seconds
    signals: SignalValues = {
        "predicted_iou_softmin": (series.soft_minimum(quality, TEMPERATURE), series.where_least(quality)),
        "predicted_iou_median": (series.percentile(quality, 50), None),
        "predicted_iou_low_run_s": (_seconds(frames, low_run, step_s) if visible.any() else None, low_run),
        "object_score_min": (series.percentile(presence, 0), series.where_least(presence)),
        "object_score_median": (series.percentile(presence, 50), None),
    }
    for name in ("motion_iou", "stability", "candidate_gap", "pointer_similarity"):
        signals[f"{name}_p5"] = (series.percentile(seen(name), 5), series.where_least(seen(name)))
    signals["predicted_iou_p10"] = (series.percentile(quality, 10), series.where_least(quality))
    signals["predicted_iou_end"] = _end(quality)
    return signals | {f"{name}_mean": (_mean(seen(name)), None) for name in ("predicted_iou", "stability")}


def look_signals(frames: Series) -> SignalValues:
    """Signals of what the object looks like on visible frames, by the encoder's features (`look`) and by `colour`.

    Likeness to the object's seed, and of what is around it (`ring`) to that seed. Contrast: the first less the second, low
    where the mask ends inside of something. Lead: likeness to the own seed less that to the most like of the others', below
    0 after a swap. Each as a mean, as a 10th percentile, or over the last quarter (`end`). Edge gradient: mean, 10th
    percentile, and the last quarter less the first.
    """
    visible = frames.visible

    def seen(name: str) -> Floats:
        return np.where(visible, frames[name], np.nan)

    signals: SignalValues = {"look_ring_mean": (_mean(seen("look_ring")), None), "look_seed_end": _end(seen("look_seed"))}
    for kind in ("look", "colour"):
        seed, contrast = seen(f"{kind}_seed"), seen(f"{kind}_seed") - seen(f"{kind}_ring")
        signals[f"{kind}_seed_mean"] = (_mean(seed), series.where_least(seed))
        for name, values in (("contrast", contrast), ("lead", seed - seen(f"{kind}_other"))):
            signals[f"{kind}_{name}_p10"] = (series.percentile(values, 10), series.where_least(values))
            signals[f"{kind}_{name}_end"] = _end(values)
    edge = seen("edge_gradient")
    first, last = _end(edge[::-1])[0], _end(edge)[0]
    return signals | {
        "edge_gradient_mean": (_mean(edge), None),
        "edge_gradient_p10": (series.percentile(edge, 10), series.where_least(edge)),
        "edge_gradient_change": (None if first is None or last is None else last - first, None),
    }


def motion_signals(frames: Series) -> SignalValues:
    """Signals of movement between neighbouring visible frames, but for two `partial` ones in a row.

    Innovation: the centre's second difference over the root of the area, so in object lengths. Compensated IoU: neighbouring
    masks after the centre's step is taken out. Frozen: share of neighbours that are the same to the byte.
    """
    x, y, telling = frames["centre_x"], frames["centre_y"], telling_pairs(frames)
    turn = np.hypot(x[2:] - 2 * x[1:-1] + x[:-2], y[2:] - 2 * y[1:-1] + y[:-2]) / np.sqrt(np.maximum(frames["area"][2:], 1))
    turn = np.where(telling[1:] & telling[:-1], turn, np.nan)
    overlap, frozen = np.where(telling, frames["compensated_iou"][1:], np.nan), frames["frozen"]
    at_turn, at_overlap = _widen(series.where_most(turn), after=2), _widen(series.where_least(overlap), after=1)
    still = series.longest(frozen == 1)
    return {
        "innovation_p95": (series.percentile(turn, 95), at_turn),
        "innovation_max": (series.percentile(turn, 100), at_turn),
        "compensated_iou_min": (series.percentile(overlap, 0), at_overlap),
        "compensated_iou_p5": (series.percentile(overlap, 5), at_overlap),
        "frozen": (_mean(frozen), _widen(still, before=1)),
    }


def partial(frames: Series) -> Bools:
    """Mark frames (T,) that show a part of the object: below half its median area, or below 0.8 of it at the border.

    What passes behind something or out of the frame changes in size, centre and shape without any error; a thing that is at
    the border all along has its median there, and is not partial.
    """
    area, visible = frames["area"], frames.visible
    usual = float(np.median(area[visible])) if visible.any() else 0.0
    hidden, cut_off = area < HIDDEN * usual, (frames["border"] == 1) & (area < CUT_OFF * usual)
    part: Bools = visible & (hidden | cut_off)
    return part


def telling_pairs(frames: Series) -> Bools:
    """Mark neighbours (T-1,) of which at least one shows the whole object; to go from whole to partial is told, too."""
    part = partial(frames)
    telling: Bools = ~(part[1:] & part[:-1])
    return telling


def shape_signals(frames: Series) -> SignalValues:
    """Signals of size and form on visible frames.

    Jumps: |change of ln area| between neighbours, the largest and the share above 0.35, but for two `partial` ones in a row.
    Steps: the largest change of the median, over all splits, of ln area (without frames cut off by the border), and of
    elongation, spread and extent (without partial frames; the largest of the three). Parts: the second connected part's area
    over the whole, the largest and the share of frames above 0.08.
    """
    area, parts, border = np.where(frames.visible, frames["area"], np.nan), frames["second_part"], frames["border"]
    jump = np.where(telling_pairs(frames), np.abs(np.diff(np.log(area))), np.nan)
    at_jump = _widen(series.where_most(jump), after=1)
    least, middle = series.percentile(area, 0), series.percentile(area, 50)
    whole = frames.visible & ~partial(frames)
    inside = frames.visible & ~(partial(frames) & (border == 1))
    return {
        "area_median": (middle, None),
        "area_min_share": (least / middle if least and middle else None, series.where_least(area)),
        "area_jump_max": (series.percentile(jump, 100), at_jump),
        "area_jump_share": (_share(jump, LARGE_JUMP), at_jump),
        "fragmentation_max": (series.percentile(parts, 100), series.where_most(parts)),
        "fragmentation_share": (_share(parts, LARGE_PART), series.longest(parts > LARGE_PART)),
        "holes_max": (series.percentile(frames["holes"], 100), series.where_most(frames["holes"])),
        "border_share": (_mean(border), series.longest(border == 1)),
        "area_step": _step([np.log(area)], inside),
        "extent_median": (series.percentile(frames["extent"], 50), None),
        "shape_step": _step([frames["elongation"], frames["spread"], frames["extent"]], whole),
    }


def _step(curves: list[Floats], among: Bools) -> tuple[float | None, series.Positions | None]:
    """Return the largest step of any curve over the marked frames, and the pair of them it lies between."""
    seen = np.flatnonzero(among)
    steps = [step for curve in curves if (step := series.largest_step(curve[seen]))]
    if not steps:
        return None, None
    height, at = max(steps)
    return height, (int(seen[at - 1]), int(seen[at]) + 1)


def _seconds(frames: Series, run: series.Positions | None, step_s: float) -> float:
    """Return how long a run lasts, to the beginning of the frame after it."""
    if run is None:
        return 0.0
    pts = frames["pts_seconds"]
    end = pts[run[1]] if run[1] < len(frames) else pts[run[1] - 1] + step_s
    return float(end - pts[run[0]])


def _widen(at: series.Positions | None, *, before: int = 0, after: int = 0) -> series.Positions | None:
    return (at[0] - before, at[1] + after) if at else None


def _mean(values_T: Floats) -> float | None:
    finite = series.finite(values_T)
    return float(finite.mean()) if finite.size else None


def _end(values_T: Floats) -> tuple[float | None, series.Positions | None]:
    """Return the mean of the last quarter of the values that are numbers, and where they lie."""
    at = np.flatnonzero(np.isfinite(values_T))
    if not at.size:
        return None, None
    last = at[-max(1, at.size // END) :]
    return float(values_T[last].mean()), (int(last[0]), int(last[-1]) + 1)


def _share(values_T: Floats, above: float) -> float | None:
    finite = series.finite(values_T)
    return float((finite > above).mean()) if finite.size else None
