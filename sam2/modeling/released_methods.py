"""A network stepped by hand under the released methods: features, one frame, its memory, as plain tensors and dicts.

Legend: B objects, M candidate masks, C hidden channels, D memory channels, N cells of a map, S the image's side,
h = w = S/16. Flattened maps are (N, B, C). A "frame's answer" is a dict with "pred_masks", "pred_masks_high_res",
"obj_ptr", "object_score_logits", "maskmem_features" and "maskmem_pos_enc".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.backbones.image_encoder import ImageFeatures
from sam2.tracking.memory_bank import Vantage
from sam2.tracking.policies import look_back

NO_OBJ_SCORE = -1024.0      # the mask logit of an object that is not there
GIVEN_MASK_LOGIT = 10.0     # a mask that is believed as it stands becomes logits of +10 and -10
SUPPRESSED_LOGIT = -10.0    # the most that an object keeps where another one wins

SamOutputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Answer = dict[str, Any]


class ReleasedNetwork(nn.Module):
    """The released methods that step a network one frame at a time; `SAM2Base` is the network."""

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: frames are tracked by a predictor, or by `track_step`."""
        raise NotImplementedError("call a predictor, or track_step(...) frame by frame; the network has no forward of its own")

    def _prepare_backbone_features(
        self, backbone_out: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Tensor], list[Tensor], list[tuple[int, int]]]:
        """Return the answer of `forward_image`, its maps and their places flattened to (N, B, C), and the maps' sizes."""
        maps = backbone_out["backbone_fpn"][-self.num_feature_levels :]
        pos_encs = backbone_out["vision_pos_enc"][-self.num_feature_levels :]
        sizes = [(pos_enc.shape[-2], pos_enc.shape[-1]) for pos_enc in pos_encs]
        return dict(backbone_out), [_flat(x) for x in maps], [_flat(x) for x in pos_encs], sizes

    def _prepare_memory_conditioned_features(
        self,
        frame_idx: int,
        is_init_cond_frame: bool,
        current_vision_feats: Sequence[Tensor],
        current_vision_pos_embeds: Sequence[Tensor],
        feat_sizes: Sequence[tuple[int, int]],
        output_dict: Mapping[str, Mapping[int, Answer]],
        num_frames: int | None,
        track_in_reverse: bool = False,
    ) -> Tensor:
        """Return (B, C, h, w): the frame's coarsest map, having looked at what `output_dict` remembers.

        `output_dict` holds the frames' answers by index, "cond_frame_outputs" and "non_cond_frame_outputs".
        """
        vision_BChw = _map(current_vision_feats[-1], feat_sizes[-1])
        if is_init_cond_frame:
            return vision_BChw + self.no_mem_embed.view(1, -1, 1, 1)
        if self.config.policy == "samurai":
            raise NotImplementedError("stepping by hand has no motion filter: use a predictor, or set samurai_mode=False")
        if self.config.policy != "sam2":
            raise NotImplementedError(f"stepping by hand is sam2's alone, not {self.config.policy}'s: use a predictor")
        conditioning, others = output_dict["cond_frame_outputs"], output_dict["non_cond_frame_outputs"]
        if not conditioning:
            raise ValueError("output_dict['cond_frame_outputs'] is empty: a frame with a prompt comes first")
        look = look_back(conditioning, others, Vantage(frame_idx, track_in_reverse, num_frames), self.config)
        device = vision_BChw.device
        features = ImageFeatures(vision_BChw, _map(current_vision_pos_embeds[-1], feat_sizes[-1])[:1], ())
        return self.condition_on_memory(
            features,
            [answer["maskmem_features"].to(device, non_blocking=True) for _, answer in look.memories],
            [slot for slot, _ in look.memories],
            torch.stack([answer["obj_ptr"] for _, answer in look.pointers], dim=1) if look.pointers else None,
            [offset for offset, _ in look.pointers],
            max_pointer_offset=look.max_pointer_offset,
        )

    def _forward_sam_heads(
        self,
        backbone_features: Tensor,
        point_inputs: Mapping[str, Tensor] | None = None,
        mask_inputs: Tensor | None = None,
        high_res_features: Sequence[Tensor] | None = None,
        multimask_output: bool = False,
    ) -> SamOutputs:
        """Return masks (B, M, H, W), the same at S x S, their IoU, the best mask, it at S x S, its pointer, the object's score.

        `point_inputs` has "point_coords" (B, P, 2) in model pixels and "point_labels" (B, P).
        """
        points = point_inputs or {}
        decoded = self.decode(
            backbone_features,
            high_res_features,
            points_xy_BP2=points.get("point_coords"),
            labels_BP=points.get("point_labels"),
            mask_logits_B1HW=mask_inputs,
            multimask=multimask_output,
        )
        score_B1 = decoded.object_score_logits_B1
        masks_BMHW = self.mask_absent(decoded.mask_logits_BMHW, score_B1)
        large_BMSS = F.interpolate(masks_BMHW, (self.image_size, self.image_size), mode="bilinear", align_corners=False)
        iou_BM = decoded.predicted_iou_BM
        rows_B, best_B = torch.arange(len(iou_BM), device=iou_BM.device), iou_BM.argmax(dim=-1)
        pointer_BC = self.pointer(decoded.tokens_BMC[rows_B, best_B], score_B1)
        best = (masks_BMHW[rows_B, best_B, None], large_BMSS[rows_B, best_B, None])
        return masks_BMHW, large_BMSS, iou_BM, *best, pointer_BC, score_B1

    def _use_mask_as_output(
        self, backbone_features: Tensor, high_res_features: Sequence[Tensor], mask_inputs: Tensor
    ) -> SamOutputs:
        """Return what `_forward_sam_heads` returns for masks (B, 1, S, S) of 0 and 1 that are believed as they stand."""
        masks_B1SS = mask_inputs.float()
        large = (2.0 * masks_B1SS - 1.0) * GIVEN_MASK_LOGIT
        size = (large.shape[-2] // 4, large.shape[-1] // 4)
        small = F.interpolate(large, size, mode="bilinear", align_corners=False, antialias=True)
        present_B1 = (masks_B1SS > 0).flatten(1).any(dim=1, keepdim=True).float()
        pointer_BC = self.pointer_of_mask(ImageFeatures(backbone_features, None, tuple(high_res_features)), masks_B1SS)
        score_B1 = (2.0 * present_B1 - 1.0) * GIVEN_MASK_LOGIT
        return small, large, torch.ones_like(present_B1), small, large, pointer_BC, score_B1

    def _encode_new_memory(
        self,
        current_vision_feats: Sequence[Tensor],
        feat_sizes: Sequence[tuple[int, int]],
        pred_masks_high_res: Tensor,
        object_score_logits: Tensor,
        is_mask_from_pts: bool,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the memory (B, D, h, w) of masks (B, 1, S, S) and a list with its place."""
        if self.non_overlap_masks_for_mem_enc and not self.training:
            pred_masks_high_res = self._apply_non_overlapping_constraints(pred_masks_high_res)
        vision_BChw = _map(current_vision_feats[-1], feat_sizes[-1])
        return self._memory(vision_BChw, pred_masks_high_res, object_score_logits, from_prompt=is_mask_from_pts)

    def _track_step(
        self,
        frame_idx: int,
        is_init_cond_frame: bool,
        current_vision_feats: Sequence[Tensor],
        current_vision_pos_embeds: Sequence[Tensor],
        feat_sizes: Sequence[tuple[int, int]],
        point_inputs: Mapping[str, Tensor] | None,
        mask_inputs: Tensor | None,
        output_dict: Mapping[str, Mapping[int, Answer]],
        num_frames: int | None,
        track_in_reverse: bool,
        prev_sam_mask_logits: Tensor | None,
    ) -> tuple[Answer, SamOutputs, list[Tensor], Tensor]:
        """Return the answer so far, the heads' outputs, the fine maps and the map that the heads saw."""
        answer = {"point_inputs": point_inputs, "mask_inputs": mask_inputs}
        fine = [_map(x, size) for x, size in zip(current_vision_feats[:-1], feat_sizes[:-1], strict=True)]
        if mask_inputs is not None:
            vision_BChw = _map(current_vision_feats[-1], feat_sizes[-1])
            return answer, self._use_mask_as_output(vision_BChw, fine, mask_inputs), fine, vision_BChw
        vision_BChw = self._prepare_memory_conditioned_features(
            frame_idx=frame_idx,
            is_init_cond_frame=is_init_cond_frame,
            current_vision_feats=current_vision_feats[-1:],
            current_vision_pos_embeds=current_vision_pos_embeds[-1:],
            feat_sizes=feat_sizes[-1:],
            output_dict=output_dict,
            num_frames=num_frames,
            track_in_reverse=track_in_reverse,
        )
        heads = self._forward_sam_heads(
            backbone_features=vision_BChw,
            point_inputs=point_inputs,
            mask_inputs=prev_sam_mask_logits,
            high_res_features=fine,
            multimask_output=self._use_multimask(is_init_cond_frame, point_inputs),
        )
        return answer, heads, fine, vision_BChw

    def track_step(
        self,
        frame_idx: int,
        is_init_cond_frame: bool,
        current_vision_feats: Sequence[Tensor],
        current_vision_pos_embeds: Sequence[Tensor],
        feat_sizes: Sequence[tuple[int, int]],
        point_inputs: Mapping[str, Tensor] | None,
        mask_inputs: Tensor | None,
        output_dict: Mapping[str, Mapping[int, Answer]],
        num_frames: int | None,
        track_in_reverse: bool = False,
        run_mem_encoder: bool = True,
        prev_sam_mask_logits: Tensor | None = None,
    ) -> Answer:
        """Return the frame's answer to points, a mask, or neither; its memory is None without `run_mem_encoder`.

        `prev_sam_mask_logits` (B, 1, H, W) is an earlier answer that prompts along with the points.
        """
        answer, heads, _, _ = self._track_step(
            frame_idx, is_init_cond_frame, current_vision_feats, current_vision_pos_embeds, feat_sizes, point_inputs,
            mask_inputs, output_dict, num_frames, track_in_reverse, prev_sam_mask_logits,
        )  # fmt: skip
        _, _, _, answer["pred_masks"], answer["pred_masks_high_res"], answer["obj_ptr"], score_B1 = heads
        if not self.training:
            answer["object_score_logits"] = score_B1
        self._encode_memory_in_output(
            current_vision_feats, feat_sizes, point_inputs, run_mem_encoder, answer["pred_masks_high_res"], score_B1, answer
        )
        return answer

    def _encode_memory_in_output(
        self,
        current_vision_feats: Sequence[Tensor],
        feat_sizes: Sequence[tuple[int, int]],
        point_inputs: Mapping[str, Tensor] | None,
        run_mem_encoder: bool,
        high_res_masks: Tensor,
        object_score_logits: Tensor,
        current_out: Answer,
    ) -> None:
        """Add the memory to a frame's answer."""
        current_out["maskmem_features"] = current_out["maskmem_pos_enc"] = None
        if run_mem_encoder:
            current_out["maskmem_features"], current_out["maskmem_pos_enc"] = self._encode_new_memory(
                current_vision_feats=current_vision_feats,
                feat_sizes=feat_sizes,
                pred_masks_high_res=high_res_masks,
                object_score_logits=object_score_logits,
                is_mask_from_pts=point_inputs is not None,
            )

    def _use_multimask(self, is_init_cond_frame: bool, point_inputs: Mapping[str, Tensor] | None) -> bool:
        """Return whether the heads offer several candidates."""
        num_points = 0 if point_inputs is None else point_inputs["point_labels"].shape[1]
        few = self.multimask_min_pt_num <= num_points <= self.multimask_max_pt_num
        return self.multimask_output_in_sam and (is_init_cond_frame or self.multimask_output_for_tracking) and few

    def _apply_non_overlapping_constraints(self, pred_masks: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) with each pixel kept by the object that is surest of it; others fall to -10 or below."""
        return without_overlap(pred_masks)


def without_overlap(mask_logits_N1HW: Tensor) -> Tensor:
    """Return the logits with each pixel kept by the object that is surest of it; the others fall to -10 or below."""
    if mask_logits_N1HW.shape[0] < 2:
        return mask_logits_N1HW
    winner_1HW = mask_logits_N1HW.argmax(dim=0)
    rows_N111 = torch.arange(mask_logits_N1HW.shape[0], device=mask_logits_N1HW.device)[:, None, None, None]
    return torch.where(rows_N111 == winner_1HW, mask_logits_N1HW, mask_logits_N1HW.clamp(max=SUPPRESSED_LOGIT))


def _flat(x_BChw: Tensor) -> Tensor:
    return x_BChw.flatten(2).permute(2, 0, 1)


def _map(x_NBC: Tensor, hw: tuple[int, int]) -> Tensor:
    return x_NBC.permute(1, 2, 0).unflatten(2, tuple(hw))
