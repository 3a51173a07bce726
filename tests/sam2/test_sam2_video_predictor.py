"""Code written for the released video predictor runs unchanged; bad input is refused with what and where."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.tracking.state import VideoState
from tests.sam2.clips import (
    BOX,
    HEIGHT,
    SAMURAI,
    WIDTH,
    assert_equal_outputs,
    drawn_clip,
    one_thread,  # noqa: F401
    predictor,
    prompt_three,
)

NAN = float("nan")


@pytest.fixture
def video_dir(tmp_path: Path) -> str:
    for k, rgb_HW3 in enumerate(drawn_clip(6)):
        Image.fromarray(rgb_HW3).save(tmp_path / f"{k:05d}.jpg", quality=95)
    return str(tmp_path)


@pytest.fixture
def state() -> VideoState:
    return predictor().init_state(drawn_clip(6))


def test_the_released_example(video_dir: str) -> None:
    """Clicks, a refinement, a box with a click, two objects, propagation, reset: as the notebook goes."""
    model = predictor()
    inference_state = model.init_state(video_path=video_dir)
    model.reset_state(inference_state)
    points, labels = np.array([[21, 30]], dtype=np.float32), np.array([1], np.int32)
    _, out_obj_ids, out_mask_logits = model.add_new_points_or_box(
        inference_state=inference_state, frame_idx=0, obj_id=2, points=points, labels=labels
    )
    assert out_obj_ids == [2]
    assert (out_mask_logits[0] > 0.0).cpu().numpy().shape == (1, HEIGHT, WIDTH)
    points, labels = np.array([[21, 30], [40, 8]], dtype=np.float32), np.array([1, 0], np.int32)
    model.add_new_points_or_box(inference_state, frame_idx=0, obj_id=2, points=points, labels=labels)
    _, out_obj_ids, out_mask_logits = model.add_new_points_or_box(
        inference_state, 0, 3, box=np.array(BOX, np.float32), points=points[:1], labels=labels[:1]
    )
    assert out_obj_ids == [2, 3]
    video_segments = {}
    for out_frame_idx, out_obj_ids, out_mask_logits in model.propagate_in_video(inference_state):
        video_segments[out_frame_idx] = {
            out_obj_id: (out_mask_logits[i] > 0.0).cpu().numpy() for i, out_obj_id in enumerate(out_obj_ids)
        }
    assert sorted(video_segments) == [0, 1, 2, 3, 4, 5]
    assert all(set(masks) == {2, 3} for masks in video_segments.values())
    model.reset_state(inference_state)
    assert inference_state["obj_ids"] == []


def test_the_released_samurai_script(video_dir: str) -> None:
    model = predictor(SAMURAI)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        state = model.init_state(video_dir, offload_video_to_cpu=True)
        _, _, masks = model.add_new_points_or_box(state, box=(4, 8, 24, 32), frame_idx=0, obj_id=0)
        frames = 0
        for _, object_ids, masks in model.propagate_in_video(state):
            frames += 1
            assert object_ids == [0]
            assert masks[0][0].cpu().numpy().shape == (HEIGHT, WIDTH)
    assert frames == 6


def test_the_released_vos_flow(video_dir: str) -> None:
    model = predictor()
    state = model.init_state(video_path=video_dir, async_loading_frames=False)
    height, width = state["video_height"], state["video_width"]
    for object_id in (1, 4):
        mask = np.zeros((height, width), bool)
        mask[5 * object_id :, :30] = True
        model.add_new_mask(inference_state=state, frame_idx=0, obj_id=object_id, mask=mask)
    model.propagate_in_video_preflight(state)
    assert [frame_idx for frame_idx, _, _ in model.propagate_in_video(state)] == list(range(6))


def test_what_a_state_answers(state: VideoState) -> None:
    model = predictor()
    prompt_three(model, state)
    assert (state["num_frames"], state["video_height"], state["video_width"]) == (6, HEIGHT, WIDTH)
    assert (state["obj_ids"], state["device"]) == ([1, 2, 3], torch.device("cpu"))
    assert len(state["images"]) == 6
    assert state["images"][-1].shape == (3, model.image_size, model.image_size)
    assert len(list(state["images"])) == 6
    with pytest.raises(KeyError, match="nonsense"):
        state["nonsense"]
    with pytest.raises(IndexError):
        state["images"][6]


def test_lists_that_are_handed_out_are_copies(state: VideoState) -> None:
    model = predictor()
    _, ids, _ = model.add_new_points_or_box(state, 0, 1, box=BOX)
    outs = list(model.propagate_in_video(state))
    ids.append(99)
    outs[0][1].clear()
    assert state["obj_ids"] == [1]
    assert outs[1][1] == [1]


def test_inside_and_outside_inference_mode(state: VideoState) -> None:
    model = predictor()
    prompt_three(model, state)
    plain = list(model.propagate(state))
    with torch.inference_mode():
        again = model.init_state(drawn_clip(6))
        prompt_three(model, again)
        assert_equal_outputs(model.propagate(again), plain)
    assert not any(out.mask_logits.requires_grad for out in plain)


def test_masks_are_made_when_asked_for(state: VideoState) -> None:
    model = predictor()
    prompt_three(model, state)
    outs = {out.frame_idx: out for out in model.propagate(state)}
    masks = {frame_idx: logits for frame_idx, _, logits in model.propagate_in_video(state)}
    for frame_idx, out in outs.items():
        assert out.mask_logits.shape == (3, 1, HEIGHT, WIDTH)
        assert torch.equal(out.mask_logits, masks[frame_idx])
        expected = torch.nn.functional.interpolate(out.low_res_logits, (HEIGHT, WIDTH), mode="bilinear")
        assert torch.allclose(out.mask_logits, expected)


def test_what_the_scores_say(state: VideoState) -> None:
    model = predictor()
    prompt_three(model, state)
    first, *rest = model.propagate(state)
    assert first.predicted_iou[2] == 1.0
    assert first.object_score_logits[2] == 10.0
    assert first.candidate_gap.isnan().tolist() == [True, False, True]
    assert torch.allclose(first.pointer_similarity, torch.ones(3))
    for out in rest:
        assert out.motion_score.isnan().all()
        assert (out.candidate_gap >= 0).all()
        assert (out.pointer_similarity < 1).all()
        over, under = (out.low_res_logits > 1).sum((1, 2, 3)), (out.low_res_logits > -1).sum((1, 2, 3))
        assert torch.allclose(out.stability, over / under)


def test_overlaps_are_decided_where_the_config_says_so(state: VideoState) -> None:
    model = predictor("sam2.1_nano", "++model.non_overlap_masks=true")
    for obj_id in (1, 2):
        _, _, logits = model.add_new_points_or_box(state, 0, obj_id, box=BOX)
    free = predictor().init_state(drawn_clip(6))
    for obj_id in (1, 2):
        _, _, both = predictor().add_new_points_or_box(free, 0, obj_id, box=BOX)
    assert (both > 0).all(dim=0).any(), "the objects must overlap for this test to say anything"
    for masks in (logits, *(out.mask_logits for out in model.propagate(state))):
        assert (masks > 0).sum(dim=0).max() <= 1


@pytest.mark.parametrize(
    ("frame_idx", "given", "said"),
    [
        (6, {"box": BOX}, "object 1 on frame 6: frame_idx=6 is beyond the video: it has 6 frames"),
        (-1, {"box": BOX}, "frame_idx=-1 is beyond"),
        ("0", {"box": BOX}, "frame_idx='0': expected a whole number"),
        (0, {"points": [[70.5, 3]], "labels": [1]}, "object 1 on frame 0: point 0 at x=70.5, y=3 lies outside"),
        (0, {"points": [[3, NAN]], "labels": [1]}, "lies outside the frame"),
        (0, {"points": [[3, 3]], "labels": [1, 0]}, "1 points but labels"),
        (0, {"box": [70, 3, 90, 9]}, "misses the frame, which is 64 wide and 48 high"),
        (0, {"box": [1, 2, 3, NAN]}, "NaN"),
        (0, {}, "nothing to prompt with"),
        (0, {"box": BOX, "clear_old_points": False}, "clear_old_points=True"),
    ],
)
def test_bad_prompts_leave_the_state_as_it_was(
    state: VideoState, frame_idx: int, given: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        predictor().add_new_points_or_box(state, frame_idx, 1, **given)
    assert state["obj_ids"] == []


@pytest.mark.parametrize(
    ("video", "said"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "the video is empty"),
        ([], "the video is empty"),
        (iter([]), "the video is empty"),
        ("/no/such/clip.mp4", "there is no video at /no/such/clip.mp4"),
        (np.zeros((3, 8, 8, 3), np.float32), "expected uint8 RGB"),
        (None, "type NoneType cannot be read"),
    ],
)
def test_bad_videos(video: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        predictor().init_state(video)


def test_other_bad_calls(state: VideoState) -> None:
    model = predictor()
    # released code raises RuntimeError for these, and ours says ValueError everywhere: the error is both
    for kind in (ValueError, RuntimeError):
        with pytest.raises(kind, match="nothing to track"):
            next(model.propagate(state))
        with pytest.raises(kind, match="object 8 is unknown: this state has"):
            model.remove_object(state, 8, strict=True)
    assert model.remove_object(state, 8) == ([], [])
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    for start in (6, -1):
        with pytest.raises(ValueError, match=f"start_frame_idx={start} is beyond the video"):
            next(model.propagate(state, start_frame_idx=start))
    with pytest.raises(ValueError, match="object 1 on frame 1: mask has shape"):
        model.add_new_mask(state, 1, 1, np.zeros((3, 3, 3)))
    model.clear_all_prompts_in_frame(state, 0, 1)
    with pytest.raises(RuntimeError, match="object 1 has no prompt left"):
        next(model.propagate(state))


def test_clearing_an_unknown_object_makes_it(state: VideoState) -> None:
    model = predictor()
    model.add_new_points_or_box(state, 0, 1, box=BOX)
    frame_idx, obj_ids, masks = model.clear_all_prompts_in_frame(state, 0, 8)
    assert (frame_idx, obj_ids, masks[1].unique().tolist()) == (0, [1, 8], [-1024])


def test_a_box_that_reaches_out_of_the_frame_is_taken_as_it_is(state: VideoState) -> None:
    model = predictor()
    _, _, reaching = model.add_new_points_or_box(state, 0, 1, box=[-20, 8, 24, 90])
    _, _, inside = model.add_new_points_or_box(model.init_state(drawn_clip(6)), 0, 1, box=[0, 8, 24, HEIGHT])
    assert not torch.equal(reaching, inside)


def test_built_by_its_released_name() -> None:
    built = build_sam2_video_predictor("sam2.1_nano", device="cpu")
    assert isinstance(built, SAM2VideoPredictor)
    assert (built.image_size, built.device) == (384, torch.device("cpu"))
    assert built.config.fill_hole_area == 8
    assert not built.training
