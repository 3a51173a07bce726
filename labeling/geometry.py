"""Geometry of masks: boxes, spans of flags, and how alike two masks are: region similarity J and boundary accuracy F.

Boxes are (x0, y0, x1, y1) in pixels, x to the right, y down; x1 and y1 are the first pixel beyond.

J and F are those of the DAVIS evaluation (Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016), with the DAVIS 2017 evaluation's conventions for empty masks, boundary pixels and tolerance. That
evaluation leaves out the first and last frame of a clip before it takes means; here every frame that is given counts, so
slice first to compare.

Shape suffixes: T frames, H height, W width, P boundary points.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeling.types import Box

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

TOLERANCE = 0.008  # of the frame's diagonal


def mask_box_xyxy(mask_HW: Bools) -> tuple[int, int, int, int] | None:
    """Return the tight box of a mask (H, W), or None when no pixel is on."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def box_xyxy_of(box_xywh: Box) -> Box:
    """Return a box given as (x, y, width, height) by its corners."""
    x, y, width, height = box_xywh
    return x, y, x + width, y + height


def clipped(box_xyxy: Box, size_hw: tuple[int, int]) -> Box:
    """Return the part of a box that lies in the frame; a box that misses the frame gives one without area."""
    height, width = size_hw
    x0, y0, x1, y1 = box_xyxy
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def runs(flags_T: Bools) -> list[tuple[int, int]]:
    """Return the half-open spans where a flag (T,) is on, ascending."""
    edges = np.flatnonzero(np.diff(flags_T.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


@dataclass(frozen=True, slots=True)
class JF:
    """J and F of each frame of one object, in the order the frames were given."""

    j_per_frame: tuple[float, ...]
    f_per_frame: tuple[float, ...]

    @property
    def j(self) -> float:
        """Mean J over frames."""
        return math.fsum(self.j_per_frame) / len(self.j_per_frame)

    @property
    def f(self) -> float:
        """Mean F over frames."""
        return math.fsum(self.f_per_frame) / len(self.f_per_frame)

    @property
    def j_and_f(self) -> float:
        """Mean of the two means, the benchmark's headline number."""
        return (self.j + self.f) / 2


def region_similarity(pred_HW: npt.ArrayLike, true_HW: npt.ArrayLike) -> float:
    """Return J, the intersection over union of two masks (H, W); 1.0 when both are empty.

    A ValueError names the shapes when they differ.
    """
    pred, true = _pair(pred_HW, true_HW, num_axes=2)
    either = int(np.count_nonzero(pred | true))
    return int(np.count_nonzero(pred & true)) / either if either else 1.0


def boundary_f(pred_HW: npt.ArrayLike, true_HW: npt.ArrayLike, tolerance: float = TOLERANCE) -> float:
    """Return F, the harmonic mean of boundary precision and recall of two masks (H, W).

    A boundary point counts as matched when the other mask's boundary has one within the tolerance: a fraction of the
    diagonal rounded up to pixels, or pixels when it is 1 or more. Without any boundary in both, F is 1.0; with one in only
    one of them, 0.0. A ValueError names the shapes when they differ, or a tolerance below 0.
    """
    pred, true = _pair(pred_HW, true_HW, num_axes=2)
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance!r}; expected a fraction of the diagonal, or pixels from 1 on")
    radius = math.ceil(tolerance if tolerance >= 1 else tolerance * math.hypot(*pred.shape))
    pred_edge, true_edge = boundary_of(pred), boundary_of(true)
    if not pred_edge.any() or not true_edge.any():
        return 1.0 if pred_edge.any() == true_edge.any() else 0.0
    precision, recall = _share_near(pred_edge, true_edge, radius), _share_near(true_edge, pred_edge, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def j_and_f(pred_THW: npt.ArrayLike, true_THW: npt.ArrayLike, tolerance: float = TOLERANCE) -> JF:
    """Measure J and F of one object on every frame of a clip (T, H, W); a ValueError when shapes differ or T is 0."""
    pred, true = _pair(pred_THW, true_THW, num_axes=3)
    return JF(
        tuple(region_similarity(p, t) for p, t in zip(pred, true, strict=True)),
        tuple(boundary_f(p, t, tolerance) for p, t in zip(pred, true, strict=True)),
    )


def boundary_of(mask_HW: Bools) -> Bools:
    """Mark the pixels (H, W) that differ from the one right of, below, or right below them.

    The last column looks only down and the last row only right, so the frame's border itself is no boundary.
    """
    edge = np.zeros(mask_HW.shape, np.bool_)
    across, down = mask_HW[:, :-1] != mask_HW[:, 1:], mask_HW[:-1] != mask_HW[1:]
    edge[:, :-1] = across
    edge[:-1] |= down
    edge[:-1, :-1] |= mask_HW[:-1, :-1] != mask_HW[1:, 1:]
    return edge


def _pair(pred: npt.ArrayLike, true: npt.ArrayLike, *, num_axes: int) -> tuple[Bools, Bools]:
    """Return both as boolean arrays after a look at their shapes."""
    first, second = np.asarray(pred), np.asarray(true)
    if first.shape != second.shape or first.ndim != num_axes or first.size == 0:
        axes = "(T, H, W)" if num_axes == 3 else "(H, W)"
        raise ValueError(f"masks have shapes {first.shape} and {second.shape}; expected the same {axes} with pixels in it")
    return first != 0, second != 0


def _share_near(points_HW: Bools, edge_HW: Bools, radius: int) -> float:
    """Return the share of points that have a pixel of `edge_HW` within `radius` (Euclidean, inclusive).

    Rows of the disk are looked up in a running count along each row, only at the points themselves; so the cost is that of
    the boundary's length, not of a dilation of the frame.
    """
    y_P, x_P = _positions(points_HW)
    rows = np.flatnonzero(edge_HW.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    width = edge_HW.shape[1]
    # One row of zeros above and below stands for everything outside.
    count = np.zeros((bottom - top + 2, width + 1), np.int32)
    np.cumsum(edge_HW[top:bottom], axis=1, out=count[1:-1, 1:])
    near_P = np.zeros(x_P.size, np.bool_)
    for dy in range(-radius, radius + 1):
        reach = math.isqrt(radius * radius - dy * dy)
        row_P = np.clip(y_P + (dy - top + 1), 0, bottom - top + 1)
        left, right = np.maximum(x_P - reach, 0), np.minimum(x_P + (reach + 1), width)
        near_P |= count[row_P, right] > count[row_P, left]
    return int(np.count_nonzero(near_P)) / x_P.size


def _positions(flags_HW: Bools) -> tuple[Ints, Ints]:
    """Return y and x of the marked pixels."""
    y, x = np.divmod(np.flatnonzero(flags_HW), flags_HW.shape[1])
    return y, x
