"""Sizes and choices of the network: what one `ModelConfig` says is all that a SAM 2 model knows about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# What a policy is published with, where it differs from SAM 2; overrides go before it.
POLICY_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "sam2": {},
    "dam4sam": {
        "memory_temporal_stride_for_eval": 5,
        "max_cond_frames_in_attn": 4,
        "pointers_of_visible_only": True,
        "boxes_as_masks": True,
    },
}


@dataclass(frozen=True, slots=True)
class TrunkSizes:
    """The Hiera trunk: four stages that halve the map and double the channels.

    Source: Ryali et al. 2023, "Hiera"; Bolya et al. 2023, "Window Attention is Bugged" for the two position tables.
    """

    embed_dim: int = 96
    num_heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_att_blocks: tuple[int, ...] = (5, 7, 9)
    window_pos_embed_bkg_spatial_size: tuple[int, int] = (7, 7)
    window_spec: tuple[int, ...] = (8, 4, 14, 7)

    def __post_init__(self) -> None:
        if len(self.stages) != 4 or len(self.window_spec) != 4:
            raise ValueError(
                f"the trunk has 4 stages: stages={self.stages} and window_spec={self.window_spec} need 4 entries each"
            )
        if min(self.stages) < 1 or min(self.window_spec) < 1:
            raise ValueError(f"stages={self.stages} and window_spec={self.window_spec} must be positive")
        if len(self.window_pos_embed_bkg_spatial_size) != 2:
            raise ValueError(
                f"window_pos_embed_bkg_spatial_size={self.window_pos_embed_bkg_spatial_size} needs 2 entries"
            )
        if not all(0 <= block < sum(self.stages) for block in self.global_att_blocks):
            raise ValueError(f"global_att_blocks={self.global_att_blocks}: there are {sum(self.stages)} blocks, from 0")
        if self.embed_dim < 1 or self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} must divide embed_dim={self.embed_dim}")

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of each stage, finest first."""
        return tuple(self.embed_dim * 2**stage for stage in range(4))


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Every size and choice of one model; fields that the released YAML has bear its names.

    `image_size` is the side in pixels of the square that the network sees. Fields below "choices of the predictors"
    do not change the network; they are read by the video predictor.
    """

    variant: str = "sam2.1_hiera_t"
    trunk: TrunkSizes = field(default_factory=TrunkSizes)

    # sizes
    image_size: int = 1024
    hidden_dim: int = 256
    memory_dim: int = 64
    memory_attention_layers: int = 4
    memory_attention_ffn_dim: int = 2048
    memory_attention_dropout: float = 0.1       # in training only
    memory_fuser_layers: int = 2
    num_maskmem: int = 7                        # memories in reach: the conditioning slot and the 6 frames before
    decoder_layers: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_dim: int = 256
    mask_prompt_channels: int = 16

    # what SAM 2.1 added to SAM 2.0
    no_obj_embed_spatial: bool = True
    add_tpos_enc_to_obj_ptrs: bool = True
    proj_tpos_enc_in_obj_ptrs: bool = True
    use_signed_tpos_enc_to_obj_ptrs: bool = True

    # choices of the network
    dynamic_multimask_via_stability: bool = False
    dynamic_multimask_stability_delta: float = 0.05
    dynamic_multimask_stability_thresh: float = 0.98
    sigmoid_scale_for_mem_enc: float = 20.0
    sigmoid_bias_for_mem_enc: float = -10.0
    binarize_mask_from_pts_for_mem_enc: bool = False

    # choices of the predictors
    multimask_output_in_sam: bool = True
    multimask_min_pt_num: int = 0
    multimask_max_pt_num: int = 1
    multimask_output_for_tracking: bool = True
    max_cond_frames_in_attn: int = -1           # -1: all of them
    use_obj_ptrs_in_encoder: bool = True        # set on a built network only: the weights were trained with pointers
    max_obj_ptrs_in_encoder: int = 16
    memory_temporal_stride_for_eval: int = 1
    only_obj_ptrs_in_the_past_for_eval: bool = True
    add_all_frames_to_correct_as_cond: bool = True
    clear_non_cond_mem_around_input: bool = False
    fill_hole_area: int = 0                     # in low-resolution pixels; 0: off
    non_overlap_masks: bool = False
    non_overlap_masks_for_mem_enc: bool = False # where a batch of objects is stepped by hand: tracking remembers each alone
    encode_batch: int = 1                       # frames that tracking gives the image encoder at once

    # memory policies (sam2.tracking.policies)
    memory_policy: str = "sam2"                 # sam2 or dam4sam; SAMURAI is samurai_mode=true
    pointers_of_visible_only: bool = False      # frames where the object was not seen give no pointers
    boxes_as_masks: bool = False                # a first box is turned into a mask, which is then given as a mask prompt
    promotion_iou: float = 0.8                  # predicted IoU above which a frame may be promoted
    promotion_area_change: float = 0.2          # and how far its area may be from the median, as a share
    promotion_pause: int = 5                    # frames after a promotion that are not promoted
    promotion_box_iou: float = 0.7              # box IoU with what another candidate adds, up to which one is

    # SAMURAI (Yang et al. 2024)
    samurai_mode: bool = False
    stable_frames_threshold: int = 15
    stable_ious_threshold: float = 0.3
    min_obj_score_logits: float = -1.0
    kf_score_weight: float = 0.15
    memory_bank_iou_threshold: float = 0.5
    memory_bank_obj_score_threshold: float = 0.0
    memory_bank_kf_score_threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(
                f"image_size={self.image_size}: expected a positive multiple of 32, the stride of the trunk's last stage"
            )
        if self.encode_batch < 1:
            raise ValueError(f"encode_batch={self.encode_batch}: expected at least 1 frame")
        if self.num_maskmem < 1:
            raise ValueError(f"num_maskmem={self.num_maskmem}: expected at least 1, the conditioning slot")
        if self.max_cond_frames_in_attn != -1 and self.max_cond_frames_in_attn < 2:
            raise ValueError(
                f"max_cond_frames_in_attn={self.max_cond_frames_in_attn}: expected -1 for all, or at least 2, the nearest "
                "on either side"
            )
        if self.memory_policy not in POLICY_SETTINGS:
            raise ValueError(
                f"memory_policy={self.memory_policy!r}: expected one of {', '.join(POLICY_SETTINGS)}; SAMURAI is "
                "samurai_mode=true"
            )
        if self.samurai_mode and self.memory_policy != "sam2":
            raise ValueError(f"memory_policy={self.memory_policy!r} and samurai_mode=true: expected one of the two")
        if self.hidden_dim % self.memory_dim:
            raise ValueError(
                f"memory_dim={self.memory_dim} must divide hidden_dim={self.hidden_dim}: "
                "an object pointer is cut into memory tokens"
            )

    @property
    def policy(self) -> str:
        """The memory policy's name."""
        return "samurai" if self.samurai_mode else self.memory_policy

    @property
    def feature_side(self) -> int:
        """Side of the 1/16 feature map."""
        return self.image_size // 16

    @property
    def low_res_side(self) -> int:
        """Side of the mask logits that the decoder answers: a quarter of the image."""
        return self.image_size // 4

    @property
    def presence_threshold(self) -> float:
        """The object score above which an object counts as present: 0, or SAMURAI's `min_obj_score_logits`."""
        return self.min_obj_score_logits if self.samurai_mode else 0.0
