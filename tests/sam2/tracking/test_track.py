"""A memory window answers as the whole memory does, refuses what it cannot answer, and does not grow."""

import gc

import numpy as np
import pytest
import torch

from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.tracking.state import VideoState
from tests.sam2.clips import BOX, DAM4SAM, NANO, SAMURAI, assert_equal_outputs, drawn_clip, predictor, prompt_three

BOTH = pytest.mark.parametrize("config", [NANO, SAMURAI])
EACH = pytest.mark.parametrize("config", [NANO, SAMURAI, DAM4SAM])


def states(model: SAM2VideoPredictor, clip: np.ndarray) -> tuple[VideoState, VideoState]:
    return model.init_state(clip, memory="all"), model.init_state(clip, memory="window")


@EACH
@pytest.mark.parametrize(("num_frames", "reverse", "each"), [(60, False, True), (40, True, False)])
def test_window_equals_all_exactly(config: str, num_frames: int, reverse: bool, each: bool) -> None:
    model, clip = predictor(config), drawn_clip(num_frames)
    answers = []
    for state in states(model, clip):
        prompt_three(model, state, num_frames - 1 if reverse else 0)
        model.add_new_points_or_box(state, 25, 2, box=BOX)
        model.add_new_points_or_box(state, 33, 4, points=[[10, 10]], labels=[1])
        start = num_frames - 1 if reverse else None
        answers.append(list(model.propagate(state, start, reverse=reverse, each_from_its_prompt=each)))
    assert len(answers[0]) == num_frames
    assert_equal_outputs(answers[1], answers[0])
    if config == SAMURAI:
        selectable = [entry.selectable for track in state.tracks.values() for entry in track.others.values()]
        assert any(selectable)
        assert not all(selectable), "the thresholds decide nothing: this test would not notice a wrong window"


@BOTH
def test_the_window_forgets(config: str) -> None:
    model = predictor(config)
    whole, window = states(model, drawn_clip(32))
    for state in (whole, window):
        prompt_three(model, state)
        assert len(list(model.propagate(state))) == 32
    assert {len(track.others) for track in whole.tracks.values()} == {31}
    for track in window.tracks.values():
        assert sum(entry.memory_1Dhw is not None for entry in track.others.values()) <= 8
        assert len(track.others) <= 16 + 7


@BOTH
def test_the_newest_frame_can_be_corrected_and_tracked_on_from(config: str) -> None:
    model, clip = predictor(config), drawn_clip(32)
    answers = []
    for state in states(model, clip):
        prompt_three(model, state)
        list(model.propagate(state, max_frame_num_to_track=24))
        model.add_new_points_or_box(state, 24, 1, points=[[30, 30], [5, 5]], labels=[1, 0])
        answers.append(list(model.propagate(state, start_frame_idx=24)))
    assert_equal_outputs(answers[1], answers[0])


@BOTH
def test_tracking_again_from_the_start_is_fresh(config: str) -> None:
    model, clip = predictor(config), drawn_clip(20)
    whole, window = states(model, clip)
    for state in (whole, window):
        prompt_three(model, state)
    first = list(model.propagate(whole))
    assert_equal_outputs(list(model.propagate(whole)), first)
    assert_equal_outputs(list(model.propagate(window)), first)
    assert_equal_outputs(list(model.propagate(window)), first)


@pytest.mark.parametrize("frame_idx", [3, 20, 30])
def test_a_click_on_a_forgotten_frame_is_refused(frame_idx: int) -> None:
    model = predictor()
    state = model.init_state(drawn_clip(40), memory="window")
    prompt_three(model, state)
    list(model.propagate(state, max_frame_num_to_track=31))
    with pytest.raises(ValueError, match=rf'object 1 on frame {frame_idx}: .*memory="all"'):
        model.add_new_points_or_box(state, frame_idx, 1, box=BOX)
    with pytest.raises(ValueError, match='memory="all"'):
        model.add_new_mask(state, frame_idx, 2, np.ones((48, 64), bool))
    model.add_new_points_or_box(state, 35, 1, box=BOX)
    assert len(list(model.propagate(state, start_frame_idx=32))) == 8


def test_turning_round_is_refused() -> None:
    model = predictor()
    state = model.init_state(drawn_clip(30), memory="window")
    prompt_three(model, state, 10)
    list(model.propagate(state))
    with pytest.raises(ValueError, match='cannot turn backward.*memory="all"'):
        next(model.propagate(state, reverse=True))
    model.reset_state(state)
    prompt_three(model, state, 10)
    assert len(list(model.propagate(state, reverse=True))) == 11


def test_starting_where_the_memory_is_gone_is_refused() -> None:
    model = predictor()
    state = model.init_state(drawn_clip(40), memory="window")
    prompt_three(model, state)
    list(model.propagate(state, max_frame_num_to_track=30))
    with pytest.raises(ValueError, match='cannot start at frame 15.*go on from frame 30, or .*memory="all"'):
        next(model.propagate(state, start_frame_idx=15))


def test_memory_must_be_one_that_there_is() -> None:
    with pytest.raises(ValueError, match="memory='short'"):
        predictor().init_state(drawn_clip(1), memory="short")


@BOTH
def test_live_tensors_do_not_grow_with_the_video(config: str) -> None:
    model, clip = predictor(config), drawn_clip(90)
    state = model.init_state(iter(clip), memory="window")
    prompt_three(model, state)
    seen = {}
    for out in model.propagate(state):
        if out.frame_idx in (40, 89):
            seen[out.frame_idx] = live_tensors()
    # which far frames SAMURAI keeps besides the near ones varies a little from frame to frame
    assert abs(seen[89][0] - seen[40][0]) <= 3 * 2 * 5
    assert seen[89][1] <= 1.01 * seen[40][1]


def live_tensors() -> tuple[int, int]:
    """Return how many tensors there are, and their bytes."""
    gc.collect()
    # Plain ones alone: what a compiled network of an earlier test left behind has no sizes.
    num_bytes = [t.numel() * t.element_size() for t in gc.get_objects() if type(t) in (torch.Tensor, torch.nn.Parameter)]
    return len(num_bytes), sum(num_bytes)
