"""Several answers at once: each path has its own memory and sum of scores, and the best sum at the end is the answer.

On every frame each path offers three candidates; the best branches of all live on. A path looks back at its latest frames
where the object was seen well enough, and at the one just behind; these feed maps, by rank, and pointers alike. The surer a
frame was of the object, the more its keys weigh. Paths are walked by `sam2.tracking.pathways`.

Settled here where the paper is silent: a single entry's keys stay as they are; where more paths are wanted than differ, the
best of unused paths fill up, then the best of all; going on after the end begins with the answer as its one path.

Source: Ding et al. 2025, "SAM2Long: Enhancing SAM 2 for Long Video Segmentation with a Training-Free Memory Tree", section 3.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.tracking.memory_bank import OBJECT_SCORE, PREDICTED_IOU, FrameEntry, Lookback, Vantage, closest_conditioning
from sam2.tracking.memory_bank import pointers_in_reach as reach
from sam2.tracking.motion import Boxes, Chosen

Branch: TypeAlias = tuple[int, int, float]      # path, candidate, sum of scores

CARRIES = False
LEAST_SHARE = 1e-5          # added to a predicted IoU before its logarithm
DECIMALS = 2                # of predicted IoU that tell branches apart on an uncertain frame


def look_back(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> Lookback:
    """Return what `vantage` attends to from one path, whose frames are `others`: prompts, then the newest by rank."""
    prompted = closest_conditioning(conditioning, vantage.frame_idx, config.max_cond_frames_in_attn)
    listed = _listed(others, vantage, config)
    slots = range(config.num_maskmem - 1, 0, -1)
    maps = [(slot, others[t]) for slot, t in zip(slots, listed, strict=False)][::-1]
    past = [(vantage.distance_to(t), entry) for t, entry in prompted.items() if vantage.distance_to(t) >= 0]
    seen = [(vantage.distance_to(t), others[t]) for t in listed]
    pointers, scores = past + seen, [math.inf] * len(past) + [_score(entry) for _, entry in seen]
    if not config.use_obj_ptrs_in_encoder:
        pointers, scores = [], []
    return Lookback(
        [(0, entry) for entry in prompted.values()] + maps,
        pointers,
        max(1, reach(vantage, config) - 1),
        memory_scales=key_scales([math.inf] * len(prompted) + [_score(entry) for _, entry in maps], config),
        pointer_scales=key_scales(scores, config),
    )


def key_scales(scores: Sequence[float], config: ModelConfig) -> tuple[float, ...]:
    """Return a factor for each entry's keys, spread evenly about 1 by the rank of its score; equal scores rank by place."""
    if len(scores) < 2:
        return (1.0,) * len(scores)
    spread = np.linspace(1.0 - config.pathway_key_spread, 1.0 + config.pathway_key_spread, len(scores))
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    return tuple(spread[ranks].tolist())


def branches(
    totals: Sequence[float], predicted_iou_PM: Sequence[Sequence[float]], object_scores_P: Sequence[float], config: ModelConfig
) -> list[Branch]:
    """Return the branches that live on, best first: path, candidate and new sum of scores.

    On a frame that no path is certain of, candidates of the same predicted IoU (to two decimals, and of the same presence)
    count as one, so that what lives on differs.
    """
    every = [
        (path, candidate, total + math.log(iou + LEAST_SHARE))
        for path, (total, iou_M) in enumerate(zip(totals, predicted_iou_PM, strict=True))
        for candidate, iou in enumerate(iou_M)
    ]
    every.sort(key=lambda branch: -branch[2])
    if max(abs(score) for score in object_scores_P) > config.pathway_certainty:
        return every[: config.pathways]
    return _distinct(every, predicted_iou_PM, object_scores_P, config.pathways)


def _distinct(
    every: Sequence[Branch], predicted_iou_PM: Sequence[Sequence[float]], object_scores_P: Sequence[float], most: int
) -> list[Branch]:
    kept: list[Branch] = []
    looks = set()
    for path, candidate, total in every:
        look = object_scores_P[path] > 0, round(predicted_iou_PM[path][candidate], DECIMALS)
        if look not in looks:
            looks.add(look)
            kept.append((path, candidate, total))
    kept = kept[:most]
    used = {path for path, _, _ in kept}
    for branch in every:
        if branch[0] not in used and len(kept) < most:
            used.add(branch[0])
            kept.append(branch)
    return (kept + [branch for branch in every if branch not in kept])[:most]


def choose(predicted_iou_BM: Tensor, boxes: Boxes, carried: Sequence[Any], config: ModelConfig) -> Chosen:
    """Return the candidates of the highest predicted IoU: prompts have one answer."""
    return predicted_iou_BM.argmax(dim=1), [None] * len(predicted_iou_BM)


def carry(before: None, entry: FrameEntry, frame: int, config: ModelConfig) -> None:
    """Hand on nothing: what is stored says all."""


def settled(entry: FrameEntry, before: None, frame: int, config: ModelConfig) -> FrameEntry:
    """Return a tracked frame's entry as it is stored."""
    return entry


def kept_maps(others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig) -> set[int]:
    """Return the frames that this frame or a later one can still select from a path."""
    behind = sorted((d, t) for t in others if (d := vantage.distance_to(t)) >= 0)
    well = [t for _, t in behind if _well_seen(others[t], config)]
    return {t for distance, t in behind if distance <= 1} | set(well[: config.max_obj_ptrs_in_encoder])


def _listed(others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig) -> list[int]:
    """Return a path's frames that are looked back at, newest first: the one just behind, and those seen well enough."""
    behind = sorted((d, t) for t in others if (d := vantage.distance_to(t)) > 0)
    listed = [t for distance, t in behind if distance == 1 or _well_seen(others[t], config)]
    return listed[: reach(vantage, config) - 1]


def _well_seen(entry: FrameEntry, config: ModelConfig) -> bool:
    return entry.visible and entry.scores_K[PREDICTED_IOU].item() > config.pathway_iou


def _score(entry: FrameEntry) -> float:
    return float(entry.scores_K[OBJECT_SCORE])
