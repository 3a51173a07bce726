"""Distractor-aware memory: recent looks on one side, frames that tell the object from a look-alike on the other.

Both share the maps of the memory. Distractor-resolving entries have slot 0: prompted frames, then promoted ones. Recent ones
fill the slots that are left, by rank: the frame just behind, then frames on a grid of `memory_temporal_stride_for_eval` where
the object was seen. The candidate is that of the highest predicted IoU, without a motion filter.

Settled here where the paper is silent: prompts go before promoted frames; areas and boxes are of low-resolution masks; a
promoted frame is recent memory while it lies just behind, and never again; reverse mirrors the frames.

Source: Videnovic et al. 2025, "A Distractor-Aware Memory for Visual Object Tracking with SAM2", section 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.tracking.memory_bank import (
    DISTRACTOR,
    PREDICTED_IOU,
    Appearance,
    FrameEntry,
    Lookback,
    Vantage,
    assembled,
    closest_conditioning,
    pointers,
)  # fmt: skip
from sam2.tracking.motion import Boxes, Chosen

CARRIES = True
AREAS = 10              # of the latest masks that are not empty: their median is the object's usual size
AREA_REACH = 300        # frames, this one included, that these lie in
LEAST_AREA = 1          # in low-resolution pixels


def look_back(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> Lookback:
    """Return what `vantage` attends to: distractor-resolving entries, then recent ones, the farthest first."""
    telling = _telling(conditioning, others, vantage, config)
    recent = _recent(conditioning, others, vantage, config)
    most = config.num_maskmem - max(1, len(telling))
    slots = range(config.num_maskmem - 1, 0, -1)
    ranked = [(slot, others[t]) for slot, t, _ in zip(slots, recent, range(most), strict=False)]
    memories = [(0, entry) for entry in telling.values()] + ranked[::-1]
    lately = {t: entry for t, entry in others.items() if t not in telling}
    spare = {t: entry for t, entry in conditioning.items() if t not in telling}
    seen = pointers(telling, spare, lately, vantage, config)
    return assembled(memories, [(abs(distance), entry) for distance, entry in seen], vantage, config)


def choose(predicted_iou_BM: Tensor, boxes: Boxes, carried: Sequence[Any], config: ModelConfig) -> Chosen:
    """Return the candidates of the highest predicted IoU."""
    return predicted_iou_BM.argmax(dim=1), [None] * len(predicted_iou_BM)


def carry(before: Appearance | None, entry: FrameEntry, frame: int, config: ModelConfig) -> Appearance:
    """Return what is known after an entry: its area, and whether it was promoted."""
    before = before or Appearance()
    areas = before.areas + (((frame, entry.area),) if entry.area > 0 else ())
    return Appearance(areas[-AREAS:], frame if entry.promoted else before.promoted)


def settled(entry: FrameEntry, before: Appearance | None, frame: int, config: ModelConfig) -> FrameEntry:
    """Return a tracked frame's entry, promoted where it tells the object from a look-alike."""
    entry = replace(entry, promoted=_promotes(entry, carry(before, entry, frame, config), frame, config))
    return replace(entry, carried=carry(before, entry, frame, config))


def kept_maps(others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig) -> set[int]:
    """Return the frames whose maps this frame, should it be corrected, or a later one can still select."""
    behind = sorted((d, t) for t in others if (d := vantage.distance_to(t)) >= 0)
    nearest = {t for distance, t in behind if distance <= 1}
    promoted = [t for distance, t in behind if distance > 1 and others[t].promoted][: _most_telling(config)]
    seen = [(d, t) for d, t in behind if _shows(others[t]) and vantage.from_start(t) > 0]
    newest = {t for least in (0, 1) for _, t in [x for x in seen if x[0] >= least][:1]}
    on_grid = [t for _, t in seen if vantage.from_start(t) % config.memory_temporal_stride_for_eval == 0]
    return nearest | set(promoted) | newest | set(on_grid[: config.num_maskmem])


def _promotes(entry: FrameEntry, after: Appearance, frame: int, config: ModelConfig) -> bool:
    """Return whether another candidate reaches far outside a mask that is sure, of the usual size, and not too soon."""
    if entry.area < LEAST_AREA:
        return False
    if after.promoted is not None and frame - after.promoted <= config.promotion_pause:
        return False
    usual = median(area for t, area in after.areas if t > frame - AREA_REACH)
    predicted_iou, distractor = entry.scores_K[PREDICTED_IOU].item(), entry.scores_K[DISTRACTOR].item()
    return (
        predicted_iou > config.promotion_iou
        and 1.0 - config.promotion_area_change <= entry.area / usual <= 1.0 + config.promotion_area_change
        and distractor <= config.promotion_box_iou
    )


def _telling(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> dict[int, FrameEntry]:
    """Return prompted entries, then the promoted ones that are nearest; the frame just behind counts as recent."""
    prompted = closest_conditioning(conditioning, vantage.frame_idx, config.max_cond_frames_in_attn)
    behind = sorted((vantage.distance_to(t), t) for t, entry in others.items() if entry.promoted)
    promoted = [t for distance, t in behind if distance > 1]
    spare = max(0, _most_telling(config) - len(prompted))
    return prompted | {t: others[t] for t in promoted[:spare]}


def _most_telling(config: ModelConfig) -> int:
    """Return how many distractor-resolving entries there may be; one slot at least stays for recent ones."""
    limit = config.max_cond_frames_in_attn
    return config.num_maskmem - 1 if limit == -1 else min(limit, config.num_maskmem - 1)


def _recent(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> Iterator[int]:
    """Yield the frames of the recent memory, newest first."""
    oldest = max((vantage.distance_to(t) for t in others), default=0)
    newest = None
    previous = vantage.behind(1)
    if previous in others and others[previous].visible and previous not in conditioning:
        newest = 1
    for distance in range(1, oldest + 1):
        if newest is not None:
            break
        t = vantage.behind(distance)
        if t in others and _shows(others[t]) and vantage.from_start(t) > 0:
            newest = distance
    if newest is None:
        return
    yield vantage.behind(newest)
    stride = config.memory_temporal_stride_for_eval
    last = vantage.from_start(vantage.behind(newest))
    for distance in range(newest + 1, oldest + 1):
        t = vantage.behind(distance)
        frame = vantage.from_start(t)
        if 0 < frame < last and frame % stride == 0 and t in others and _shows(others[t]):
            yield t


def _shows(entry: FrameEntry) -> bool:
    """Return whether recent memory may look at an entry: the object was seen, and it is not memory of the other kind."""
    return entry.visible and not entry.promoted
