"""The geometry of a mask, worked out on its run lengths: nothing here decodes to pixels.

Shape suffixes: P pieces, where a piece is a vertical run of ones inside one column; E edges between pieces.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeling import rle as codec
from labeling.types import RLE

Ints = npt.NDArray[np.int64]

_PIXEL_VARIANCE = 1 / 12  # of a unit square, so that a mask one pixel wide has an extent


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A mask as vertical pieces, ascending by column, then row: column x and rows [y0, y1) of each."""

    size_hw: tuple[int, int]
    x_P: Ints
    y0_P: Ints
    y1_P: Ints


@dataclass(frozen=True, slots=True)
class Moments:
    """Area in pixels, centre (x, y) in pixel indices, and variances in pixels squared of a mask that is not empty."""

    area: int
    centre_xy: tuple[float, float]
    variance_xx: float
    variance_yy: float
    covariance_xy: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What stays the same when a mask moves and is scaled; each is a logarithm, so that changes add up.

    `elongation` 0 for a disk or square; `spread` 0 for an ellipse, above it the more scattered the mask is; `extent` the
    share of its box that the mask fills, 0 for a full rectangle.
    """

    elongation: float
    spread: float
    extent: float


@dataclass(frozen=True, slots=True)
class MaskComponents:
    """Areas of the connected parts, largest first, and the number of holes in all of them."""

    areas: tuple[int, ...]
    holes: int


def columns_of(rle: RLE) -> Columns:
    """Split the runs of ones at column ends; a ValueError names broken counts."""
    height = rle.size_hw[0]
    starts, ends = codec.spans_of(rle)
    first, top = np.divmod(starts, height)
    last, bottom = np.divmod(ends - 1, height)
    if (first == last).all():
        return Columns(rle.size_hw, first, top, bottom + 1)
    num_columns = last - first + 1
    owner = np.repeat(np.arange(starts.size), num_columns)
    offset = np.arange(owner.size) - np.repeat(np.cumsum(num_columns) - num_columns, num_columns)
    x = first[owner] + offset
    y0 = np.where(offset == 0, top[owner], 0)
    y1 = np.where(x == last[owner], bottom[owner] + 1, height)
    return Columns(rle.size_hw, x, y0, y1)


def shift(columns: Columns, dx: int, dy: int) -> Columns:
    """Move a mask right by dx and down by dy pixels; what leaves the frame is cut off."""
    height, width = columns.size_hw
    x, y0, y1 = columns.x_P + dx, columns.y0_P + dy, columns.y1_P + dy
    if dy:
        y0, y1 = np.maximum(y0, 0), np.minimum(y1, height)
    keep = (x >= 0) & (x < width) & (y0 < y1)
    if not keep.all():
        x, y0, y1 = x[keep], y0[keep], y1[keep]
    return Columns(columns.size_hw, x, y0, y1)


def area_of(columns: Columns) -> int:
    """Return the number of pixels."""
    return int((columns.y1_P - columns.y0_P).sum())


def overlap(first: Columns, second: Columns) -> int:
    """Return how many pixels two masks of one size share."""
    return _shared(_positions(first), _positions(second))


def touches_border(columns: Columns) -> bool:
    """Return whether a pixel lies in the frame's first or last row or column."""
    if columns.x_P.size == 0:
        return False
    height, width = columns.size_hw
    sides = columns.x_P[0] == 0 or columns.x_P[-1] == width - 1
    return bool(sides or columns.y0_P.min() == 0 or columns.y1_P.max() == height)


def moments(columns: Columns) -> Moments | None:
    """Return area, centre and variances, or None for an empty mask; sums are exact integers."""
    x, y0, y1 = columns.x_P, columns.y0_P, columns.y1_P
    length = y1 - y0
    area = int(length.sum())
    if area == 0:
        return None
    sum_y_P = (y0 + y1 - 1) * length // 2
    along = x * length
    sum_yy = int((y1 * (y1 - 1) * (2 * y1 - 1) - y0 * (y0 - 1) * (2 * y0 - 1)).sum()) // 6
    cx, cy = int(along.sum()) / area, int(sum_y_P.sum()) / area
    return Moments(
        area=area,
        centre_xy=(cx, cy),
        variance_xx=int((along * x).sum()) / area - cx * cx + _PIXEL_VARIANCE,
        variance_yy=sum_yy / area - cy * cy + _PIXEL_VARIANCE,
        covariance_xy=int((x * sum_y_P).sum()) / area - cx * cy,
    )


def shape_of(moments: Moments, box_area: float) -> Shape:
    """Return the scale-free shape of a mask from its moments and the area of its box."""
    half_sum = (moments.variance_xx + moments.variance_yy) / 2
    half_gap = math.hypot((moments.variance_xx - moments.variance_yy) / 2, moments.covariance_xy)
    large, small = half_sum + half_gap, max(half_sum - half_gap, _PIXEL_VARIANCE)
    return Shape(
        elongation=0.5 * math.log(large / small),
        spread=math.log(4 * math.pi * math.sqrt(large * small) / moments.area),
        extent=math.log(moments.area / box_area),
    )


def components(columns: Columns, *, connectivity: int = 8) -> MaskComponents:
    """Return the areas of connected parts and the number of holes.

    With 8-connected parts a hole is 4-connected background that the frame's border does not reach, and the other way
    round. Holes come from Euler's formula on the graph of pieces that touch: parts - holes = pieces - edges.
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity is {connectivity!r}; expected 4 or 8")
    num_pieces = columns.x_P.size
    if num_pieces == 0:
        return MaskComponents((), 0)
    first_P, num_P = _touching(columns, reach=1 if connectivity == 8 else 0)
    parent_P = np.where(num_P > 0, first_P, np.arange(num_pieces))
    # Each piece hangs on the first it touches to its left; doubling the steps finds every root in log2(width) rounds.
    while not np.array_equal(grand_P := parent_P[parent_P], parent_P):
        parent_P = grand_P
    label_P = _join(parent_P, first_P, num_P)
    areas = np.bincount(label_P, weights=columns.y1_P - columns.y0_P)
    areas = np.sort(areas[areas > 0])[::-1]
    return MaskComponents(tuple(int(a) for a in areas), int(areas.size - num_pieces + num_P.sum()))


def _positions(columns: Columns) -> tuple[Ints, Ints]:
    """Return starts and ends of the pieces as positions x * H + y."""
    base = columns.x_P * columns.size_hw[0]
    return base + columns.y0_P, base + columns.y1_P


def _touching(columns: Columns, *, reach: int) -> tuple[Ints, Ints]:
    """For each piece, the first piece of the column to its left that it touches, and how many in a row it does."""
    stride = columns.size_hw[0] + 2
    starts = columns.x_P * stride + columns.y0_P + 1
    ends = columns.x_P * stride + columns.y1_P + 1
    first = np.searchsorted(ends, starts - stride - reach, side="right")
    after = np.searchsorted(starts, ends - stride + reach, side="left")
    return first, np.maximum(after - first, 0)


def _join(root_P: Ints, first_P: Ints, num_P: Ints) -> Ints:
    """Unite the trees of pieces that touch more than one piece on their left."""
    forks = np.flatnonzero(num_P > 1)
    if forks.size == 0:
        return root_P
    extra = num_P[forks] - 1
    owner_E = np.repeat(forks, extra)
    offset_E = np.arange(owner_E.size) - np.repeat(np.cumsum(extra) - extra, extra)
    ends_E = root_P[first_P[owner_E] + 1 + offset_E]
    pairs = np.unique(np.stack([root_P[owner_E], ends_E], axis=1), axis=0)
    united: dict[int, int] = {}
    for a, b in pairs.tolist():
        low, high = sorted((_root(united, a), _root(united, b)))
        if low != high:
            united[high] = low
    if not united:
        return root_P
    final_P = np.arange(root_P.size)
    for child in united:
        final_P[child] = _root(united, child)
    return final_P[root_P]


def _root(united: dict[int, int], label: int) -> int:
    """Follow a label to the one that stands for its part, shortening the way for the next."""
    top = label
    while top in united:
        top = united[top]
    while label != top:
        united[label], label = top, united[label]
    return top


def _shared(first: tuple[Ints, Ints], second: tuple[Ints, Ints]) -> int:
    """Return how many positions two lists of ascending, disjoint spans share."""
    if first[0].size > second[0].size:
        first, second = second, first
    starts, ends = second
    if first[0].size == 0:
        return 0
    before = np.concatenate([[0], np.cumsum(ends - starts)])
    # One search serves both ends of every span.
    points = np.concatenate(first)
    k = np.searchsorted(starts, points, side="right") - 1
    inside = np.minimum(points, ends[k]) - starts[k]
    covered = np.where(k >= 0, before[k] + inside, 0)
    half = first[0].size
    return int(covered[half:].sum() - covered[:half].sum())
