"""How right a track is against its true masks: J, F, presence, and whether predicted IoU ranks frames as true IoU does.

Shape suffixes: T frames, H height, W width, K values that are ranked.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from flows.learn.failures import BAD_BELOW, Failure, LongTerm, frame_failure, track_failure
from labeling.geometry import j_and_f, mask_box_xyxy

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackAccuracy:
    """One object of one clip, frame by frame, from the frame after its prompt on.

    `predicted_iou` is empty where masks came without one; `j_per_frame` is the true IoU (1.0 where both are empty).
    `failure_per_frame` is None where a frame is right, by `flows.learn.failures`.
    """

    clip: str
    object_number: int
    prompt_frame: int
    j_per_frame: tuple[float, ...]
    f_per_frame: tuple[float, ...]
    found: tuple[bool, ...]
    present: tuple[bool, ...]
    failure_per_frame: tuple[Failure | None, ...]
    predicted_iou: tuple[float, ...] = ()

    @property
    def j(self) -> float:
        """Mean J over frames."""
        return _mean(self.j_per_frame)

    @property
    def f(self) -> float:
        """Mean F over frames."""
        return _mean(self.f_per_frame)

    @property
    def j_and_f(self) -> float:
        """Mean of the two means."""
        return (self.j + self.f) / 2

    @property
    def presence(self) -> float:
        """Share of frames on which a mask was found exactly where the object is visible."""
        return _mean([found == present for found, present in zip(self.found, self.present, strict=True)])

    @property
    def failure(self) -> Failure | None:
        """What went wrong with a track of mean J below 0.5; None for all others."""
        shown = [found or present for found, present in zip(self.found, self.present, strict=True)]
        return track_failure(self.failure_per_frame, shown) if self.j < BAD_BELOW else None

    @property
    def long_term(self) -> LongTerm:
        """Frames counted for NRE, DRE and ADQ."""
        return LongTerm.of(self.j_per_frame, self.found, self.present)


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over tracks of J, F and J&F; over all their frames, presence and the rank correlation.

    `absent_right` is the share of frames without the object on which no mask was found, None where it never leaves;
    `present_right` the share of the others with a mask. `iou_rank_correlation` is None where it has no meaning.
    `failures` counts tracks of mean J below 0.5 by what went wrong; `nre`, `dre` and `adq` are those of `LongTerm`, over all
    frames.
    """

    num_tracks: int
    num_frames: int
    j: float
    f: float
    presence: float
    absent_frames: int
    absent_right: float | None
    present_right: float | None
    iou_rank_correlation: float | None
    failures: dict[str, int]
    nre: float | None
    dre: float | None
    adq: float | None

    @property
    def bad_tracks(self) -> int:
        """Tracks of mean J below 0.5."""
        return sum(self.failures.values())

    @property
    def j_and_f(self) -> float:
        """Mean of J and F, the headline number."""
        return (self.j + self.f) / 2


def measure_track(
    clip: str,
    object_number: int,
    *,
    prompt_frame: int,
    found_THW: Bools,
    true_THW: Bools,
    others_THW: Bools | None = None,
    predicted_iou: Sequence[float] = (),
) -> TrackAccuracy:
    """Compare an object's masks with the true ones, both from the frame after its prompt on, at least one frame.

    `others_THW` is the truth of all other objects together; without it there is none, and what would be a swap is drift. A
    ValueError names shapes or lengths that differ.
    """
    others_THW = np.zeros_like(true_THW) if others_THW is None else others_THW
    if others_THW.shape != true_THW.shape:
        raise ValueError(f"others_THW has shape {others_THW.shape}; expected that of the truth, {true_THW.shape}")
    measured = j_and_f(found_THW, true_THW)
    if predicted_iou and len(predicted_iou) != len(found_THW):
        raise ValueError(f"predicted_iou has {len(predicted_iou)} values; expected one for each of {len(found_THW)} frames")
    found, present = (tuple(bool(mask_HW.any()) for mask_HW in masks_THW) for masks_THW in (found_THW, true_THW))
    failures = tuple(
        frame_failure(found_HW, true_HW, others_HW, j=j)
        for found_HW, true_HW, others_HW, j in zip(found_THW, true_THW, others_THW, measured.j_per_frame, strict=True)
    )
    return TrackAccuracy(
        clip, object_number, prompt_frame, measured.j_per_frame, measured.f_per_frame,
        found, present, failures, tuple(float(value) for value in predicted_iou),
    )


def summarize(tracks: Sequence[TrackAccuracy]) -> Summary:
    """Sum up tracks; each counts alike in J and F, each frame alike in presence. A ValueError where there are none."""
    if not tracks:
        raise ValueError("no tracks to sum up; expected one at least")
    found = [value for track in tracks for value in track.found]
    present = [value for track in tracks for value in track.present]
    absent_right = [not f for f, p in zip(found, present, strict=True) if not p]
    present_right = [f for f, p in zip(found, present, strict=True) if p]
    bad, counts = [track.failure for track in tracks], LongTerm.total(track.long_term for track in tracks)
    return Summary(
        num_tracks=len(tracks),
        num_frames=len(found),
        j=_mean([track.j for track in tracks]),
        f=_mean([track.f for track in tracks]),
        presence=_mean(absent_right + present_right),
        absent_frames=len(absent_right),
        absent_right=_mean(absent_right) if absent_right else None,
        present_right=_mean(present_right) if present_right else None,
        iou_rank_correlation=iou_rank_correlation(tracks),
        failures={kind.value: bad.count(kind) for kind in Failure},
        nre=counts.nre, dre=counts.dre, adq=counts.adq,
    )


def iou_rank_correlation(tracks: Iterable[TrackAccuracy]) -> float | None:
    """Correlate the ranks of predicted and true IoU over all frames that show the object; None without predicted IoU."""
    predicted, true = [], []
    for track in tracks:
        if track.predicted_iou:
            predicted += [iou for iou, present in zip(track.predicted_iou, track.present, strict=True) if present]
            true += [iou for iou, present in zip(track.j_per_frame, track.present, strict=True) if present]
    return spearman(predicted, true)


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Return Spearman's rank correlation in [-1, 1], ties sharing their mean rank.

    None where it is not defined: fewer than two pairs, or all values of a side alike. A ValueError for other lengths and NaN.
    """
    first_K, second_K = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first_K.shape != second_K.shape or first_K.ndim != 1:
        raise ValueError(f"{first_K.size} and {second_K.size} values; expected pairs")
    if np.isnan(first_K).any() or np.isnan(second_K).any():
        raise ValueError("values hold NaN; expected numbers")
    if first_K.size < 2 or not np.ptp(first_K) or not np.ptp(second_K):
        return None
    return float(stats.spearmanr(first_K, second_K).statistic)


def most_interior(mask_HW: Bools) -> tuple[int, int]:
    """Return x and y of a pixel that lies as deep inside a mask as any; the frame's edge is a border as well.

    Depth is counted by peeling with squares and diamonds in turn, whose reach is close to a Euclidean one; of several
    deepest pixels it is the one next to their middle. A ValueError where the mask is empty.
    """
    if (box_xyxy := mask_box_xyxy(mask_HW)) is None:
        raise ValueError("the mask is empty; expected a pixel to click on")
    left, top, right, bottom = box_xyxy
    core_HW = np.ascontiguousarray(mask_HW[top:bottom, left:right])
    for peel in range(max(core_HW.shape)):
        inner_HW = _peeled(core_HW, corners=peel % 2 == 1)
        if not inner_HW.any():
            break
        core_HW = inner_HW
    y_K, x_K = np.nonzero(core_HW)
    nearest = int(np.argmin((y_K - y_K.mean()) ** 2 + (x_K - x_K.mean()) ** 2))
    return left + int(x_K[nearest]), top + int(y_K[nearest])


def _peeled(mask_HW: Bools, *, corners: bool) -> Bools:
    """Take away every pixel with a neighbour outside: of 4 neighbours, or of 8 with `corners`."""
    padded = np.pad(mask_HW, 1)
    if corners:
        rows_HW = padded[:-2] & padded[1:-1] & padded[2:]
        return rows_HW[:, :-2] & rows_HW[:, 1:-1] & rows_HW[:, 2:]
    return mask_HW & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _mean(values: Sequence[float] | Sequence[bool]) -> float:
    return math.fsum(values) / len(values)
