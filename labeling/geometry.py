"""Boxes of masks, boxes within frames, and runs of flags: plain geometry that several rooms need.

Boxes are (x0, y0, x1, y1) in pixels, x to the right, y down; x1 and y1 are the first pixel beyond.
"""

import numpy as np
import numpy.typing as npt

from labeling.types import Box

Bools = npt.NDArray[np.bool_]


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
