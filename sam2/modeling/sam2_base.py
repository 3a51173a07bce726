"""The SAM 2 network, whole: image encoder, memory attention, mask decoder, memory encoder; no tracking state.

Legend of the shape suffixes: B objects (or images), M candidate masks, T memories, P points or pointers, S the side
of the square image, h = w = S/16 the feature side, H = W = S/4 the side of low-resolution masks, C hidden channels
(256), D memory channels (64). A leading 1 where B is written broadcasts: features of one frame serve all its objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sam2.modeling.config import ModelConfig

ABSENT_LOGIT = -1024.0


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the image encoder says of a batch of frames.

    `vision_BChw` is the 1/16 map before `no_mem_embed`, `pos_1Chw` its sine position encoding,
    `high_res` the 1/4 and 1/8 maps (C/8 and C/4 channels) as the mask decoder adds them.
    """

    vision_BChw: Tensor
    pos_1Chw: Tensor
    high_res: tuple[Tensor, Tensor]

    def __len__(self) -> int:
        return self.vision_BChw.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> "ImageFeatures":
        """Return the features of some frames of the batch; an int keeps the batch axis."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        fine, middle = self.high_res
        return ImageFeatures(self.vision_BChw[rows], self.pos_1Chw, (fine[rows], middle[rows]))


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the mask decoder says before a candidate is chosen; M is 3 with `multimask`, else 1.

    `mask_logits_BMHW` float32, absence not yet applied (see `SAM2Base.mask_absent`); `predicted_iou_BM` in [0, 1];
    `tokens_BMC` the mask tokens that pointers are made from (with M = 1 always the single-mask token's, even where
    the mask was replaced for stability); `object_score_logits_B1` > presence threshold means present.
    """

    mask_logits_BMHW: Tensor
    predicted_iou_BM: Tensor
    tokens_BMC: Tensor
    object_score_logits_B1: Tensor


class SAM2Base(nn.Module):
    """The network under the released parameter names (Ravi et al. 2024, "SAM 2", figure 3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.image_size = config.image_size

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode_image(self, image_B3SS: Tensor) -> ImageFeatures:
        """Encode normalised RGB frames at the model's size."""
        raise NotImplementedError

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Return `vision_BChw` + `no_mem_embed`: what the decoder sees on a frame that has no memory to look at."""
        raise NotImplementedError

    def condition_on_memory(
        self,
        features: ImageFeatures,
        memories: Sequence[Tensor],
        time_slots: Sequence[int] | Tensor,
        pointers_BPC: Tensor | None = None,
        pointer_offsets: Sequence[int] | Tensor = (),
        *,
        max_pointer_offset: int = 15,
    ) -> Tensor:
        """Attend from a frame's features to what is remembered of each object; return `vision_BChw`.

        `memories`: T maps `memory_BDhw` in the order they are to be concatenated (any dtype). `time_slots`: their
        positions, T values or a (B, T) tensor: 0 for a conditioning frame, else `num_maskmem` minus the distance or
        rank (the nearest has 6). `pointers_BPC`: object pointers, or None. `pointer_offsets`: their signed distances
        in frames, P values or a (B, P) tensor, divided here by `max_pointer_offset` = min(num_frames, 16) - 1.
        Features may have batch 1 (one frame, B objects).
        """
        raise NotImplementedError

    def decode(
        self,
        vision_BChw: Tensor,
        high_res: tuple[Tensor, Tensor],
        *,
        points_xy_BP2: Tensor | None = None,
        labels_BP: Tensor | None = None,
        mask_logits_B1HW: Tensor | None = None,
        multimask: bool,
        batch: int | None = None,
    ) -> Decoded:
        """Decode masks of B objects.

        `points_xy_BP2` in model pixels (0..S); labels 1 positive, 0 negative, 2 and 3 box corners, -1 padding. Without
        points one padding point stands in, as in tracking. `mask_logits_B1HW` is the mask prompt. `batch` is B where
        the inputs alone would not say it (features of batch 1 and no prompts).
        """
        raise NotImplementedError

    def mask_absent(self, mask_logits_BMHW: Tensor, object_score_logits_B1: Tensor) -> Tensor:
        """Return mask logits with -1024 everywhere for objects whose score says absent."""
        raise NotImplementedError

    def pointer(self, token_BC: Tensor, object_score_logits_B1: Tensor) -> Tensor:
        """Return `pointer_BC` of the chosen mask's token; `no_obj_ptr` where the object is absent."""
        raise NotImplementedError

    def pointer_of_mask(self, features: ImageFeatures, mask_B1SS: Tensor) -> Tensor:
        """Return `pointer_BC` of given masks (0 or 1 at the model's size), decoded with the mask as a prompt."""
        raise NotImplementedError

    def encode_memory(
        self,
        vision_BChw: Tensor,
        mask_logits_B1SS: Tensor,
        object_score_logits_B1: Tensor,
        *,
        from_prompt: bool,
    ) -> Tensor:
        """Return `memory_BDhw` in bfloat16 of a frame's features (`ImageFeatures.vision_BChw`) and its mask logits.

        `from_prompt`: the mask comes from a person's prompt on this frame, and is binarised where the config says so.
        """
        raise NotImplementedError
