"""The released underscored methods of the video predictor, over a state: programs call them, subclasses replace them.

Where a subclass, a patched class or a patched object replaces a step, frames are tracked through these methods, one
object at a time.

Legend: N objects, C channels, M cells of a map, H x W pixels of the video or of low-resolution masks, S the side of the
network's square image.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sam2.modeling.released_methods import without_overlap
from sam2.modeling.sam2_base import ImageFeatures, SAM2Base
from sam2.tracking.features import backbone_of, encoded
from sam2.tracking.memory_bank import OBJECT_SCORE, FrameEntry, Vantage
from sam2.tracking.output_views import OutputDict, entry_of
from sam2.tracking.postprocess import absent_logits, fill_holes, resize_logits
from sam2.tracking.prompts import PointPrompt
from sam2.tracking.released_state import over_state
from sam2.tracking.state import VideoState
from sam2.tracking.track import ObjectTrack, forget_around

# what tracking calls when it is replaced; with any of these in place objects do not share a batch
STEPS = (
    "_run_single_frame_inference", "_run_memory_encoder", "_get_maskmem_pos_enc", "track_step", "_track_step",
    "_prepare_memory_conditioned_features", "_forward_sam_heads", "_use_mask_as_output", "_encode_new_memory",
    "_encode_memory_in_output", "_use_multimask",
)  # fmt: skip
FEATURES = ("_get_image_feature", "_prepare_backbone_features")
# what tracking does not call: replacing them could not act
UNUSED = (
    "_apply_non_overlapping_constraints", "_build_sam_heads", "_clear_non_cond_mem_around_input",
    "_consolidate_temp_output_across_obj", "_get_obj_num", "_get_orig_video_res_output", "_obj_id_to_idx", "_obj_idx_to_id",
)  # fmt: skip
ORIGINAL_METHODS: dict[str, Any] = {}      # the methods as they are here, by name


def replaced(network: SAM2Base, name: str) -> bool:
    """Return whether a subclass, a patch of the class or of the object has put another method in a name's place."""
    return name in vars(network) or getattr(type(network), name, None) is not ORIGINAL_METHODS.get(name)


def steps_replaced(network: SAM2Base) -> bool:
    """Return whether a step is replaced, so that frames are tracked through the released methods."""
    return any(replaced(network, name) for name in STEPS)


def check_replaced(network: SAM2Base) -> None:
    """Raise TypeError for a replaced method that tracking would not call."""
    idle = [name for name in UNUSED if replaced(network, name)]
    if idle:
        raise TypeError(
            f"{type(network).__name__} replaces {', '.join(idle)}, which tracking does not call, so that it could not act; "
            f"what acts when it is replaced: {', '.join((*FEATURES, *STEPS))}, forward_image and the public methods"
        )


def unflattened(maps: Sequence[Tensor], pos_encs: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> ImageFeatures:
    """Return the features in maps and position encodings that are flattened to (N, 1, C)."""
    fine, middle, vision_BChw = (
        x_NBC.permute(1, 2, 0).unflatten(2, tuple(hw)) for x_NBC, hw in zip(maps, sizes, strict=True)
    )
    pos_1Chw = pos_encs[-1][:, :1].permute(1, 2, 0).unflatten(2, tuple(sizes[-1]))
    return ImageFeatures(vision_BChw, pos_1Chw, (fine, middle))


def features_of(
    network: SAM2Base, state: VideoState, frame_idx: int, *, coming: Sequence[int] = ()
) -> ImageFeatures:
    """Return the image features of a frame, as a subclass's `_get_image_feature` says where there is one."""
    if replaced(network, "_get_image_feature"):
        _, _, maps, pos_encs, sizes = network._get_image_feature(state, frame_idx, 1)
        return unflattened(maps, pos_encs, sizes)
    return encoded(network, state, frame_idx, coming=coming)


def run_prompt(
    network: SAM2Base,
    state: VideoState,
    track: ObjectTrack,
    frame_idx: int,
    *,
    initial: bool,
    reverse: bool,
    prompt: PointPrompt | None = None,
    mask_11SS: Tensor | None = None,
    earlier: Tensor | None = None,
) -> FrameEntry:
    """Return the entry of one object on a frame with clicks, a box or a mask, not yet remembered."""
    points = None if prompt is None else {"point_coords": prompt.points_xy_1P2, "point_labels": prompt.labels_1P}
    return _run(
        network, state, track, frame_idx, is_init_cond_frame=initial, point_inputs=points, mask_inputs=mask_11SS,
        reverse=reverse, run_mem_encoder=False, prev_sam_mask_logits=None if earlier is None else earlier.clamp(-32.0, 32.0),
    )  # fmt: skip


def run_frame(network: SAM2Base, state: VideoState, track: ObjectTrack, vantage: Vantage) -> FrameEntry:
    """Return the entry of one object on a frame without a prompt."""
    entry = _run(
        network, state, track, vantage.frame_idx, is_init_cond_frame=False, point_inputs=None, mask_inputs=None,
        reverse=vantage.reverse, run_mem_encoder=True,
    )  # fmt: skip
    return replace(entry, reverse=vantage.reverse)


def run_memory_encoder(network: SAM2Base, state: VideoState, frame_idx: int, entry: FrameEntry) -> FrameEntry:
    """Return the entry of a prompted frame with its memory."""
    memory, _ = network._run_memory_encoder(
        inference_state=state,
        frame_idx=frame_idx,
        batch_size=1,
        high_res_masks=resize_logits(entry.mask_logits_11HW.to(state.device), (network.image_size, network.image_size)),
        object_score_logits=entry.scores_K[OBJECT_SCORE].view(1, 1),
        is_mask_from_pts=True,
    )
    return replace(entry, memory_1Dhw=memory)


def _run(network: SAM2Base, state: VideoState, track: ObjectTrack, frame_idx: int, **arguments: Any) -> FrameEntry:
    answer, _ = network._run_single_frame_inference(
        inference_state=state, output_dict=OutputDict(track), frame_idx=frame_idx, batch_size=1, **arguments
    )
    return entry_of(answer)


Answer = MutableMapping[str, Any]


class ReleasedPredictor(SAM2Base):
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
        """Return a frame's image, what `forward_image` answers, its maps and position encodings flattened, the maps' sizes."""
        features = backbone_of(encoded(self, inference_state, frame_idx))
        image_13SS = inference_state.image(frame_idx)[None]
        backbone = {
            name: [x.expand(batch_size, -1, -1, -1) for x in features[name]] for name in ("backbone_fpn", "vision_pos_enc")
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
        _, _, maps, pos_encs, sizes = self._get_image_feature(inference_state, frame_idx, batch_size)
        answer = self.track_step(
            frame_idx=frame_idx,
            is_init_cond_frame=is_init_cond_frame,
            current_vision_feats=maps,
            current_vision_pos_embeds=pos_encs,
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
        output = {
            "maskmem_features": None if memory is None else memory.to(inference_state.storage_device, torch.bfloat16),
            "maskmem_pos_enc": self._get_maskmem_pos_enc(inference_state, answer),
            "pred_masks": masks.to(inference_state.storage_device),
            "obj_ptr": answer["obj_ptr"],
            "object_score_logits": answer["object_score_logits"],
        }
        return output, masks

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
        """Return the memory of masks (N, 1, S, S) on a frame, as it is kept, and its position encoding."""
        _, _, maps, _, sizes = self._get_image_feature(inference_state, frame_idx, batch_size)
        memory, pos_enc = self._encode_new_memory(
            current_vision_feats=maps,
            feat_sizes=sizes,
            pred_masks_high_res=high_res_masks,
            object_score_logits=object_score_logits,
            is_mask_from_pts=is_mask_from_pts,
        )
        pos_enc = self._get_maskmem_pos_enc(inference_state, {"maskmem_pos_enc": pos_enc})
        return memory.to(inference_state.storage_device, torch.bfloat16), pos_enc

    @over_state
    def _get_maskmem_pos_enc(self, inference_state: VideoState, current_out: Answer) -> list[Tensor] | None:
        """Return the position encoding of a memory, of which the state keeps one for all."""
        pos_enc = current_out["maskmem_pos_enc"]
        if pos_enc is None:
            return None
        stored = inference_state["constants"].setdefault("maskmem_pos_enc", [x[:1].clone() for x in pos_enc])
        return [x.expand(len(pos_enc[0]), -1, -1, -1) for x in stored]

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
            forget_around(self, track, frame_idx)

    @over_state
    def _clear_obj_non_cond_mem_around_input(self, inference_state: VideoState, frame_idx: int, obj_idx: int) -> None:
        """Forget what was tracked of one object near a frame that was corrected."""
        forget_around(self, list(inference_state.tracks.values())[obj_idx], frame_idx)
