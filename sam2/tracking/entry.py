"""What is kept of one object on one frame: the unit of the memory bank.

Legend: C hidden channels, D memory channels, h = w = S/16 the feature side, H = W = S/4 the side of low-resolution
masks, K the scores of `SCORES`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

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
