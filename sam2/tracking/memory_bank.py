"""The memory bank: what is stored of one object on one frame, and what every policy says of it.

Which entries a frame attends to is a policy's rule (`sam2.tracking.policies`), a pure function of what is stored. Forward
and reverse are one rule: "behind" is the side that tracking comes from, and a distance counts frames behind. Source: Ravi
et al. 2024, "SAM 2", section 4 (memory bank).

Legend: C hidden channels, D memory channels, h = w = S/16 the feature side, H = W = S/4 the side of low-resolution
masks, K the scores of `SCORES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.tracking.motion import Motion, Sighting

SCORES = ("predicted_iou", "object_score_logits", "motion_score", "stability", "candidate_gap", "distractor")
PREDICTED_IOU, OBJECT_SCORE, MOTION_SCORE, DISTRACTOR = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Appearance:
    """What promotion has to know of the frames before: `areas` are (frame, pixels) of the latest masks that were not
    empty, oldest first; `promoted` is the last frame that was promoted. Frames are counted in the direction of tracking."""

    areas: tuple[tuple[int, int], ...] = ()
    promoted: int | None = None


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One object's answer on one frame, with what later frames may look back at.

    `memory_1Dhw` (bfloat16) is None while a prompt waits to be encoded, and once a window has let it go, like
    `mask_logits_11HW` (float32, holes filled). `scores_K` lies on the device in the order of `SCORES`. `selectable`:
    SAMURAI's thresholds let later frames look at this one. `visible`: the object score is above 0; `area` counts the
    mask's low-resolution pixels. `promoted`: the frame tells the object from a look-alike and stays in memory. `sighting`
    is what moved the motion filter here, None on frames with a mask, a box or several clicks. `carried` is what the policy
    hands on to the next frame (SAMURAI's motion filter), after this frame, tracked in the direction `reverse`; both None
    where neither applies.
    """

    memory_1Dhw: Tensor | None
    mask_logits_11HW: Tensor | None
    pointer_1C: Tensor
    scores_K: Tensor
    selectable: bool = False
    sighting: Sighting | None = None
    carried: Motion | Appearance | None = None
    reverse: bool | None = None
    visible: bool = True
    area: int = 0
    promoted: bool = False

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


def pointers(
    chosen: Mapping[int, FrameEntry],
    spare: Mapping[int, FrameEntry],
    others: Mapping[int, FrameEntry],
    vantage: Vantage,
    config: ModelConfig,
) -> list[tuple[int, FrameEntry]]:
    """Return the pointers of `chosen` entries and of the frames just behind, each with its distance.

    With `pointers_of_visible_only`, a frame where the object was not seen gives none.
    """
    if not config.use_obj_ptrs_in_encoder:
        return []
    pointers = []
    for frame_idx, entry in chosen.items():
        distance = vantage.distance_to(frame_idx)
        if distance >= 0 or not config.only_obj_ptrs_in_the_past_for_eval:
            pointers.append((distance if config.use_signed_tpos_enc_to_obj_ptrs else abs(distance), entry))
    for distance in range(1, pointers_in_reach(vantage, config)):
        frame_idx = vantage.behind(distance)
        entry = others.get(frame_idx, spare.get(frame_idx))
        if entry is not None:
            pointers.append((distance, entry))
    if config.pointers_of_visible_only:
        return [(distance, entry) for distance, entry in pointers if entry.visible]
    return pointers


def pointers_in_reach(vantage: Vantage, config: ModelConfig) -> int:
    """Return how many frames give pointers, this one included."""
    return min(vantage.max_pointers, config.max_obj_ptrs_in_encoder)


def assembled(
    memories: list[tuple[int, FrameEntry]], seen: list[tuple[int, FrameEntry]], vantage: Vantage, config: ModelConfig
) -> Lookback:
    """Return a lookback on the time scale of this video."""
    return Lookback(memories, seen, max(1, pointers_in_reach(vantage, config) - 1))
