"""The released underscored methods of the video predictor, over a state; programs call them and subclasses replace them.

Legend: N objects, H x W pixels of the video, S the side of the network's square image.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from sam2.modeling.released_methods import without_overlap
from sam2.modeling.sam2_base import SAM2Base
from sam2.tracking import prompting
from sam2.tracking.adopting import over_state
from sam2.tracking.features import backbone_of
from sam2.tracking.postprocess import absent_logits, fill_holes, resize_logits
from sam2.tracking.state import VideoState
from sam2.tracking.track import ObjectTrack

Answer = MutableMapping[str, Any]


class ReleasedSteps(SAM2Base):
    """A network with the steps of a video predictor, one by one."""

    @over_state
    def _obj_id_to_idx(self, inference_state: VideoState, obj_id: Any) -> int:
        """Return an object's index; an unknown object is a new one."""
        inference_state.tracks.setdefault(obj_id, ObjectTrack())
        return inference_state.obj_ids.index(obj_id)

    @over_state
    def _obj_idx_to_id(self, inference_state: VideoState, obj_idx: int) -> Any:
        return inference_state["obj_idx_to_id"][obj_idx]

    @over_state
    def _get_obj_num(self, inference_state: VideoState) -> int:
        return len(inference_state.tracks)

    @over_state
    def _get_image_feature(
        self, inference_state: VideoState, frame_idx: int, batch_size: int
    ) -> tuple[Tensor, dict[str, Any], list[Tensor], list[Tensor], list[tuple[int, int]]]:
        """Return a frame's image, the answer of `forward_image`, its maps and places flattened, and the maps' sizes."""
        whole = backbone_of(prompting.encoded(self, inference_state, frame_idx))
        image_13SS = inference_state.image(frame_idx)[None]
        backbone = {
            name: [x.expand(batch_size, -1, -1, -1) for x in whole[name]] for name in ("backbone_fpn", "vision_pos_enc")
        }
        return image_13SS.expand(batch_size, -1, -1, -1), *self._prepare_backbone_features(backbone)

    @over_state
    def _get_orig_video_res_output(self, inference_state: VideoState, any_res_masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits (N, 1, *) on the device, and at the video's size with overlaps seen to."""
        any_res_masks = any_res_masks.to(inference_state.device)
        masks_N1HW = resize_logits(any_res_masks, inference_state.size_hw)
        return any_res_masks, without_overlap(masks_N1HW) if self.non_overlap_masks else masks_N1HW

    @over_state
    def _consolidate_temp_output_across_obj(
        self, inference_state: VideoState, frame_idx: int, is_cond: bool, consolidate_at_video_res: bool = False
    ) -> dict[str, Tensor]:
        """Return all objects' newest mask logits on a frame, -1024 where there is none."""
        name = "pred_masks_video_res" if consolidate_at_video_res else "pred_masks"
        side = self.config.low_res_side
        size_hw = inference_state.size_hw if consolidate_at_video_res else (side, side)
        tracks, device = inference_state.tracks, inference_state.storage_device
        masks_N1HW = absent_logits(len(tracks), size_hw, device)
        for row, track in enumerate(tracks.values()):
            entry = track.entry_on(frame_idx)
            if entry is not None and not entry.thin:
                masks_N1HW[row] = resize_logits(entry.mask_logits_11HW.to(device), size_hw)[0]
        return {name: masks_N1HW}

    @over_state
    def _run_single_frame_inference(
        self,
        inference_state: VideoState,
        output_dict: Mapping[str, Mapping[int, Answer]],
        frame_idx: int,
        batch_size: int,
        is_init_cond_frame: bool,
        point_inputs: Mapping[str, Tensor] | None,
        mask_inputs: Tensor | None,
        reverse: bool,
        run_mem_encoder: bool,
        prev_sam_mask_logits: Tensor | None = None,
    ) -> tuple[dict[str, Any], Tensor]:
        """Return a frame's answer as it is kept, and its mask logits on the device; nothing is written to the state."""
        _, _, maps, places, sizes = self._get_image_feature(inference_state, frame_idx, batch_size)
        answer = self.track_step(
            frame_idx=frame_idx,
            is_init_cond_frame=is_init_cond_frame,
            current_vision_feats=maps,
            current_vision_pos_embeds=places,
            feat_sizes=sizes,
            point_inputs=point_inputs,
            mask_inputs=mask_inputs,
            output_dict=output_dict,
            num_frames=inference_state.known_length,
            track_in_reverse=reverse,
            run_mem_encoder=run_mem_encoder,
            prev_sam_mask_logits=prev_sam_mask_logits,
        )
        masks = fill_holes(answer["pred_masks"], self.fill_hole_area)
        memory = answer["maskmem_features"]
        kept = {
            "maskmem_features": None if memory is None else memory.to(inference_state.storage_device, torch.bfloat16),
            "maskmem_pos_enc": self._get_maskmem_pos_enc(inference_state, answer),
            "pred_masks": masks.to(inference_state.storage_device),
            "obj_ptr": answer["obj_ptr"],
            "object_score_logits": answer["object_score_logits"],
        }
        return kept, masks

    @over_state
    def _run_memory_encoder(
        self,
        inference_state: VideoState,
        frame_idx: int,
        batch_size: int,
        high_res_masks: Tensor,
        object_score_logits: Tensor,
        is_mask_from_pts: bool,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the memory of masks (N, 1, S, S) on a frame, as it is kept, and its place."""
        _, _, maps, _, sizes = self._get_image_feature(inference_state, frame_idx, batch_size)
        memory, place = self._encode_new_memory(
            current_vision_feats=maps,
            feat_sizes=sizes,
            pred_masks_high_res=high_res_masks,
            object_score_logits=object_score_logits,
            is_mask_from_pts=is_mask_from_pts,
        )
        place = self._get_maskmem_pos_enc(inference_state, {"maskmem_pos_enc": place})
        return memory.to(inference_state.storage_device, torch.bfloat16), place

    @over_state
    def _get_maskmem_pos_enc(self, inference_state: VideoState, current_out: Answer) -> list[Tensor] | None:
        """Return the place of a memory, of which the state keeps one for all."""
        place = current_out["maskmem_pos_enc"]
        if place is None:
            return None
        held = inference_state["constants"].setdefault("maskmem_pos_enc", [x[:1].clone() for x in place])
        return [x.expand(len(place[0]), -1, -1, -1) for x in held]

    @over_state
    def _reset_tracking_results(self, inference_state: VideoState) -> None:
        """Forget the objects' prompts and answers; their ids stay."""
        for track in inference_state.tracks.values():
            track.forget()
        inference_state.reverse = None

    @over_state
    def _clear_non_cond_mem_around_input(self, inference_state: VideoState, frame_idx: int) -> None:
        """Forget what was tracked near a frame that was corrected."""
        for track in inference_state.tracks.values():
            prompting.forget_around(self, track, frame_idx)

    @over_state
    def _clear_obj_non_cond_mem_around_input(self, inference_state: VideoState, frame_idx: int, obj_idx: int) -> None:
        """Forget what was tracked of one object near a frame that was corrected."""
        prompting.forget_around(self, list(inference_state.tracks.values())[obj_idx], frame_idx)
