"""Prompts put into a state, corrected, taken back."""

import numpy as np
import pytest
import torch

from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.tracking.conditioning import carried_behind
from sam2.tracking.memory_bank import Vantage
from sam2.tracking.motion import advance
from tests.sam2.clips import BOX, HEIGHT, NANO, SAMURAI, WIDTH, assert_equal_outputs, drawn_clip, predictor, prompt_three

KEPT, OVERWRITTEN = (), ("++model.add_all_frames_to_correct_as_cond=false",)


def corrected(model: SAM2VideoPredictor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the masks that a correction on frame 4 gave, and those of frame 4 when it is tracked over again."""
    state = model.init_state(drawn_clip(8))
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    list(model.propagate(state))
    _, _, seen = model.add_new_points_or_box(state, 4, 1, points=[[50, 10], [20, 40]], labels=[1, 0])
    again = {out.frame_idx: out.mask_logits for out in model.propagate(state)}
    return seen, again[4]


def test_corrections_stick() -> None:
    seen, again = corrected(predictor(NANO, *KEPT))
    assert torch.equal(again, seen)


def test_the_released_way_is_one_override_away() -> None:
    seen, again = corrected(predictor(NANO, *OVERWRITTEN))
    assert not torch.allclose(again, seen)


def test_an_earlier_mask_prompts_along() -> None:
    model = predictor()
    once, twice = model.init_state(drawn_clip(2)), model.init_state(drawn_clip(2))
    model.add_new_points_or_box(twice, 0, 1, box=BOX)
    for state in (once, twice):
        _, _, logits = model.add_new_points_or_box(state, 0, 1, points=[[40, 20]], labels=[1])
    _, _, fresh = model.add_new_points_or_box(once, 1, 1, points=[[40, 20]], labels=[1])
    assert twice.tracks[1].points[0].num_points == 1
    first = model.add_new_points_or_box(model.init_state(drawn_clip(2)), 0, 1, points=[[40, 20]], labels=[1])[2]
    assert not torch.allclose(logits, first)
    assert fresh.shape == logits.shape


def test_clicks_are_gathered_or_begun_anew() -> None:
    model = predictor()
    state = model.init_state(drawn_clip(2))
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    model.add_new_points_or_box(state, 0, 1, points=[[9, 9]], labels=[0], clear_old_points=False)
    assert state.tracks[1].points[0].labels_1P.tolist() == [[2, 3, 0]]
    model.add_new_points(state, 0, 1, points=[[9, 9]], labels=[1])
    assert state.tracks[1].points[0].labels_1P.tolist() == [[1]]


def test_a_mask_is_believed_as_it_stands() -> None:
    model = predictor()
    state = model.init_state(drawn_clip(3))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[12:36, 16:48] = True
    _, _, logits = model.add_new_mask(state, 0, 1, mask)
    assert ((logits[0, 0] > 0).numpy() == mask).mean() > 0.97
    out = next(model.propagate(state))
    assert torch.equal(out.mask_logits, logits)
    model.add_new_mask(state, 1, 1, np.zeros((HEIGHT, WIDTH), bool))
    outs = list(model.propagate(state))
    assert outs[1].object_score_logits.tolist() == [-10.0]
    assert not (outs[1].mask_logits > 0).any()


def test_small_holes_are_filled() -> None:
    model = predictor()
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[20:26, 20:26] = False
    _, _, filled = model.add_new_mask(model.init_state(drawn_clip(1)), 0, 1, mask)
    assert (filled > 0).all()
    plain = predictor(NANO, "++model.fill_hole_area=0")
    _, _, open_ = plain.add_new_mask(plain.init_state(drawn_clip(1)), 0, 1, mask)
    assert not (open_ > 0).all()


def test_objects_without_an_answer_on_a_frame_are_absent_there() -> None:
    model = predictor()
    state = model.init_state(drawn_clip(3))
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    _, ids, logits = model.add_new_points_or_box(state, 2, 5, box=BOX)
    assert ids == [1, 5]
    assert (logits[0] == -1024).all()
    assert (logits[1] != -1024).any()


def test_taking_a_prompt_back_before_tracking_is_as_if_it_had_not_been() -> None:
    model = predictor()
    plain, undone = model.init_state(drawn_clip(6)), model.init_state(drawn_clip(6))
    for state in (plain, undone):
        prompt_three(model, state)
    model.add_new_points_or_box(undone, 3, 1, points=[[9, 9]], labels=[1])
    frame_idx, ids, logits = model.clear_all_prompts_in_frame(undone, 3, 1)
    assert (frame_idx, ids) == (3, [1, 2, 3])
    assert (logits == -1024).all()
    assert model.clear_all_prompts_in_frame(undone, 3, 2, need_output=False) is None
    assert_equal_outputs(model.propagate(undone), model.propagate(plain))


def test_after_tracking_a_cleared_prompt_leaves_an_ordinary_frame() -> None:
    model = predictor()
    state = model.init_state(drawn_clip(6))
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    model.add_new_points_or_box(state, 3, 1, box=BOX)
    list(model.propagate(state))
    model.clear_all_prompts_in_frame(state, 3, 1)
    track = state.tracks[1]
    assert set(track.conditioning) == {0}
    assert 3 in track.others
    assert 3 not in track.tracked
    assert len(list(model.propagate(state))) == 6


def test_a_click_on_a_tracked_frame_with_nothing_left_to_look_back_at() -> None:
    """The released code stops at an assertion here."""
    model = predictor()
    state = model.init_state(drawn_clip(3))
    model.add_new_points_or_box(state, 2, 1, box=BOX)
    list(model.propagate(state, start_frame_idx=0))
    model.clear_all_prompts_in_frame(state, 2, 1)
    model.add_new_points_or_box(state, 0, 1, points=[[40, 20]], labels=[1])
    assert len(list(model.propagate(state))) == 3


def test_removing_an_object_leaves_the_others_as_they_are() -> None:
    model = predictor()
    plain, lessened = model.init_state(drawn_clip(6)), model.init_state(drawn_clip(6))
    prompt_three(model, lessened)
    model.add_new_points_or_box(plain, 0, 1, box=BOX)
    model.add_new_points_or_box(plain, 0, 2, points=[[40, 20]], labels=[1])
    ids, updated = model.remove_object(lessened, 3)
    assert ids == [1, 2]
    assert [(frame_idx, tuple(logits.shape)) for frame_idx, logits in updated] == [(0, (2, 1, HEIGHT, WIDTH))]
    assert_equal_outputs(model.propagate(lessened), model.propagate(plain))
    assert model.remove_object(lessened, 1, need_output=False) == ([2], [])
    assert model.remove_object(lessened, 2) == ([], [])


def test_surroundings_of_a_correction_are_forgotten_where_the_config_says_so() -> None:
    model = predictor(NANO, "++model.clear_non_cond_mem_around_input=true")
    state = model.init_state(drawn_clip(20))
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    list(model.propagate(state))
    model.add_new_points_or_box(state, 10, 1, box=BOX)
    model.propagate_in_video_preflight(state)
    assert sorted(state.tracks[1].others) == [1, 2, 18, 19]


@pytest.mark.parametrize("reverse", [False, True])
def test_the_filter_is_led_over_prompted_frames_in_either_direction(reverse: bool) -> None:
    model = predictor(SAMURAI)
    state = model.init_state(drawn_clip(6))
    for frame_idx in (2, 3):
        model.add_new_points_or_box(state, frame_idx, 1, points=[[40, 20]], labels=[1])
    track = state.tracks[1]
    order = (3, 2) if reverse else (2, 3)
    expected = None
    for frame_idx in order:
        expected = advance(expected, track.entry_on(frame_idx).sighting, model.config)
    motion = carried_behind(model, track, Vantage(1 if reverse else 4, reverse, 6))
    assert motion.stable_frames == 2
    np.testing.assert_array_equal(motion.mean_8, expected.mean_8)


def test_clicking_again_leaves_the_filter_fresh() -> None:
    model = predictor(SAMURAI)
    once, often = model.init_state(drawn_clip(10)), model.init_state(drawn_clip(10))
    model.add_new_points_or_box(once, 0, 1, box=BOX)
    for _ in range(3):
        model.add_new_points_or_box(often, 0, 1, points=[[40, 20]], labels=[1])
    model.clear_all_prompts_in_frame(often, 0, 1)
    model.add_new_points_or_box(often, 0, 1, box=BOX)
    assert_equal_outputs(model.propagate(often), model.propagate(once))
