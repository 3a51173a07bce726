"""The SAM 2 network, whole: image encoder, memory attention, mask decoder, memory encoder; no tracking state.

Legend of the shape suffixes: B objects (or images), M candidate masks, T memories, P points or pointers, S the side
of the square image, h = w = S/16 the feature side, H = W = S/4 the side of low-resolution masks, C hidden channels
(256), D memory channels (64). A leading 1 where B is written broadcasts: features of one frame serve all its objects.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.backbones.image_encoder import ImageEncoder, ImageFeatures
from sam2.modeling.components import Components, config_of, make_components
from sam2.modeling.config import ModelConfig
from sam2.modeling.layers import MLP
from sam2.modeling.position_encoding import sine_map, sine_of_offsets
from sam2.modeling.released_methods import NO_OBJ_SCORE, ReleasedNetwork
from sam2.modeling.sam.mask_decoder import Decoded
from sam2.modeling.sam.prompt_encoder import PADDING
from sam2.modeling.settings import with_settings

__all__ = ["ABSENT_LOGIT", "NO_OBJ_SCORE", "Decoded", "ImageFeatures", "SAM2Base"]

ABSENT_LOGIT = NO_OBJ_SCORE


@with_settings
class SAM2Base(ReleasedNetwork):
    """The network under the released parameter names (Ravi et al. 2024, "SAM 2", figure 3).

    Built from a `config`, or under the released call: `image_encoder`, `memory_attention`, `memory_encoder` and released
    keys. Settings can be read and set as attributes (`sam2.modeling.settings`).
    """

    def __init__(
        self,
        image_encoder: nn.Module | None = None,
        memory_attention: nn.Module | None = None,
        memory_encoder: nn.Module | None = None,
        *,
        config: ModelConfig | None = None,
        **keys: Any,
    ) -> None:
        super().__init__()
        if config is None:
            config = config_of(image_encoder, memory_attention, memory_encoder, keys)
            parts = Components.around(config, image_encoder, memory_attention, memory_encoder)
        elif keys or image_encoder is not None:
            raise ValueError(f"config says all of the network: got {[*keys] or 'parts'} beside it")
        else:
            parts = make_components(config)
        if config.proj_tpos_enc_in_obj_ptrs and not config.add_tpos_enc_to_obj_ptrs:
            raise ValueError("proj_tpos_enc_in_obj_ptrs=true needs add_tpos_enc_to_obj_ptrs=true")
        self.config = config
        dim, memory_dim = config.hidden_dim, config.memory_dim
        self.image_encoder = parts.image_encoder
        self.memory_attention = parts.memory_attention
        self.memory_encoder = parts.memory_encoder
        self.sam_prompt_encoder = parts.sam_prompt_encoder
        self.sam_mask_decoder = parts.sam_mask_decoder
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.obj_ptr_proj = MLP(dim, dim, dim, 3)
        self.obj_ptr_tpos_proj = nn.Linear(dim, memory_dim) if config.proj_tpos_enc_in_obj_ptrs else nn.Identity()
        self.maskmem_tpos_enc = _small_noise(config.num_maskmem, 1, 1, memory_dim)
        self.no_mem_embed = _small_noise(1, 1, dim)
        self.no_mem_pos_enc = _small_noise(1, 1, dim)       # in the released files, and never read
        self.no_obj_ptr = _small_noise(1, dim)
        self.no_obj_embed_spatial = _small_noise(1, memory_dim) if config.no_obj_embed_spatial else None

    @property
    def device(self) -> torch.device:
        return self.no_mem_embed.device

    @property
    def sam_mask_decoder_extra_args(self) -> dict[str, Any]:
        """The decoder's choices as they are; set them on `sam_mask_decoder`."""
        names = ("via_stability", "stability_delta", "stability_thresh")
        return {f"dynamic_multimask_{end}": getattr(self.sam_mask_decoder, f"dynamic_multimask_{end}") for end in names}

    def forward_image(self, img_batch: Tensor) -> dict[str, Any]:
        """Return the image encoder's answer to (B, 3, S, S), the finest two maps as the mask decoder adds them."""
        answer = self.image_encoder(img_batch)
        maps, decoder = answer["backbone_fpn"], self.sam_mask_decoder
        maps[0], maps[1] = decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1])
        return answer

    def encode_image(self, image_B3SS: Tensor) -> ImageFeatures:
        """Encode normalised RGB frames at the model's size."""
        side = self.image_size
        if image_B3SS.ndim != 4 or image_B3SS.shape[1:] != (3, side, side):
            raise ValueError(f"image of shape {tuple(image_B3SS.shape)}: expected (B, 3, {side}, {side})")
        encoder, after = self.image_encoder, (self.sam_mask_decoder.conv_s0, self.sam_mask_decoder.conv_s1)
        plain = type(self).forward_image is SAM2Base.forward_image and "forward_image" not in vars(self)
        if plain and isinstance(encoder, ImageEncoder) and encoder.folds(after):
            answer = encoder(image_B3SS, after=after)
        else:
            answer = self.forward_image(image_B3SS)
        fine, middle, vision = answer["backbone_fpn"][-3:]
        return ImageFeatures(vision, answer["vision_pos_enc"][-1][:1], (fine, middle))

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Return `vision_BChw` + `no_mem_embed`: what the decoder sees on a frame that has no memory to look at."""
        return features.vision_BChw + self.no_mem_embed.view(1, -1, 1, 1)

    def condition_on_memory(
        self,
        features: ImageFeatures,
        memories: Sequence[Tensor],
        time_slots: Sequence[int] | Tensor,
        pointers_BPC: Tensor | None = None,
        pointer_offsets: Sequence[int] | Tensor = (),
        *,
        max_pointer_offset: int = 15,
        key_scales_BK: Tensor | None = None,
    ) -> Tensor:
        """Attend from a frame's features to what is remembered of each object; return `vision_BChw`.

        `memories`: T maps `memory_BDhw` in the order they are to be concatenated (any dtype). `time_slots`: their
        positions, T values or a (B, T) tensor: 0 for a conditioning frame, else `num_maskmem` minus the distance or
        rank (the nearest has 6). `pointers_BPC`: object pointers, or None. `pointer_offsets`: their signed distances
        in frames, P values or a (B, P) tensor, divided here by `max_pointer_offset` = min(num_frames, 16) - 1.
        `key_scales_BK` weighs the keys of each memory, then of each pointer. Features may have batch 1 (one frame, B
        objects).
        """
        dtype = torch.promote_types(features.vision_BChw.dtype, self.maskmem_tpos_enc.dtype)
        tokens = [memory.flatten(2).transpose(1, 2).to(dtype) for memory in memories]
        places = [self._memory_places(time_slots, memories[0][:1].to(dtype))]
        pointer_tokens = 0
        if pointers_BPC is not None and pointers_BPC.shape[1]:
            tokens.append(pointers_BPC.unflatten(2, (-1, self.config.memory_dim)).flatten(1, 2).to(dtype))
            places.append(self._pointer_places(pointer_offsets, max_pointer_offset))
            pointer_tokens = tokens[-1].shape[1]
        batch = max(place.shape[0] for place in places)
        memory_pos = torch.cat([place.expand(batch, -1, -1) for place in places], dim=1)
        weighed = {}
        if key_scales_BK is not None:
            cells, pieces = memories[0].shape[-2:].numel(), self.config.hidden_dim // self.config.memory_dim
            repeats = torch.tensor([cells] * len(memories) + [pieces] * (pointer_tokens // pieces), device=self.device)
            weighed = {"key_scale": key_scales_BK.repeat_interleave(repeats, dim=1)[..., None]}
        conditioned_NBC = self.memory_attention(
            curr=features.vision_BChw.flatten(2).permute(2, 0, 1),
            curr_pos=features.pos_1Chw.flatten(2).permute(2, 0, 1),
            memory=torch.cat(tokens, dim=1).transpose(0, 1),
            memory_pos=memory_pos.transpose(0, 1),
            num_obj_ptr_tokens=pointer_tokens,
            **weighed,
        )
        return conditioned_NBC.permute(1, 2, 0).unflatten(2, features.vision_BChw.shape[-2:])

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
        if points_xy_BP2 is None or labels_BP is None:
            if batch is None:
                batch = vision_BChw.shape[0] if mask_logits_B1HW is None else mask_logits_B1HW.shape[0]
            points_xy_BP2 = vision_BChw.new_zeros(batch, 1, 2, dtype=torch.float32)
            labels_BP = torch.full((batch, 1), PADDING, device=vision_BChw.device)
        if mask_logits_B1HW is not None:
            mask_logits_B1HW = self._at_mask_input_size(mask_logits_B1HW)
        encoder = self.sam_prompt_encoder
        tokens, prompt = encoder(points=(points_xy_BP2, labels_BP), boxes=None, masks=mask_logits_B1HW)
        mask_logits_BMHW, *rest = self.sam_mask_decoder(
            image_embeddings=vision_BChw,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=tokens,
            dense_prompt_embeddings=prompt,
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=list(high_res),
        )
        return Decoded(mask_logits_BMHW.float(), *rest)

    def mask_absent(self, mask_logits_BMHW: Tensor, object_score_logits_B1: Tensor) -> Tensor:
        """Return mask logits with -1024 everywhere for objects whose score says absent."""
        present = object_score_logits_B1 > self.config.presence_threshold
        return torch.where(present[..., None, None], mask_logits_BMHW, ABSENT_LOGIT)

    def pointer(self, token_BC: Tensor, object_score_logits_B1: Tensor) -> Tensor:
        """Return `pointer_BC` of the chosen mask's token; `no_obj_ptr` where the object is absent."""
        return self._pointer_if(object_score_logits_B1 > self.config.presence_threshold, self.obj_ptr_proj(token_BC))

    def pointer_of_mask(self, features: ImageFeatures, mask_B1SS: Tensor) -> Tensor:
        """Return `pointer_BC` of given masks (0 or 1 at the model's size), decoded with the mask as a prompt.

        `no_obj_ptr` where a mask is empty or the decoder does not see the object.
        """
        answer = self.decode(
            features.vision_BChw,
            features.high_res,
            mask_logits_B1HW=self.mask_downsample(mask_B1SS.to(self.no_mem_embed.dtype)),
            multimask=False,
        )
        pointer_BC = self.pointer(answer.tokens_BMC[:, 0], answer.object_score_logits_B1)
        return self._pointer_if(mask_B1SS.flatten(1).any(1, keepdim=True), pointer_BC)

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
        The no-object embedding goes by a score of 0, whatever SAMURAI's presence threshold is.
        """
        return self._memory(vision_BChw, mask_logits_B1SS, object_score_logits_B1, from_prompt=from_prompt)[0].bfloat16()

    def _memory(
        self, vision_BChw: Tensor, mask_logits_B1SS: Tensor, object_score_logits_B1: Tensor, *, from_prompt: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Return `memory_BDhw` as it comes from the memory encoder, and its place."""
        config = self.config
        binarise = from_prompt and config.binarize_mask_from_pts_for_mem_enc and not self.training
        share = (mask_logits_B1SS > 0).float() if binarise else mask_logits_B1SS.sigmoid()
        scaled = share * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        answer = self.memory_encoder(vision_BChw, scaled, skip_mask_sigmoid=True)
        memory_BDhw = answer["vision_features"]
        if self.no_obj_embed_spatial is not None:
            absent_B111 = (object_score_logits_B1 <= 0).to(memory_BDhw.dtype)[..., None, None]
            memory_BDhw = memory_BDhw + absent_B111 * self.no_obj_embed_spatial[..., None, None]
        return memory_BDhw, answer["vision_pos_enc"]

    def _memory_places(self, time_slots: Sequence[int] | Tensor, memory_1Dhw: Tensor) -> Tensor:
        """Return (B or 1, T * h * w, D): where on the map, as the memory encoder's encoding has it, and when each token is."""
        slots = torch.as_tensor(time_slots, device=self.device)
        slots = slots[None] if slots.ndim == 1 else slots
        when = self.maskmem_tpos_enc.flatten(1)[self.config.num_maskmem - 1 - slots]
        encoding = getattr(self.memory_encoder, "position_encoding", None)
        _, dim, *hw = memory_1Dhw.shape
        place_1Dhw = sine_map(tuple(hw), dim, self.device) if encoding is None else encoding(memory_1Dhw)
        where = place_1Dhw.flatten(2).transpose(1, 2)
        return (where[:, None] + when[:, :, None]).flatten(1, 2)

    def _pointer_places(self, offsets: Sequence[int] | Tensor, max_offset: int) -> Tensor:
        """Return (B or 1, P * C / D, D): how far in time each pointer token is; zeros in SAM 2.0."""
        config = self.config
        offsets_BP = torch.as_tensor(offsets, device=self.device)
        offsets_BP = offsets_BP[None] if offsets_BP.ndim == 1 else offsets_BP
        pieces = config.hidden_dim // config.memory_dim
        if not config.add_tpos_enc_to_obj_ptrs:
            return self.maskmem_tpos_enc.new_zeros(*offsets_BP.shape, config.memory_dim).repeat_interleave(pieces, 1)
        dim = config.hidden_dim if config.proj_tpos_enc_in_obj_ptrs else config.memory_dim
        when = sine_of_offsets(offsets_BP / max(1, max_offset), dim)
        return self.obj_ptr_tpos_proj(when).repeat_interleave(pieces, dim=1)

    def _at_mask_input_size(self, mask_logits_B1HW: Tensor) -> Tensor:
        size_hw = self.sam_prompt_encoder.mask_input_size
        if mask_logits_B1HW.shape[-2:] == size_hw:
            return mask_logits_B1HW
        return F.interpolate(mask_logits_B1HW.float(), size_hw, mode="bilinear", align_corners=False, antialias=True)

    def _pointer_if(self, present_B1: Tensor, pointer_BC: Tensor) -> Tensor:
        return torch.where(present_B1, pointer_BC, self.no_obj_ptr)


def _small_noise(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.zeros(shape), std=0.02))
