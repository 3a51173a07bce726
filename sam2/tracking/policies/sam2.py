"""SAM 2's memory: the prompted frames and the latest six; the candidate of the highest predicted IoU; nothing is promoted.

Source: Ravi et al. 2024, "SAM 2", section 4 (memory bank).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.tracking.memory_bank import FrameEntry, Lookback, Vantage, assembled, closest_conditioning, pointers
from sam2.tracking.motion import Boxes, Chosen

CARRIES = False


def look_back(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> Lookback:
    """Return what `vantage` attends to, in the order in which it is concatenated."""
    chosen = closest_conditioning(conditioning, vantage.frame_idx, config.max_cond_frames_in_attn)
    spare = {t: entry for t, entry in conditioning.items() if t not in chosen}
    memories = [(0, entry) for entry in chosen.values()] + _recent(others, spare, vantage, config)
    return assembled(memories, pointers(chosen, spare, others, vantage, config), vantage, config)


def choose(predicted_iou_BM: Tensor, boxes: Boxes, carried: Sequence[Any], config: ModelConfig) -> Chosen:
    """Return the candidates of the highest predicted IoU."""
    return predicted_iou_BM.argmax(dim=1), [None] * len(predicted_iou_BM)


def carry(before: None, entry: FrameEntry, frame: int, config: ModelConfig) -> None:
    """Hand on nothing: what is stored says all."""


def settled(entry: FrameEntry, before: None, frame: int, config: ModelConfig) -> FrameEntry:
    """Return a tracked frame's entry as it is stored."""
    return entry


def kept_maps(others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig) -> set[int]:
    """Return the frames whose maps this frame, should it be corrected, or a later one can still select."""
    stride = config.memory_temporal_stride_for_eval
    reach = (config.num_maskmem - 1) * stride + stride - 1
    return {t for t in others if 0 <= vantage.distance_to(t) <= reach}


def _recent(
    others: Mapping[int, FrameEntry], spare: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> list[tuple[int, FrameEntry]]:
    """Return the frames just behind, farthest first; a frame's slot tells its distance, and a gap leaves it empty."""
    memories = []
    for slot in range(1, config.num_maskmem):
        frame_idx = _strided(vantage, config.num_maskmem - slot, config.memory_temporal_stride_for_eval)
        entry = others.get(frame_idx, spare.get(frame_idx))
        if entry is not None:
            memories.append((slot, entry))
    return memories


def _strided(vantage: Vantage, distance: int, stride: int) -> int:
    """Return the frame in the slot `distance` behind: the nearest frame itself, then every `stride`-th frame."""
    if distance == 1 or stride == 1:
        return vantage.behind(distance)
    if vantage.reverse:
        return -(-(vantage.frame_idx + 2) // stride) * stride + (distance - 2) * stride
    return (vantage.frame_idx - 2) // stride * stride - (distance - 2) * stride
