"""The memory bank: what is stored of one object on one frame, and which entries a frame attends to.

The rules are pure functions of what is stored. Forward and reverse are one rule: "behind" is the side that tracking
comes from, and a distance counts frames behind. Source: Ravi et al. 2024, "SAM 2", section 4 (memory bank); Yang et al.
2024, "SAMURAI", section 3 (memory selection).

Legend: C hidden channels, D memory channels, h = w = S/16 the feature side, H = W = S/4 the side of low-resolution
masks, K the scores of `SCORES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.tracking.motion import Motion, Sighting

SCORES = ("predicted_iou", "object_score_logits", "motion_score", "stability", "candidate_gap")
PREDICTED_IOU, OBJECT_SCORE, MOTION_SCORE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One object's answer on one frame, with what later frames may look back at.

    `memory_1Dhw` (bfloat16) is None while a prompt waits to be encoded, and once a window has let it go, like
    `mask_logits_11HW` (float32, holes filled). `scores_K` lies on the device in the order of `SCORES`. `selectable`:
    SAMURAI's thresholds let later frames look at this one. `sighting` is what moved the motion filter here, None on
    frames with a mask, a box or several clicks; `motion` is the filter after this frame, tracked in the direction
    `reverse`; both None where neither applies.
    """

    memory_1Dhw: Tensor | None
    mask_logits_11HW: Tensor | None
    pointer_1C: Tensor
    scores_K: Tensor
    selectable: bool = False
    sighting: Sighting | None = None
    motion: Motion | None = None
    reverse: bool | None = None

    def stored_on(self, device: torch.device) -> "FrameEntry":
        """Return the entry with its maps on `device`; the pointer and the scores are small and stay where they are."""
        moved = {
            name: value.to(device)
            for name in ("memory_1Dhw", "mask_logits_11HW")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)

    def thinned(self) -> "FrameEntry":
        """Return the entry without its maps: pointer, scores and motion, which the next 15 frames still need."""
        return replace(self, memory_1Dhw=None, mask_logits_11HW=None)

    @property
    def thin(self) -> bool:
        return self.mask_logits_11HW is None


ASSUMED_LENGTH = 16         # of a video whose length is open; the pointers' time scale does not grow beyond it


@dataclass(frozen=True, slots=True)
class Lookback:
    """What a frame attends to: memories with their time slots, pointers with their signed distances in frames."""

    memories: list[tuple[int, FrameEntry]]
    pointers: list[tuple[int, FrameEntry]]
    max_pointer_offset: int

    @property
    def shape(self) -> tuple[int, int]:
        """How many memories and pointers there are: objects with equal shapes share a batch."""
        return len(self.memories), len(self.pointers)


@dataclass(frozen=True, slots=True)
class Vantage:
    """Where one looks back from: the frame, the direction of tracking and the video's length (None while open)."""

    frame_idx: int
    reverse: bool
    num_frames: int | None

    def behind(self, distance: int) -> int:
        """Return the frame `distance` frames behind."""
        return self.frame_idx + distance if self.reverse else self.frame_idx - distance

    def distance_to(self, frame_idx: int) -> int:
        """Return how far `frame_idx` lies behind; negative ahead."""
        return frame_idx - self.frame_idx if self.reverse else self.frame_idx - frame_idx

    def from_start(self, frame_idx: int) -> int:
        """Return the index that `frame_idx` has when counted in the direction of tracking."""
        if not self.reverse:
            return frame_idx
        return (self.num_frames or 0) - 1 - frame_idx

    @property
    def max_pointers(self) -> int:
        return ASSUMED_LENGTH if self.num_frames is None else self.num_frames


def look_back(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> Lookback:
    """Return what `vantage` attends to, in the order in which it is concatenated."""
    chosen = closest_conditioning(conditioning, vantage.frame_idx, config.max_cond_frames_in_attn)
    spare = {t: entry for t, entry in conditioning.items() if t not in chosen}
    recent = samurai_memories if config.samurai_mode else recent_memories
    memories = [(0, entry) for entry in chosen.values()] + recent(others, spare, vantage, config)
    max_pointers = min(vantage.max_pointers, config.max_obj_ptrs_in_encoder)
    pointers = _pointers(chosen, spare, others, vantage, config, max_pointers) if config.use_obj_ptrs_in_encoder else []
    return Lookback(memories, pointers, max(1, max_pointers - 1))


def closest_conditioning(
    conditioning: Mapping[int, FrameEntry], frame_idx: int, most: int
) -> dict[int, FrameEntry]:
    """Return at most `most` conditioning entries (-1: all): the nearest before, the nearest from here on, then by
    distance."""
    if most == -1 or len(conditioning) <= most:
        return dict(conditioning)
    before = [t for t in conditioning if t < frame_idx]
    after = [t for t in conditioning if t >= frame_idx]
    picked = ([max(before)] if before else []) + ([min(after)] if after else [])
    rest = sorted((t for t in conditioning if t not in picked), key=lambda t: abs(t - frame_idx))
    return {t: conditioning[t] for t in picked + rest[: max(0, most - len(picked))]}


def recent_memories(
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


def samurai_memories(
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


def _strided(vantage: Vantage, distance: int, stride: int) -> int:
    """Return the frame in the slot `distance` behind: the nearest frame itself, then every `stride`-th frame."""
    if distance == 1 or stride == 1:
        return vantage.behind(distance)
    if vantage.reverse:
        return -(-(vantage.frame_idx + 2) // stride) * stride + (distance - 2) * stride
    return (vantage.frame_idx - 2) // stride * stride - (distance - 2) * stride


def _pointers(
    chosen: Mapping[int, FrameEntry],
    spare: Mapping[int, FrameEntry],
    others: Mapping[int, FrameEntry],
    vantage: Vantage,
    config: ModelConfig,
    max_pointers: int,
) -> list[tuple[int, FrameEntry]]:
    pointers = []
    for frame_idx, entry in chosen.items():
        distance = vantage.distance_to(frame_idx)
        if distance >= 0 or not config.only_obj_ptrs_in_the_past_for_eval:
            pointers.append((distance if config.use_signed_tpos_enc_to_obj_ptrs else abs(distance), entry))
    for distance in range(1, max_pointers):
        frame_idx = vantage.behind(distance)
        entry = others.get(frame_idx, spare.get(frame_idx))
        if entry is not None:
            pointers.append((distance, entry))
    return pointers
