"""Several paths at once: what is kept, what is final when, and that paths of one object never touch another's."""

import math

import pytest

from sam2.modeling.config import ModelConfig
from sam2.tracking.memory_bank import Lookback, Vantage
from sam2.tracking.policies import sam2long
from sam2.tracking.propagation import FrameOutput
from tests.sam2.clips import BOX, NANO, SAM2LONG, assert_equal_outputs, drawn_clip, predictor, prompt_three
from tests.sam2.tracking.test_propagation import FLOAT_NOISE, row_of

PROMPTS = [(0, 5, {"box": BOX}), (0, 7, {"points": [[40, 20]], "labels": [1]}), (6, 11, {"box": [30, 20, 60, 44]})]


def test_one_path_with_no_spread_is_sam2_while_no_frame_is_passed_over() -> None:
    """The newest six by rank are the latest six, and the candidate of the best score is that of the best predicted IoU."""
    clip, outputs = drawn_clip(10), []
    bare = ("++model.memory_policy=sam2long", "++model.pathways=1", "++model.pathway_key_spread=0", "++model.pathway_iou=-1")
    for model in (predictor(NANO, *bare), predictor(NANO)):
        state = model.init_state(clip)
        model.add_new_points_or_box(state, 0, 1, box=BOX)
        outputs.append(list(model.propagate(state)))
    assert all((out.object_score_logits > 0).all() for out in outputs[1])
    assert_equal_outputs(*outputs, FLOAT_NOISE)


def test_the_answer_is_the_path_of_the_largest_sum_from_its_first_frame_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last frame turns the order of the paths round, every frame comes from the path that was last."""
    clip, sums, real = drawn_clip(10), [], sam2long.branches

    def turned(totals: list, *args: object) -> list:
        kept = real(totals, *args)
        sums.append([total for _, _, total in kept])
        worst_first = [(path, candidate, -total) for path, candidate, total in kept]
        return worst_first if len(sums) == len(clip) - 1 else kept

    model = predictor(SAM2LONG)
    answers = []
    for branches in (real, turned):
        monkeypatch.setattr(sam2long, "branches", branches)
        state = model.init_state(clip)
        model.add_new_points_or_box(state, 0, 1, box=BOX)
        answers.append(list(model.propagate(state))[1:])
    best, worst = ([out.predicted_iou.item() for out in outs] for outs in answers)
    assert sum(math.log(iou + 1e-5) for iou in best) == pytest.approx(max(sums[-1]), abs=1e-5)
    assert sum(math.log(iou + 1e-5) for iou in worst) == pytest.approx(min(sums[-1]), abs=1e-5)
    assert max(sums[-1]) - min(sums[-1]) > 1e-3


def test_a_batch_answers_as_each_object_alone() -> None:
    model, clip = predictor(SAM2LONG), drawn_clip(14)
    together = model.init_state(clip)
    for frame_idx, obj_id, given in PROMPTS:
        model.add_new_points_or_box(together, frame_idx, obj_id, **given)
    batch: list[FrameOutput] = list(model.propagate(together, each_from_its_prompt=True))
    assert [out.obj_ids for out in batch[5:7]] == [[5, 7], [5, 7, 11]]
    for frame_idx, obj_id, given in PROMPTS:
        alone = model.init_state(clip)
        model.add_new_points_or_box(alone, frame_idx, obj_id, **given)
        mine = [row_of(out, obj_id) for out in batch if obj_id in out.obj_ids]
        assert_equal_outputs(mine, model.propagate(alone), FLOAT_NOISE)


def test_reverse_is_forward_on_the_reversed_clip_and_a_window_answers_as_all_of_memory() -> None:
    model, clip = predictor(SAM2LONG), drawn_clip(24)
    ahead, back = model.init_state(clip[::-1]), model.init_state(clip, memory="window")
    for state, mirror in ((ahead, lambda t: t), (back, lambda t: 23 - t)):
        prompt_three(model, state, mirror(0))
        model.add_new_points_or_box(state, mirror(12), 1, points=[[20, 20]], labels=[1])
    forward, backward = list(model.propagate(ahead)), list(model.propagate(back, 23, reverse=True))
    assert [out.frame_idx for out in backward] == [23 - out.frame_idx for out in forward]
    for a, b in zip(forward, backward, strict=True):
        assert (a.low_res_logits - b.low_res_logits).abs().max() <= FLOAT_NOISE * a.low_res_logits.abs().max()
    held = [entry for track in back.tracks.values() for entry in track.others.values() if entry.memory_1Dhw is not None]
    assert len(held) <= 3 * 18


def test_a_stream_is_refused_with_the_reason() -> None:
    model = predictor(SAM2LONG)
    state = model.init_state(iter(drawn_clip(4)))
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    with pytest.raises(ValueError, match=r"knows the right one at the end of the video.*choose another memory_policy"):
        list(model.propagate(state))


def test_tracking_goes_on_from_the_answer() -> None:
    model, clip = predictor(SAM2LONG), drawn_clip(12)
    state = model.init_state(clip, memory="window")
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    first = list(model.propagate(state, max_frame_num_to_track=6))
    rest = list(model.propagate(state, start_frame_idx=7))
    assert [out.frame_idx for out in first + rest] == list(range(12))


def test_no_path_looks_back_past_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read, real = predictor(SAM2LONG), {}, sam2long.look_back

    def noted(conditioning: dict, others: dict, vantage: Vantage, config: ModelConfig) -> Lookback:
        read[vantage.frame_idx] = sorted(others)
        return real(conditioning, others, vantage, config)

    monkeypatch.setattr(sam2long, "look_back", noted)
    state = model.init_state(drawn_clip(8))
    state.cuts = (5,)
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    assert len(list(model.propagate(state))) == 8
    assert (read[4], read[5], read[7]) == ([1, 2, 3], [], [5, 6])
