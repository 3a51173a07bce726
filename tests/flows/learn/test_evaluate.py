"""Tracks measured against the truth: a predictor that knows it, one that is off by a known amount, and clips that fail."""

import numpy as np
import pytest

from flows.learn.config import PromptKind
from flows.learn.evaluate import ClipFrames, Evaluation, collect, follow_clip, prompt_of, tracked
from flows.learn.failures import Failure
from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.geometry import boundary_f
from labeling.track.predictor import arithmetic, build_predictor, recipe_of
from sam2.training.scenes.scene import Scenes
from tests.flows.fixtures_evaluation import SIZE_HW, Clips, Knowing, square_clip

KINDS = list(PromptKind)


def right(mask, by=2):
    """The mask, moved right."""
    return np.roll(mask, by, axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_found_right(kind):
    clip = square_clip(hidden=(2,))
    result = follow_clip(clip, Knowing(clip.masks_NTHW), prompt=kind)
    assert result.error is None
    assert (result.num_frames, result.unmeasured) == (5, 0)
    first, second = (track.accuracy for track in result.tracks)
    assert first.j_and_f == second.j_and_f == first.presence == second.presence == 1.0
    assert (first.prompt_frame, len(first.j_per_frame)) == (0, 4)
    assert (second.prompt_frame, len(second.j_per_frame)) == (2, 2)
    assert first.present == (True, False, True, True)
    assert first.predicted_iou == pytest.approx((0.1, 0.2, 0.3, 0.4))


def test_a_shift_gives_the_number_worked_out_by_hand():
    clip = square_clip()
    result = follow_clip(clip, Knowing(clip.masks_NTHW, change=right), prompt=PromptKind.box, objects=1)
    (track,) = result.tracks
    # Two of ten columns differ: 80 pixels shared of 120.
    assert track.accuracy.j_per_frame == pytest.approx((80 / 120,) * 4)
    assert track.accuracy.f == pytest.approx(boundary_f(right(clip.masks_NTHW[0, 1]), clip.masks_NTHW[0, 1]))
    assert track.accuracy.presence == 1.0


def test_an_empty_answer_is_absent_and_wrong():
    clip = square_clip(hidden=(3, 4))
    result = follow_clip(clip, Knowing(clip.masks_NTHW, change=np.zeros_like), prompt=PromptKind.box, objects=1)
    assert result.tracks[0].accuracy.presence == 0.5
    assert result.tracks[0].accuracy.j == 0.5


def test_a_track_on_the_other_object_is_a_swap_and_one_on_nothing_is_lost():
    clip = square_clip(num_frames=6, late=0)
    for wrong, failure in ((clip.masks_NTHW[::-1, 4:], Failure.swap), (False, Failure.lost)):
        answers = clip.masks_NTHW.copy()
        answers[:, 4:] = wrong
        result = follow_clip(clip, Knowing(answers), prompt=PromptKind.box)
        assert [track.accuracy.failure_per_frame for track in result.tracks] == [(None, None, None, failure, failure)] * 2
    others = follow_clip(clip, Knowing(clip.masks_NTHW[::-1]), prompt=PromptKind.box, objects=1)
    # The truth of objects that are not followed counts too.
    (track,) = others.tracks
    assert set(track.accuracy.failure_per_frame) == {Failure.swap}
    assert track.accuracy.failure is Failure.seed


def test_prompts_are_the_truth_of_the_first_visible_frame():
    clip = square_clip()
    predictor = Knowing(clip.masks_NTHW)
    follow_clip(clip, predictor, prompt=PromptKind.box)
    assert {k: (t, given["box"].tolist()) for k, (t, given) in predictor.prompts.items()} == {
        0: (0, [4, 5, 14, 15]), 1: (2, [30, 25, 40, 35]),
    }
    follow_clip(clip, predictor, prompt=PromptKind.click)
    assert all(given["labels"].tolist() == [1] for _, given in predictor.prompts.values())
    assert {k: given["points"].tolist() for k, (_, given) in predictor.prompts.items()} == {0: [[8, 9]], 1: [[34, 29]]}
    follow_clip(clip, predictor, prompt=PromptKind.mask)
    np.testing.assert_array_equal(predictor.prompts[1][1]["mask"], clip.masks_NTHW[1, 2])


def test_an_object_that_shows_too_late_is_counted_not_measured():
    clip = square_clip(late=4)
    result = follow_clip(clip, Knowing(clip.masks_NTHW), prompt=PromptKind.box)
    assert (len(result.tracks), result.unmeasured) == (1, 1)
    nowhere = np.zeros((3, *SIZE_HW), bool)
    assert prompt_of(1, nowhere, PromptKind.box) is None
    one_pixel = nowhere.copy()
    one_pixel[0, 7, 9] = True
    made = prompt_of(1, one_pixel, PromptKind.box)
    assert made is not None
    assert made.box_xyxy == (9, 7, 10, 8)
    mask = prompt_of(1, one_pixel, PromptKind.mask)
    assert mask is not None
    assert mask.mask == rle.encode(one_pixel[0])


def test_a_clip_without_objects_has_no_tracks():
    clip = square_clip(late=9, hidden=(0, 1, 2, 3, 4))
    result = follow_clip(clip, Knowing(clip.masks_NTHW), prompt=PromptKind.box)
    assert (result.tracks, result.unmeasured) == ((), 2)


def test_a_clip_that_fails_costs_only_itself():
    clip = square_clip()
    source = Clips(clip, ValueError("scene 7 shows no object"), square_clip(name="bad"), square_clip(name="last"))
    predictor = Knowing(clip.masks_NTHW)
    seen = []

    def look(_: Evaluation, result):
        seen.append(result.name)
        # From the second clip on logits come in another size than the video's, until the third is through.
        predictor.change = (lambda mask: mask[:3]) if result.name == "clip 1" else (lambda mask: mask)

    evaluation = collect(tracked(source, predictor, prompt=PromptKind.box, num_frames=5), seen=look)
    assert seen == ["squares", "clip 1", "bad", "last"]
    assert [result.name for result in evaluation.failed] == ["clip 1", "bad"]
    assert "shows no object" in evaluation.failed[0].error.message
    assert "shapes" in evaluation.failed[1].error.message
    assert (evaluation.num_clips, len(evaluation.tracks)) == (4, 4)
    assert not evaluation.interrupted


def test_a_clip_given_twice_is_measured_once():
    clip = square_clip()
    results = tracked(Clips(clip, clip), Knowing(clip.masks_NTHW), prompt=PromptKind.box, num_frames=9)
    evaluation = collect(results, seen=lambda *_: None)
    assert len(evaluation.tracks) == 2
    (twice,) = evaluation.failed
    assert twice.name == "clip 1"
    assert "is measured already" in twice.error.message


def test_the_most_frames_are_asked_of_the_source():
    source = Clips(square_clip())
    (result,) = tracked(source, Knowing(square_clip().masks_NTHW), prompt=PromptKind.box, num_frames=4)
    assert source.asked == [4]
    assert result.num_frames == 4


def test_interruption_keeps_what_there_is():
    clip = square_clip()

    def results():
        yield follow_clip(clip, Knowing(clip.masks_NTHW), prompt=PromptKind.box)
        raise KeyboardInterrupt

    evaluation = collect(results(), seen=lambda *_: None)
    assert evaluation.interrupted
    assert evaluation.summary is not None
    assert evaluation.summary.num_tracks == 2


def test_nothing_measured_has_no_summary():
    assert Evaluation().summary is None
    assert Evaluation().frames_per_second is None


def test_clip_frames_are_read_as_follow_reads_them():
    frames = ClipFrames(square_clip().frames_THW3)
    assert (len(frames), list(frames.frame_indices), frames.pts_seconds(3)) == (5, [0, 1, 2, 3, 4], 3.0)
    assert frames[1].shape == (*SIZE_HW, 3)


def test_the_network_itself_goes_through():
    model = NetworkConfig(allow_untrained=True, image_size=64)
    recipe = recipe_of(model, PrecisionConfig(), TrackerConfig())
    predictor = build_predictor(recipe, None, device="cpu")
    with arithmetic("fp32", device="cpu"):
        results = list(tracked(Scenes(2, 3, (64, 64)), predictor, prompt=PromptKind.click, num_frames=3))
    assert [result.name for result in results] == ["scene 3", "scene 4"]
    for result in results:
        assert result.error is None
        assert result.tracks
        assert result.seconds > 0
        for track in result.tracks:
            assert 0 <= track.accuracy.j_and_f <= 1
            assert len(track.accuracy.predicted_iou) == len(track.accuracy.j_per_frame) == 2
            assert len(track.frames) == len(track.found_THW) == len(track.true_THW) == 3
