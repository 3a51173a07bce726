"""What is done to mask logits after the network: resizing, filling small holes, deciding overlaps, finding boxes.

Legend: N objects, B a batch of objects, M candidate masks, H x W and S x S pixels. All of it runs on any device
without a compiled extension.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sam2.modeling.sam2_base import ABSENT_LOGIT
from sam2.tracking.motion import EMPTY_BOX, BoxXYXY

FILLED_LOGIT = 0.1          # what a filled hole gets: just above the mask's edge


def resize_logits(mask_logits_BMHW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return the logits bilinearly resized, as the network was trained to have its masks read (no antialias)."""
    if tuple(mask_logits_BMHW.shape[-2:]) == size_hw:
        return mask_logits_BMHW
    return F.interpolate(mask_logits_BMHW.float(), size=size_hw, mode="bilinear", align_corners=False)


def boxes_of_masks(mask_logits_BMSS: Tensor) -> list[list[BoxXYXY]]:
    """Return for each mask (logit > 0) the min and max pixel indices as x0, y0, x1, y1; zeros for an empty mask."""
    inside_BMSS = mask_logits_BMSS > 0
    columns_BMS, rows_BMS = inside_BMSS.any(dim=-2), inside_BMSS.any(dim=-1)
    last = columns_BMS.shape[-1] - 1, rows_BMS.shape[-1] - 1
    edges = (
        _first(columns_BMS),
        _first(rows_BMS),
        last[0] - _first(columns_BMS.flip(-1)),
        last[1] - _first(rows_BMS.flip(-1)),
        columns_BMS.any(dim=-1),
    )
    table_BM5 = torch.stack([edge.long() for edge in edges], dim=-1).tolist()
    return [[(x0, y0, x1, y1) if filled else EMPTY_BOX for x0, y0, x1, y1, filled in row] for row in table_BM5]


def stability(mask_logits_B1HW: Tensor) -> Tensor:
    """Return (B,) area over logit +1 by area over -1; 1 for a mask that has neither."""
    inner_B = (mask_logits_B1HW > 1).flatten(1).sum(dim=1).float()
    outer_B = (mask_logits_B1HW > -1).flatten(1).sum(dim=1).float()
    return torch.where(outer_B > 0, inner_B / outer_B.clamp(min=1), torch.ones_like(inner_B))


def absent_logits(count: int, size_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Return `count` maps (1, H, W) of an object that is not there."""
    return torch.full((count, 1, *size_hw), ABSENT_LOGIT, device=device)


def fill_holes(mask_logits_B1HW: Tensor, max_area: int) -> Tensor:
    """Return the logits with holes of at most `max_area` pixels filled: background components, 8-connected."""
    if max_area <= 0:
        return mask_logits_B1HW
    holes_BHW = small_components((mask_logits_B1HW[:, 0] <= 0).cpu().numpy(), max_area)
    if not holes_BHW.any():
        return mask_logits_B1HW
    holes_B1HW = torch.from_numpy(holes_BHW)[:, None].to(mask_logits_B1HW.device)
    return torch.where(holes_B1HW, torch.full_like(mask_logits_B1HW, FILLED_LOGIT), mask_logits_B1HW)


def small_components(pixels_BHW: NDArray[np.bool_], max_area: int) -> NDArray[np.bool_]:
    """Return the pixels of 8-connected components, within each map, that have at most `max_area` pixels."""
    rows, starts, ends, _, areas = _runs(pixels_BHW)
    small = areas <= max_area
    return _painted(pixels_BHW.shape, rows[small], starts[small], ends[small], np.ones(small.sum(), np.int8)).astype(bool)


def components(pixels_BHW: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return for each pixel a label, from 1, of its 8-connected component and that component's area; 0 outside."""
    rows, starts, ends, component, areas = _runs(pixels_BHW)
    labels = (np.unique(component, return_inverse=True)[1] + 1).astype(np.int32)
    shape = pixels_BHW.shape
    return _painted(shape, rows, starts, ends, labels), _painted(shape, rows, starts, ends, areas.astype(np.int32))


def largest_boxes(pixels_BHW: NDArray[np.bool_]) -> list[BoxXYXY]:
    """Return of each map the box of its largest 8-connected component, the first of equals; no map is empty."""
    rows, starts, ends, component, areas = _runs(pixels_BHW)
    maps, lines = np.divmod(rows, pixels_BHW.shape[1] + 1)
    boxes = []
    for row in range(len(pixels_BHW)):
        mine = np.flatnonzero(maps == row)
        runs = mine[component[mine] == component[mine[areas[mine].argmax()]]]
        boxes.append((int(starts[runs].min()), int(lines[runs].min()), int(ends[runs].max()) - 1, int(lines[runs].max())))
    return boxes


def _runs(pixels_BHW: NDArray[np.bool_]) -> tuple[NDArray[np.int64], ...]:
    """Return each horizontal run's row, start, end, component and that component's area.

    Runs of all maps are worked on at once: a mask has hundreds of runs where it has ten thousands of pixels.
    """
    count, height, width = pixels_BHW.shape
    # an empty row under each map and an empty column on either side keep runs apart
    padded = np.zeros((count, height + 1, width + 2), np.int8)
    padded[:, :height, 1:-1] = pixels_BHW
    steps = np.diff(padded.reshape(-1, width + 2), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    component = _components(len(rows), *_touching(rows, starts, ends, width + 2))
    areas = np.bincount(component, weights=ends - starts, minlength=len(rows))
    return rows, starts, ends, component, areas[component] if len(rows) else np.zeros(0, np.int64)


def _painted(
    shape: tuple[int, ...],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    values: NDArray[np.signedinteger],
) -> NDArray[np.signedinteger]:
    """Return maps in which each run has its value."""
    count, height, width = shape
    edges = np.zeros((count * (height + 1), width + 1), values.dtype)
    edges[rows, starts] += values
    edges[rows, ends] -= values
    return edges.cumsum(axis=1, dtype=values.dtype).reshape(count, height + 1, width + 1)[:, :height, :width]


def _touching(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], pitch: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs (upper, lower) of runs in neighbouring rows that touch, corners included."""
    above = (rows - 1) * pitch
    first = np.searchsorted(rows * pitch + ends, above + starts, side="left")
    stop = np.searchsorted(rows * pitch + starts, above + ends, side="right")
    touched = np.maximum(stop - first, 0)
    lower = np.repeat(np.arange(len(rows)), touched)
    offset = np.arange(len(lower)) - np.repeat(np.cumsum(touched) - touched, touched)
    return np.repeat(first, touched) + offset, lower


def _components(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of `count` nodes the least node of its component; `left` and `right` are the edges' ends."""
    least = np.arange(count)
    while True:
        a, b = least[left], least[right]
        if np.array_equal(a, b):
            return least
        np.minimum.at(least, a, b)
        np.minimum.at(least, b, a)
        while not np.array_equal(shorter := least[least], least):
            least = shorter


def _first(flags_BMS: Tensor) -> Tensor:
    return flags_BMS.to(torch.uint8).argmax(dim=-1)
