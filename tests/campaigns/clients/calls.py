"""The calls of the notebooks on videos, in every way in which they are written."""

from typing import Any

import numpy as np
import torch

from tests.campaigns.clients.kit import BOX, POINT, disc, folder, opened, program, tracked, video


@program
def a_click() -> Any:
    p = video()
    return p.add_new_points_or_box(
        inference_state=opened(p), frame_idx=0, obj_id=1, points=np.array([POINT], np.float32), labels=np.array([1], np.int32)
    )


@program
def positional_arguments() -> Any:
    p = video()
    state = opened(p)
    first = p.add_new_points_or_box(state, 0, 1, [POINT, [70, 60]], [1, 0])
    return first, p.add_new_points(state, 0, 1, [POINT], [1], True, True)


@program
def clicks_as_tensors_with_a_batch_axis() -> Any:
    p = video()
    return p.add_new_points_or_box(opened(p), 0, 1, torch.tensor([[POINT]]).float(), torch.tensor([[1]], dtype=torch.int32))


@program
def a_second_click_on_the_same_frame() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, points=[POINT], labels=[1])
    return p.add_new_points_or_box(state, 0, 1, points=[[70, 60]], labels=[0], clear_old_points=False)


@program
def a_box_then_a_click_on_it() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=np.array(BOX, np.float32))
    p.add_new_points_or_box(state, 0, 1, points=[POINT], labels=[1], clear_old_points=False)
    return tracked(p, state)


@program
def a_box_and_clicks_together() -> Any:
    p = video()
    return p.add_new_points_or_box(opened(p), 0, 1, points=np.array([POINT]), labels=np.array([1]), box=BOX)


@program
def boxes_of_two_rows() -> Any:
    p = video()
    return p.add_new_points_or_box(opened(p), 0, 1, box=torch.tensor(BOX).reshape(2, 2).float())


@program
def coordinates_as_shares() -> Any:
    p = video()
    state = opened(p)
    click = p.add_new_points_or_box(state, 0, 1, points=[[0.4, 0.4]], labels=[1], normalize_coords=False)
    return click, p.add_new_points_or_box(state, 0, 2, box=[0.2, 0.1, 0.6, 0.7], normalize_coords=False)


@program
def ids_that_are_words_and_numbers_of_numpy() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, "car", box=BOX)
    p.add_new_points_or_box(state, np.int64(0), np.int64(4), points=[POINT], labels=[1])
    return [str(obj_id) for obj_id in state["obj_ids"]], tracked(p, state)[-1][2]


@program
def masks_of_every_kind() -> Any:
    p = video()
    state = opened(p)
    given = [disc(), disc(np.uint8), torch.from_numpy(disc(np.float32)), torch.from_numpy(disc())]
    return [p.add_new_mask(state, 0, k, mask) for k, mask in enumerate(given)]


@program
def a_mask_of_another_size() -> Any:
    p = video()
    return p.add_new_mask(opened(p), 0, 1, np.kron(disc(), np.ones((3, 3), bool)))


@program
def a_mask_then_a_click() -> Any:
    p = video()
    state = opened(p)
    p.add_new_mask(state, 0, 1, disc())
    return p.add_new_points_or_box(state, 0, 1, [[60, 60]], [1])


@program
def dictionaries_of_frames_and_objects() -> Any:
    p = video()
    with folder() as path:
        state = p.init_state(video_path=path)
        for obj_id, mask in enumerate([disc(), np.roll(disc(), 20, axis=1)], start=1):
            p.add_new_mask(state, 0, obj_id, mask)
        segments = {}
        for t, ids, logits in p.propagate_in_video(state):
            segments[t] = {obj_id: (logits[i] > 0.0).cpu().numpy() for i, obj_id in enumerate(ids)}
    return {str(t): {str(o): float(m.mean()) for o, m in objects.items()} for t, objects in segments.items()}


@program
def both_ways_from_the_middle() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 2, 1, box=BOX)
    return tracked(p, state, start_frame_idx=2), tracked(p, state, start_frame_idx=2, reverse=True)


@program
def a_few_frames_at_a_time() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return tracked(p, state, start_frame_idx=0, max_frame_num_to_track=2), tracked(p, state, start_frame_idx=2)


@program
def reverse_from_frame_0() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return tracked(p, state, reverse=True)


@program
def an_object_added_after_tracking() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    tracked(p, state)
    p.add_new_points_or_box(state, 2, 2, points=[POINT], labels=[1])
    return tracked(p, state, start_frame_idx=2)


@program
def a_correction_that_sticks() -> Any:
    p = video()
    p.add_all_frames_to_correct_as_cond = True
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    tracked(p, state)
    click = p.add_new_points_or_box(state, 3, 1, points=[[60, 60]], labels=[0])
    return click, tracked(p, state)


@program
def a_correction_that_does_not() -> Any:
    p = video()
    p.add_all_frames_to_correct_as_cond = False
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    tracked(p, state)
    p.add_new_points_or_box(state, 3, 1, points=[[60, 60]], labels=[0])
    return tracked(p, state)


@program
def reset_and_start_over() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    tracked(p, state)
    p.reset_state(state)
    p.add_new_points_or_box(state, 1, 5, points=[POINT], labels=[1])
    return len(state["obj_ids"]), tracked(p, state)


@program
def prompts_taken_back() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    p.add_new_points_or_box(state, 1, 1, points=[POINT], labels=[1])
    return p.clear_all_prompts_in_frame(state, 1, 1), tracked(p, state)


@program
def prompts_taken_back_without_an_answer() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return p.clear_all_prompts_in_frame(state, 0, 1, need_output=False) is None


@program
def an_object_taken_out() -> Any:
    p = video()
    state = opened(p)
    for obj_id in (1, 2, 3):
        p.add_new_points_or_box(state, 0, obj_id, points=[[20 * obj_id, 30]], labels=[1])
    ids, frames = p.remove_object(state, 2)
    return list(ids), frames, dict(state["obj_id_to_idx"]), tracked(p, state)


@program
def the_last_object_taken_out() -> Any:
    p = video()
    state = opened(p)
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return list(p.remove_object(state, 1)[0]), list(p.remove_object(state, 9)[0]), len(state["obj_ids"])


@program
def errors_that_programs_catch() -> Any:
    p = video()
    state = opened(p)
    caught = []
    for ask, kind in (
        (lambda: tracked(p, state), RuntimeError),
        (lambda: p.remove_object(state, 9, strict=True), RuntimeError),
        (lambda: p.add_new_points_or_box(state, 0, 1), ValueError),
        (lambda: p.add_new_points_or_box(state, 0, 1, points=[POINT]), ValueError),
        (lambda: p.add_new_points_or_box(state, 0, 1, box=BOX, clear_old_points=False), ValueError),
    ):
        try:
            ask()
            caught.append("nothing")
        except kind:
            caught.append(kind.__name__)
    return caught
