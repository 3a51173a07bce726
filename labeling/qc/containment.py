"""How much of an object's mask lies inside another's: the mark of a swap, a leak or a duplicate; and which of two did it.

Measured at publish from stored run lengths, because it needs every object of a video.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labeling import rle as codec
from labeling.qc.series import longest
from labeling.types import RLE

PERCENT = 98.0
PARTS = 4               # of the visible frames: the first and the last of so many are early and late
LEAST_SHARED = 0.2      # containment below which two tracks have nothing to do with one another

# What is compared within a pair, as own less the other's: `pair_NAME`. Of two tracks on one object, the thief has the lower.
COMPARED = ("predicted_iou_end", "predicted_iou_p10", "stability_mean", "look_seed_end", "colour_seed_mean")
PAIR_COLUMNS = ("containment_early", "containment_late", *(f"pair_{name}" for name in COMPARED))


@dataclass(frozen=True, slots=True)
class Overlap:
    """The containment of one track: 98th percentile over its visible frames, in [0, 1].

    `other` is the track it shares most with on the frames that reach `value`; `frame_span` the longest run of frames with
    at least half of `value`. Both are None where nothing overlaps. `early` and `late` are means over the first and the last
    quarter of the visible frames: a track that shares late only has come to where the other was; None where an older
    release measured.
    """

    value: float
    other: str | None
    frame_span: tuple[int, int] | None
    early: float | None = None
    late: float | None = None


def containment(tracks: Mapping[str, Mapping[int, RLE]]) -> Mapping[str, Overlap]:
    """Measure each track against all others of its video: max over others of |M and M_k| / min(A, A_k), frame by frame.

    `tracks` holds each track's masks by frame index. A track that is never visible has containment 0. A ValueError says so
    when two masks of one frame differ in size.
    """
    by_frame: dict[int, list[tuple[str, RLE]]] = defaultdict(list)
    for track_id, masks in tracks.items():
        for frame_idx, rle in masks.items():
            by_frame[frame_idx].append((track_id, rle))
    shares: dict[str, list[tuple[int, float, str | None]]] = {track_id: [] for track_id in tracks}
    for frame_idx in sorted(by_frame):
        for track_id, (share, other) in _frame_shares(by_frame[frame_idx]).items():
            shares[track_id].append((frame_idx, share, other))
    return {track_id: _summary(rows) for track_id, rows in shares.items()}


def _frame_shares(masks: Sequence[tuple[str, RLE]]) -> Mapping[str, tuple[float, str | None]]:
    """Return, for each track visible on one frame, its largest share with another and whose it is, the first of equals."""
    sizes = sorted({rle.size_hw for _, rle in masks})
    if len(sizes) > 1:
        raise ValueError(f"masks of one frame have size_hw {sizes}; expected one size")
    track_ids = [track_id for track_id, _ in masks]
    inside_NN = codec.shares([rle for _, rle in masks])
    visible_N = inside_NN.diagonal() > 0
    share_NN = np.maximum(inside_NN, inside_NN.T)
    np.fill_diagonal(share_NN, 0.0)
    best: dict[str, tuple[float, str | None]] = {}
    for n in np.flatnonzero(visible_N):
        other = int(share_NN[n].argmax())
        share = float(share_NN[n, other])
        best[track_ids[n]] = (share, track_ids[other] if share > 0 else None)
    return best


def _summary(rows: list[tuple[int, float, str | None]]) -> Overlap:
    shares = np.array([share for _, share, _ in rows])
    if not shares.size or not shares.any():
        return Overlap(0.0, None, None, 0.0, 0.0)
    value, part = float(np.percentile(shares, PERCENT)), max(1, shares.size // PARTS)
    early, late = float(shares[:part].mean()), float(shares[-part:].mean())
    if value == 0.0:
        return Overlap(0.0, None, None, early, late)
    reached = Counter(other for _, share, other in rows if share >= value and other is not None)
    run = longest(shares >= value / 2)
    span = (rows[run[0]][0], rows[run[1] - 1][0] + 1) if run else None
    return Overlap(value, reached.most_common(1)[0][0] if reached else None, span, early, late)


def pair_signals(
    overlap: Overlap | None, own: Mapping[str, float | None], other: Mapping[str, float | None] | None
) -> dict[str, float | None]:
    """Return `containment` and `PAIR_COLUMNS` of a track by its overlap, its signals and those of `overlap.other`.

    All are None without an overlap; what is compared is None, too, below a containment of 0.2.
    """
    if overlap is None:
        return dict.fromkeys(("containment", *PAIR_COLUMNS))
    values: dict[str, float | None] = dict.fromkeys(PAIR_COLUMNS)
    values |= {"containment": overlap.value, "containment_early": overlap.early, "containment_late": overlap.late}
    if other is not None and overlap.value >= LEAST_SHARED:
        for name in COMPARED:
            mine, theirs = own.get(name), other.get(name)
            values[f"pair_{name}"] = None if mine is None or theirs is None else mine - theirs
    return values
