"""What programs read in a state and write to it."""

import copy
from typing import Any

import torch

from tests.campaigns.clients.kit import BOX, POINT, disc, opened, program, tracked, video


@program
def the_states_keys() -> Any:
    p = video()
    state = opened(p, 3)
    return list(state), len(state), state["num_frames"], state["video_height"], state["video_width"], str(state["device"])


@program
def prompts_in_the_state() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 1, 7, points=[POINT], labels=[1])
    p.add_new_mask(state, 0, 9, disc())
    points, masks = state["point_inputs_per_obj"], state["mask_inputs_per_obj"]
    return points[0][1]["point_coords"], points[0][1]["point_labels"], masks[1][0], list(points[1]), list(masks[0])


@program
def memory_in_the_state() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 7, box=BOX)
    tracked(p, state)
    outputs = state["output_dict_per_obj"][state["obj_id_to_idx"][7]]
    answer = outputs["non_cond_frame_outputs"][3]
    kept = {key: list(outputs[key]) for key in outputs}
    return kept, sorted(answer), {k: v for k, v in answer.items() if k != "maskmem_pos_enc"}, answer["maskmem_pos_enc"][-1]


@program
def old_frames_taken_out_of_memory() -> Any:
    p = video()
    state = opened(p, 8)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    masks = []
    for t, _, logits in p.propagate_in_video(state):
        masks.append(logits)
        for outputs in state["output_dict_per_obj"].values():
            for old in [k for k in outputs["non_cond_frame_outputs"] if k < t - 2]:
                outputs["non_cond_frame_outputs"].pop(old)
    return masks, list(state["output_dict_per_obj"][0]["non_cond_frame_outputs"])


@program
def masks_read_out_of_the_state() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    tracked(p, state)
    kept = state["output_dict_per_obj"][0]
    everything = {**kept["cond_frame_outputs"], **kept["non_cond_frame_outputs"]}
    return {str(t): float(everything[t]["pred_masks"].mean()) for t in sorted(everything)}


@program
def frames_of_ones_own() -> Any:
    p = video()
    state = opened(p, 1)
    first = state["images"][0]
    state["images"] = torch.stack([first, first.flip(-1), first * 0.5])
    state["num_frames"] = 3
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return tracked(p, state)


@program
def frames_that_keep_coming() -> Any:
    p = video()
    state, later = opened(p, 1), opened(p, 4)["images"]
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    masks = [tracked(p, state)]
    for k in range(1, 4):
        state["images"] = torch.cat([state["images"][:], later[k][None]])
        state["num_frames"] += 1
        masks.append(tracked(p, state, start_frame_idx=k, max_frame_num_to_track=1))
    return masks


@program
def features_made_beforehand() -> Any:
    p = video()
    state = opened(p, 2)
    image = state["images"][1].unsqueeze(0)
    with torch.inference_mode():
        state["cached_features"] = {1: (image, p.forward_image(image))}
    return p.add_new_points_or_box(state, 1, 1, box=BOX)


@program
def a_size_of_ones_own() -> Any:
    p = video()
    state = opened(p, 2)
    state["video_height"], state["video_width"] = 36, 48
    return p.add_new_points_or_box(state, 0, 1, points=[[20, 15]], labels=[1])


@program
def notes_in_the_state() -> Any:
    p = video()
    state = opened(p, 2)
    state["name"] = "clip"
    state.update({"fps": 25})
    state.setdefault("colours", {})[1] = "red"
    return state["name"], state.pop("fps"), state.get("gone"), state["colours"][1], "name" in state


@program
def a_copy_of_the_state() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    saved = copy.deepcopy(state)
    tracked(p, state)
    p.add_new_points_or_box(saved, 0, 2, points=[POINT], labels=[1])
    return len(state["obj_ids"]), tracked(p, saved)


@program
def answers_saved_and_put_back() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    tracked(p, state)
    saved = copy.deepcopy(state["output_dict_per_obj"])
    for outputs in state["output_dict_per_obj"].values():
        outputs["non_cond_frame_outputs"].clear()
    state["output_dict_per_obj"] = saved
    return tracked(p, state, start_frame_idx=4)


@program
def the_state_reset_by_hand() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    tracked(p, state)
    p._reset_tracking_results(state)
    p.add_new_points_or_box(state, 1, 1, points=[POINT], labels=[1])
    return tracked(p, state)
