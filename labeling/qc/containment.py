"""How much of an object's mask lies inside another's: the mark of a swap, a leak or a duplicate.

Measured at publish from stored run lengths, because it needs every object of a video; boxes are compared first.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from labeling import rle as codec
from labeling.qc.series import longest
from labeling.types import RLE, Box

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


@dataclass(frozen=True, slots=True, eq=False)
class _Mask:
    track_id: str
    spans: tuple[codec.Ints, codec.Ints]
    area: int
    box_xywh: Box


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
    """Return, for each track visible on one frame, its largest share with another and whose it is."""
    sizes = sorted({rle.size_hw for _, rle in masks})
    if len(sizes) > 1:
        raise ValueError(f"masks of one frame have size_hw {sizes}; expected one size")
    seen = [mask for track_id, rle in masks if (mask := _read(track_id, rle))]
    best: dict[str, tuple[float, str | None]] = {mask.track_id: (0.0, None) for mask in seen}
    for a, b in combinations(seen, 2):
        if not _boxes_meet(a.box_xywh, b.box_xywh):
            continue
        share = codec.overlap_of_spans(a.spans, b.spans) / min(a.area, b.area)
        for mine, theirs in ((a, b), (b, a)):
            if share > best[mine.track_id][0]:
                best[mine.track_id] = (share, theirs.track_id)
    return best


def _read(track_id: str, rle: RLE) -> _Mask | None:
    """Read a mask's runs once; None when it is empty."""
    starts, ends = codec.spans_of(rle)
    box = codec.box_of_spans(starts, ends, rle.size_hw[0])
    return _Mask(track_id, (starts, ends), int((ends - starts).sum()), box) if box else None


def _boxes_meet(a_xywh: Box, b_xywh: Box) -> bool:
    ax, ay, aw, ah = a_xywh
    bx, by, bw, bh = b_xywh
    return ax < bx + bw and bx < ax + aw and ay < by + bh and by < ay + ah


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
