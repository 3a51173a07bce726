"""How far another candidate reaches outside the mask that was chosen: a sign that a look-alike is near.

Legend: B objects in a batch, M candidate masks, H = W = S/4 the side of low-resolution masks.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2.tracking.motion import BoxXYXY
from sam2.tracking.postprocess import largest_boxes


def distractors(mask_logits_BMHW: Tensor, best_B: Tensor) -> tuple[Tensor, list[int]]:
    """Return (B,) the lowest box IoU between the chosen mask and its union with what another candidate adds, and areas.

    What a candidate adds is its largest 8-connected part outside the chosen mask. 1: none adds anything that reaches beyond
    the box; NaN: nothing was chosen, or there is one candidate. Areas count the chosen masks' pixels.
    Source: Videnovic et al. 2025, "A Distractor-Aware Memory", section 3 (introspection).
    """
    inside_BMHW = (mask_logits_BMHW > 0).cpu().numpy()
    best = best_B.cpu().numpy()
    chosen_BHW = inside_BMHW[np.arange(len(best)), best]
    areas_B = chosen_BHW.sum(axis=(1, 2))
    lowest_B = np.full(len(best), np.nan, np.float32)
    if inside_BMHW.shape[1] > 1:
        lowest_B[areas_B > 0] = 1.0
        _lower(lowest_B, inside_BMHW, chosen_BHW, best)
    return torch.from_numpy(lowest_B).to(best_B.device), areas_B.tolist()


def _lower(
    lowest_B: NDArray[np.float32], inside_BMHW: NDArray[np.bool_], chosen_BHW: NDArray[np.bool_], best: NDArray[np.int64]
) -> None:
    added_BMHW = inside_BMHW & ~chosen_BHW[:, None]
    asked = [
        (row, candidate)
        for row in range(len(best))
        for candidate in range(inside_BMHW.shape[1])
        if candidate != best[row] and not np.isnan(lowest_B[row]) and added_BMHW[row, candidate].any()
    ]
    if not asked:
        return
    parts = largest_boxes(np.stack([added_BMHW[place] for place in asked]))
    for (row, _), (x0, y0, x1, y1) in zip(asked, parts, strict=True):
        ours = _box(chosen_BHW[row])
        union = min(ours[0], x0), min(ours[1], y0), max(ours[2], x1), max(ours[3], y1)
        lowest_B[row] = min(lowest_B[row], _pixels(ours) / _pixels(union))


def _box(pixels_HW: NDArray[np.bool_]) -> BoxXYXY:
    rows, columns = np.flatnonzero(pixels_HW.any(axis=1)), np.flatnonzero(pixels_HW.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _pixels(box_xyxy: BoxXYXY) -> int:
    """Return how many pixels a box of first and last indices holds."""
    x0, y0, x1, y1 = box_xyxy
    return (x1 - x0 + 1) * (y1 - y0 + 1)
