"""One frame of one object measured: numbers only, so that a long video costs some 200 bytes a frame.

Every number is a float and NaN where it has no meaning: the geometry of an empty mask, what compares a mask with the one
before it when either is empty, a score that the tracker did not give.
"""

import math
from dataclasses import dataclass, fields
from operator import attrgetter

from labeling.qc import shapes
from labeling.types import LOOKS, FrameMask

NONE = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameMeasure:
    """The numbers of one frame; a change compares with the sampled frame before it.

    Centres in pixels (x, y), areas in pixels; `elongation`, `spread` and `extent` as in `shapes.Shape`; `second_part` the
    second largest connected part's area over the whole area; `compensated_iou` the overlap with the mask before it, moved
    by the centre's step; `frozen` 1 when the mask is the very same as the one before.
    """

    frame_idx: float
    pts_seconds: float
    predicted_iou: float
    object_score: float
    motion_iou: float
    stability: float
    candidate_gap: float
    pointer_similarity: float
    area: float
    centre_x: float = NONE
    centre_y: float = NONE
    elongation: float = NONE
    spread: float = NONE
    extent: float = NONE
    border: float = NONE
    second_part: float = NONE
    holes: float = NONE
    compensated_iou: float = NONE
    frozen: float = NONE
    look_seed: float = NONE
    look_ring: float = NONE
    look_other: float = NONE
    colour_seed: float = NONE
    colour_ring: float = NONE
    colour_other: float = NONE
    edge_gradient: float = NONE


FIELDS = tuple(f.name for f in fields(FrameMeasure))
row_of = attrgetter(*FIELDS)


@dataclass(frozen=True, slots=True)
class MaskBefore:
    """A mask until the next one has come: its runs, its centre and its text."""

    columns: shapes.Columns
    centre_xy: tuple[float, float]
    counts: str


def measure(mask: FrameMask, before: MaskBefore | None) -> tuple[FrameMeasure, MaskBefore | None]:
    """Measure one frame against the mask of the sampled frame before it (None where that was empty or there was none)."""
    scores = {
        "frame_idx": float(mask.frame_idx),
        "pts_seconds": mask.pts_seconds,
        "predicted_iou": mask.predicted_iou,
        "object_score": mask.object_score,
        "motion_iou": _number(mask.motion_iou),
        "stability": _number(mask.stability),
        "candidate_gap": _number(mask.candidate_gap),
        "pointer_similarity": _number(mask.pointer_similarity),
        **{name: _number(getattr(mask, name)) for name in LOOKS},
    }
    columns = shapes.columns_of(mask.rle)
    moments = shapes.moments(columns)
    if moments is None or mask.box_xywh is None:
        return FrameMeasure(**scores, area=0.0), None
    shape = shapes.shape_of(moments, mask.box_xywh[2] * mask.box_xywh[3])
    parts = shapes.components(columns)
    now = MaskBefore(columns, moments.centre_xy, mask.rle.counts)
    return FrameMeasure(
        **scores,
        area=float(moments.area),
        centre_x=moments.centre_xy[0],
        centre_y=moments.centre_xy[1],
        elongation=shape.elongation,
        spread=shape.spread,
        extent=shape.extent,
        border=float(shapes.touches_border(columns)),
        second_part=parts.areas[1] / moments.area if len(parts.areas) > 1 else 0.0,
        holes=float(parts.holes),
        compensated_iou=_compensated_iou(before, now) if before else NONE,
        frozen=float(before.counts == now.counts) if before else NONE,
    ), now


def _compensated_iou(before: MaskBefore, now: MaskBefore) -> float:
    """Overlap of the earlier mask, moved by the centre's step, with the later one; what leaves the frame counts for neither."""
    dx, dy = (round(b - a) for a, b in zip(before.centre_xy, now.centre_xy, strict=True))
    moved = shapes.shift(before.columns, dx, dy)
    shared = shapes.overlap(moved, now.columns)
    return shared / (shapes.area_of(moved) + shapes.area_of(now.columns) - shared)


def _number(value: float | None) -> float:
    return NONE if value is None else value
