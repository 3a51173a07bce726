"""Masks as polygons along the edges of their pixels, as COCO means them: x, y of corners, the picture's top left at 0, 0.

A ring goes round a part, or round a hole in one. Under the even-odd rule rings together give the mask back, to the pixel
while nothing is simplified. `one_ring` joins them by bridges of no width, for formats that have one polygon for an object.

Shape suffixes: N corners, 2 their x and y.
"""

import math

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.types import RLE

Ring = npt.NDArray[np.float64]
_SHARE = 0.03   # of the mask's area that moving its outline may cost
_FARTHEST = 1.0  # pixels that it may be moved


def rings_of(mask: RLE, *, simplified: bool = False) -> list[Ring]:
    """Return the mask's rings (N, 2), x and y in pixels, the one round most first; none of an empty mask.

    `simplified` leaves out corners that lie within a pixel of what is then the outline, and within less round what is small:
    at most 3 % of the area changes sides.
    """
    box = rle.box_xywh(mask)
    if box is None:
        return []
    left, top, width, height = map(int, box)
    mask_HW = rle.decode(mask)[top:top + height, left:left + width]
    rings = [ring + (left, top) for ring in _traced(np.pad(mask_HW, 1).astype(np.int8))]
    if simplified:
        length = sum(float(np.abs(np.diff(ring, axis=0, append=ring[:1])).sum()) for ring in rings)
        tolerance = min(_FARTHEST, _SHARE * rle.area(mask) / length)
        rings = [_simplified(ring, tolerance) for ring in rings]
    return sorted(rings, key=lambda ring: -abs(area_of(ring)))


def area_of(ring: Ring) -> float:
    """Return the signed area inside a ring, in pixels."""
    x, y = ring[:, 0], ring[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def one_ring(rings: list[Ring]) -> Ring:
    """Join rings into one, each by a bridge to the corner next to it and back; the even-odd rule fills it as it fills them."""
    joined = rings[0]
    for ring in rings[1:]:
        here, there = _nearest(joined, ring)
        way = np.concatenate([ring[there:], ring[:there + 1]])
        joined = np.concatenate([joined[:here + 1], way, joined[here:]])
    return joined


def _nearest(first: Ring, second: Ring) -> tuple[int, int]:
    # In portions, as outlines of noise have many corners.
    best, pair = math.inf, (0, 0)
    for start in range(0, len(second), 256):
        part = second[start:start + 256]
        distances = ((first[:, None] - part) ** 2).sum(axis=2)
        at = int(distances.argmin())
        if distances.flat[at] < best:
            best, pair = float(distances.flat[at]), (at // len(part), start + at % len(part))
    return pair


def _traced(padded_HW: npt.NDArray[np.int8]) -> list[Ring]:
    """Follow the edges between pixels. A corner is where rows and columns both turn; two pixels that touch there have two.

    Along each line of the grid corners come in pairs, with an edge between; so a walk goes to the other one of the row, then of
    the column, until it is back.
    """
    a, b, c, d = padded_HW[:-1, :-1], padded_HW[:-1, 1:], padded_HW[1:, :-1], padded_HW[1:, 1:]
    count_HW = a + b + c + d
    touching_HW = (count_HW == 2) & (a == d)
    times_HW = (count_HW % 2 == 1) + 2 * touching_HW
    y, x = np.nonzero(times_HW)
    y, x = (np.repeat(axis, times_HW[times_HW > 0]) for axis in (y, x))
    along_row = np.arange(y.size) ^ 1
    by_column = np.lexsort((np.arange(y.size), y, x))
    along_column = np.empty_like(by_column)
    along_column[by_column] = by_column[np.arange(y.size) ^ 1]
    return [np.stack([x[walk], y[walk]], axis=1).astype(np.float64) for walk in _walks(along_row, along_column)]


def _walks(along_row: npt.NDArray[np.int64], along_column: npt.NDArray[np.int64]) -> list[list[int]]:
    row, column = along_row.tolist(), along_column.tolist()
    left, walks = set(range(len(row))), []
    for start in range(len(row)):
        if start not in left:
            continue
        walk, at = [], start
        while at in left:
            walk += [at, row[at]]
            left -= {at, row[at]}
            at = column[row[at]]
        walks.append(walk)
    return walks


def _simplified(ring: Ring, tolerance: float) -> Ring:
    """Douglas and Peucker's way (1973), from the first corner to the one farthest from it and back."""
    if len(ring) <= 4:
        return ring
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, far]] = True
    spans = [(0, far), (far, len(ring))]
    while spans:
        start, end = spans.pop()
        if end - start < 2:
            continue
        line, inner = closed[end] - closed[start], closed[start + 1:end] - closed[start]
        length = math.hypot(*line)
        off = np.abs(inner @ (-line[1], line[0])) / length if length else np.hypot(inner[:, 0], inner[:, 1])
        at = int(off.argmax())
        if off[at] > tolerance:
            keep[start + 1 + at] = True
            spans += [(start, start + 1 + at), (start + 1 + at, end)]
    kept = ring[keep[:-1]]
    return kept if len(kept) >= 3 else ring
