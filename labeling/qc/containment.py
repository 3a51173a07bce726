"""How much of an object's mask lies inside another's: the mark of a swap, a leak or a duplicate.

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


@dataclass(frozen=True, slots=True)
class Overlap:
    """The containment of one track: 98th percentile over its visible frames, in [0, 1].

    `other` is the track it shares most with on the frames that reach `value`; `frame_span` the longest run of frames with
    at least half of `value`. Both are None where nothing overlaps.
    """

    value: float
    other: str | None
    frame_span: tuple[int, int] | None


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
        return Overlap(0.0, None, None)
    value = float(np.percentile(shares, PERCENT))
    if value == 0.0:
        return Overlap(0.0, None, None)
    reached = Counter(other for _, share, other in rows if share >= value and other is not None)
    run = longest(shares >= value / 2)
    span = (rows[run[0]][0], rows[run[1] - 1][0] + 1) if run else None
    return Overlap(value, reached.most_common(1)[0][0] if reached else None, span)
