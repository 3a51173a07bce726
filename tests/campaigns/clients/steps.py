"""Steps by hand, subclasses and patches."""

from typing import Any

import torch

from tests.campaigns.clients.kit import BOX, POINT, disc, opened, program, tracked, video


@program
def features_of_a_frame() -> Any:
    p = video()
    with torch.inference_mode():
        image, backbone, maps, places, sizes = p._get_image_feature(opened(p, 2), 1, 2)
    return image, sorted(backbone), backbone["backbone_fpn"], maps, places, [list(size) for size in sizes]


@program
def one_frame_by_hand() -> Any:
    p = video()
    state = opened(p, 3)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    p.propagate_in_video_preflight(state)
    with torch.inference_mode():
        answer, masks = p._run_single_frame_inference(
            inference_state=state, output_dict=state["output_dict_per_obj"][0], frame_idx=1, batch_size=1,
            is_init_cond_frame=False, point_inputs=None, mask_inputs=None, reverse=False, run_mem_encoder=True,
        )  # fmt: skip
        state["output_dict_per_obj"][0]["non_cond_frame_outputs"][1] = answer
        _, large = p._get_orig_video_res_output(state, masks)
    return {k: v for k, v in answer.items() if k != "maskmem_pos_enc"}, large, tracked(p, state, start_frame_idx=2)


@program
def numbers_of_objects() -> Any:
    p = video()
    state = opened(p, 2)
    p.add_new_points_or_box(state, 0, 7, box=BOX)
    first = p._get_obj_num(state), p._obj_id_to_idx(state, 7), p._obj_idx_to_id(state, 0)
    return first, p._obj_id_to_idx(state, 8), state["obj_ids"]


@program
def consolidated_by_hand() -> Any:
    p = video()
    state = opened(p, 2)
    p.add_new_points_or_box(state, 0, 7, box=BOX)
    p.add_new_points_or_box(state, 1, 8, box=BOX)
    with torch.inference_mode():
        small = p._consolidate_temp_output_across_obj(state, 0, is_cond=True)
        large = p._consolidate_temp_output_across_obj(state, 0, is_cond=True, consolidate_at_video_res=True)
    return small, large


@program
def without_overlap_by_hand() -> Any:
    a = torch.linspace(-3, 5, 128).reshape(2, 1, 8, 8)
    return video()._apply_non_overlapping_constraints(a), video()._apply_non_overlapping_constraints(a[:1])


def _subclass(**methods: Any) -> Any:
    """A predictor of a class that replaces methods, as programs make one: by giving the object another class."""
    p = video()
    p.__class__ = type("Mine", (type(p),), methods)
    return p


@program
def a_subclass_with_features_of_its_own() -> Any:
    def _get_image_feature(self: Any, inference_state: Any, frame_idx: int, batch_size: int) -> Any:
        image, backbone, maps, places, sizes = type(self).__mro__[1]._get_image_feature(
            self, inference_state, frame_idx, batch_size
        )
        return image, backbone, [x * 0.8 for x in maps], places, sizes

    p = _subclass(_get_image_feature=_get_image_feature)
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return tracked(p, state)


@program
def a_subclass_that_steps_in_its_own_way() -> Any:
    def track_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = type(self).__mro__[1].track_step(self, *args, **kwargs)
        answer["obj_ptr"] = answer["obj_ptr"] * 0.5
        return answer

    p = _subclass(track_step=track_step)
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    p.add_new_mask(state, 0, 2, disc())
    return tracked(p, state)


@program
def a_subclass_that_watches_every_frame() -> Any:
    seen = []

    def _run_single_frame_inference(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = type(self).__mro__[1]._run_single_frame_inference(self, *args, **kwargs)
        seen.append((kwargs["frame_idx"], kwargs["is_init_cond_frame"], sorted(answer[0])))
        return answer

    p = _subclass(_run_single_frame_inference=_run_single_frame_inference)
    state = opened(p, 3)
    p.add_new_points_or_box(state, 0, 1, points=[POINT], labels=[1])
    return tracked(p, state), seen


@program
def a_subclass_with_heads_of_its_own() -> Any:
    def _forward_sam_heads(self: Any, *args: Any, **kwargs: Any) -> Any:
        masks, large, iou, best, best_large, pointer, score = type(self).__mro__[1]._forward_sam_heads(self, *args, **kwargs)
        return masks, large, iou, best - 0.5, best_large - 0.5, pointer, score

    p = _subclass(_forward_sam_heads=_forward_sam_heads)
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return tracked(p, state)


@program
def a_patched_image_encoder() -> Any:
    p = video()
    whole = p.forward_image

    def dimmed(images: torch.Tensor) -> Any:
        return whole(images * 0.7)

    p.forward_image = dimmed
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return tracked(p, state)
