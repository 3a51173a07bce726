"""What tracking says of one frame.

Legend: N objects, h x w pixels of the low-resolution masks, H x W of the video.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sam2.modeling.released_methods import without_overlap
from sam2.tracking.postprocess import resize_logits


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """Masks and scores of the objects that were tracked on a frame, in the order of `obj_ids`.

    `low_res_logits` (N, 1, h, w) float32. Per object, (N,) float32: `predicted_iou` of the chosen candidate (on a
    prompted frame the decoder's, 1 for a mask prompt); `object_score_logits` (> 0: present); `motion_score` (IoU with
    the motion filter's box, NaN where there is none); `stability` (area over logit +1 by area over -1 at low
    resolution); `candidate_gap` (best minus second predicted IoU, NaN with one candidate); `pointer_similarity`
    (cosine between the object's pointer and the mean pointer of its conditioning frames). `size_hw` is the video's.
    """

    frame_idx: int
    obj_ids: list[int]
    low_res_logits: Tensor
    predicted_iou: Tensor
    object_score_logits: Tensor
    motion_score: Tensor
    stability: Tensor
    candidate_gap: Tensor
    pointer_similarity: Tensor
    size_hw: tuple[int, int]
    non_overlap: bool = False

    @property
    def mask_logits(self) -> Tensor:
        """Masks (N, 1, H, W) float32 at the video's size; made anew each time it is asked for, and not kept."""
        with torch.inference_mode():
            mask_logits_N1HW = resize_logits(self.low_res_logits, self.size_hw)
            return without_overlap(mask_logits_N1HW) if self.non_overlap else mask_logits_N1HW
