"""Frames stepped by the released methods, one object at a time, where a subclass or a caller has replaced some of them.

Legend: C channels, N cells of a map, H = W the side of low-resolution masks, S the side of the network's square image.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from sam2.modeling.sam2_base import ImageFeatures, SAM2Base
from sam2.tracking.answers import OutputDict, entry_of
from sam2.tracking.bank import Vantage
from sam2.tracking.entry import OBJECT_SCORE, FrameEntry
from sam2.tracking.postprocess import resize_logits
from sam2.tracking.prompts import PointPrompt
from sam2.tracking.state import VideoState
from sam2.tracking.track import ObjectTrack

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
PLAIN: dict[str, Any] = {}      # the methods as they are here, by name


def replaced(network: SAM2Base, name: str) -> bool:
    """Return whether a subclass, a patch of the class or of the object has put another method in a name's place."""
    return name in vars(network) or getattr(type(network), name, None) is not PLAIN.get(name)


def stepped(network: SAM2Base) -> bool:
    """Return whether frames are stepped by hand."""
    return any(replaced(network, name) for name in STEPS)


def check_replaced(network: SAM2Base) -> None:
    """Raise TypeError for a replaced method that tracking would not call."""
    idle = [name for name in UNUSED if replaced(network, name)]
    if idle:
        raise TypeError(
            f"{type(network).__name__} replaces {', '.join(idle)}, which tracking does not call, so that it could not act; "
            f"what acts when it is replaced: {', '.join((*FEATURES, *STEPS))}, forward_image and the public methods"
        )


def unflattened(maps: Sequence[Tensor], places: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> ImageFeatures:
    """Return the features in maps and places that are flattened to (N, 1, C)."""
    fine, middle, vision_BChw = (
        x_NBC.permute(1, 2, 0).unflatten(2, tuple(hw)) for x_NBC, hw in zip(maps, sizes, strict=True)
    )
    pos_1Chw = places[-1][:, :1].permute(1, 2, 0).unflatten(2, tuple(sizes[-1]))
    return ImageFeatures(vision_BChw, pos_1Chw, (fine, middle))


def answer_of_prompt(
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


def answer_of_frame(network: SAM2Base, state: VideoState, track: ObjectTrack, vantage: Vantage) -> FrameEntry:
    """Return the entry of one object on a frame without a prompt."""
    entry = _run(
        network, state, track, vantage.frame_idx, is_init_cond_frame=False, point_inputs=None, mask_inputs=None,
        reverse=vantage.reverse, run_mem_encoder=True,
    )  # fmt: skip
    return replace(entry, reverse=vantage.reverse)


def remembered(network: SAM2Base, state: VideoState, frame_idx: int, entry: FrameEntry) -> FrameEntry:
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


def _run(network: SAM2Base, state: VideoState, track: ObjectTrack, frame_idx: int, **asked: Any) -> FrameEntry:
    answer, _ = network._run_single_frame_inference(
        inference_state=state, output_dict=OutputDict(track), frame_idx=frame_idx, batch_size=1, **asked
    )
    return entry_of(answer)
