"""SAMURAI's memory: the prompted frames, the one just behind and the newest that pass three thresholds.

The candidate is chosen by predicted IoU and, once the motion filter is stable, by IoU with the box that it predicts.
Nothing is promoted. Source: Yang et al. 2024, "SAMURAI", section 3; the filter is `sam2.tracking.motion`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.tracking.memory_bank import FrameEntry, Lookback, Vantage, assembled, closest_conditioning, pointers
from sam2.tracking.motion import Boxes, Chosen, Motion, advance
from sam2.tracking.motion import choose as choose_by_motion

CARRIES = True


def look_back(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> Lookback:
    """Return what `vantage` attends to, in the order in which it is concatenated."""
    chosen = closest_conditioning(conditioning, vantage.frame_idx, config.max_cond_frames_in_attn)
    spare = {t: entry for t, entry in conditioning.items() if t not in chosen}
    memories = [(0, entry) for entry in chosen.values()] + _ranked(others, spare, vantage, config)
    return assembled(memories, pointers(chosen, spare, others, vantage, config), vantage, config)


def choose(predicted_iou_BM: Tensor, boxes: Boxes, carried: Sequence[Any], config: ModelConfig) -> Chosen:
    """Return the candidates that the motion filters and the predicted IoU choose."""
    if predicted_iou_BM.shape[1] == 1:
        return predicted_iou_BM.argmax(dim=1), [None] * len(predicted_iou_BM)
    predicted_iou = predicted_iou_BM.cpu().numpy()
    choices = [
        choose_by_motion(motion, boxes_M, predicted_iou_M, config)
        for motion, boxes_M, predicted_iou_M in zip(carried, boxes(), predicted_iou, strict=True)
    ]
    return torch.tensor([choice.candidate for choice in choices], device=predicted_iou_BM.device), choices


def carry(before: Motion | None, entry: FrameEntry, frame: int, config: ModelConfig) -> Motion | None:
    """Return the motion filter after an entry; one without a sighting is passed over."""
    return before if entry.sighting is None else advance(before, entry.sighting, config)


def settled(entry: FrameEntry, before: Motion | None, frame: int, config: ModelConfig) -> FrameEntry:
    """Return a tracked frame's entry as it is stored: its filter has moved where it was chosen."""
    return entry


def kept_maps(others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig) -> set[int]:
    """Return the frames whose maps this frame, should it be corrected, or a later one can still select."""
    behind = sorted((d, t) for t in others if (d := vantage.distance_to(t)) >= 0)
    nearest = {t for distance, t in behind if distance <= 1}
    chosen = [t for d, t in behind if d >= 1 and others[t].selectable and vantage.from_start(t) > 1]
    return nearest | set(chosen[: config.num_maskmem - 1])


def _ranked(
    others: Mapping[int, FrameEntry], spare: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> list[tuple[int, FrameEntry]]:
    """Return the newest selectable frames and, come what may, the one just behind; slots tell ranks, not distances.

    The two frames at the video's start are never selectable. A conditioning frame just behind takes the last slot
    without filling it: it is attended to as conditioning already.
    """
    most = config.num_maskmem - 1
    ranked: list[int] = [vantage.behind(1)]
    distance = 1
    while vantage.from_start(vantage.behind(distance)) > 1 and len(ranked) < most:
        frame_idx = vantage.behind(distance)
        entry = others.get(frame_idx)
        if entry is not None and entry.selectable and distance > 1:
            ranked.append(frame_idx)
        distance += 1
    slots = zip(range(most, 0, -1), ranked, strict=False)
    memories = [(slot, entry) for slot, t in slots if (entry := others.get(t, spare.get(t))) is not None]
    return memories[::-1]
