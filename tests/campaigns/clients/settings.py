"""Settings, devices and arithmetic of a video predictor."""

import copy
import inspect
import pickle
from typing import Any

import torch

from tests.campaigns.clients.kit import BOX, opened, program, tracked, video


@program
def everything_on_the_cpu_with_a_thread() -> Any:
    p = video()
    state = opened(p, offload_video_to_cpu=True, offload_state_to_cpu=True, async_loading_frames=True)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return tracked(p, state)


@program
def under_autocast() -> Any:
    p = video()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        state = opened(p)
        p.add_new_points_or_box(state, 0, 1, box=BOX)
        return [round(float((masks > 0).float().mean()), 1) for _, _, masks in tracked(p, state)]


@program
def no_two_objects_on_a_pixel() -> Any:
    p = video()
    p.non_overlap_masks = True
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    p.add_new_points_or_box(state, 0, 2, box=[30, 10, 80, 60])
    return tracked(p, state)


@program
def settings_of_memory() -> Any:
    answers = []
    for name, value in (
        ("num_maskmem", 3), ("max_obj_ptrs_in_encoder", 2), ("max_cond_frames_in_attn", 2),
        ("memory_temporal_stride_for_eval", 2), ("only_obj_ptrs_in_the_past_for_eval", False),
        ("use_signed_tpos_enc_to_obj_ptrs", False), ("add_tpos_enc_to_obj_ptrs", False), ("sigmoid_scale_for_mem_enc", 5.0),
        ("sigmoid_bias_for_mem_enc", -2.0), ("binarize_mask_from_pts_for_mem_enc", True), ("multimask_output_in_sam", False),
        ("multimask_output_for_tracking", False), ("multimask_max_pt_num", 2),
    ):  # fmt: skip
        p = video()
        setattr(p, name, value)
        state = opened(p)
        p.add_new_points_or_box(state, 0, 1, box=BOX)
        p.add_new_points_or_box(state, 1, 1, box=BOX)
        p.add_new_points_or_box(state, 4, 1, points=[[50, 40]], labels=[1])
        answers.append((name, tracked(p, state)[3][2]))
    return answers


@program
def what_a_predictor_says_of_itself() -> Any:
    p = video()
    names = (
        "image_size", "num_maskmem", "hidden_dim", "mem_dim", "num_feature_levels", "backbone_stride", "fill_hole_area",
        "non_overlap_masks", "clear_non_cond_mem_around_input", "sam_prompt_embed_dim", "sam_image_embedding_size",
        "max_obj_ptrs_in_encoder", "max_cond_frames_in_attn", "memory_temporal_stride_for_eval", "training",
    )  # fmt: skip
    told = {name: getattr(p, name) for name in names}
    return told, str(p.device), str(p.to("cpu").device), sum(x.numel() for x in p.parameters())


@program
def half_a_dozen_predictors_from_one() -> Any:
    p = pickle.loads(pickle.dumps(copy.deepcopy(video().eval().requires_grad_(False))))
    return p.add_new_points_or_box(opened(p), 0, 1, box=BOX)


@program
def signatures() -> Any:
    p = video()
    calls = p.init_state, p.add_new_points_or_box, p.add_new_mask, p.propagate_in_video, p.clear_all_prompts_in_frame
    asked = [inspect.signature(call).parameters.values() for call in (*calls, p.remove_object, p.reset_state)]
    return [[parameter.name for parameter in own if parameter.kind is not parameter.KEYWORD_ONLY] for own in asked]
