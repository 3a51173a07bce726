"""A state as the released dict: its keys are live, what is written through them acts, and nothing is ignored in silence."""

import copy
import pickle

import numpy as np
import pytest
import torch

from sam2.tracking.state import KEYS, VideoState
from tests.sam2.clips import BOX, HEIGHT, WIDTH, drawn_clip, predictor, prompt_three


@pytest.fixture
def state() -> VideoState:
    """Five frames, three objects, tracked."""
    model = predictor()
    made = model.init_state(drawn_clip(5))
    prompt_three(model, made)
    list(model.propagate(made))
    return made


def masks_of(state: VideoState, **how: object) -> torch.Tensor:
    return torch.stack([masks for _, _, masks in predictor().propagate_in_video(state, **how)])


def test_the_released_keys_and_ones_own(state: VideoState) -> None:
    state["note"] = 1
    assert list(state) == [*KEYS, "note"]
    assert len(state) == 19
    assert (state["num_frames"], state["video_height"], state["video_width"]) == (5, HEIGHT, WIDTH)
    assert state["obj_ids"] == [1, 2, 3]
    assert (state["obj_id_to_idx"], state["obj_idx_to_id"]) == ({1: 0, 2: 1, 3: 2}, {0: 1, 1: 2, 2: 3})
    assert (state["device"], state["storage_device"]) == (torch.device("cpu"), torch.device("cpu"))
    assert (state["offload_video_to_cpu"], state["offload_state_to_cpu"]) == (False, False)
    assert state.get("nothing") is None
    assert "note" in state
    assert dict(state.items())["note"] == state.pop("note") == 1
    with pytest.raises(KeyError):
        state["note"]


def test_prompts_and_frames_are_shown_as_they_are(state: VideoState) -> None:
    points, masks = state["point_inputs_per_obj"], state["mask_inputs_per_obj"]
    assert [list(points[k]) for k in points] == [[0], [0], []]
    assert points[0][0]["point_labels"].tolist() == [[2, 3]]
    assert torch.equal(points[0][0]["point_coords"][0, 0], torch.tensor(BOX[:2]) / torch.tensor([WIDTH, HEIGHT]) * 64)
    assert [list(masks[k]) for k in masks] == [[], [], [0]]
    assert (masks[2][0].shape, masks[2][0].dtype) == ((1, 1, 64, 64), torch.float32)
    assert state["frames_tracked_per_obj"][0] == {t: {"reverse": False} for t in range(5)}
    assert list(state["cached_features"]) == [4]


def test_a_frames_answer_has_the_released_keys(state: VideoState) -> None:
    answers = state["output_dict_per_obj"][1]
    assert list(answers["cond_frame_outputs"]), list(answers["non_cond_frame_outputs"]) == ([0], [1, 2, 3, 4])
    answer = answers["non_cond_frame_outputs"][2]
    assert list(answer) == ["maskmem_features", "maskmem_pos_enc", "pred_masks", "obj_ptr", "object_score_logits"]
    assert (answer["maskmem_features"].dtype, answer["maskmem_features"].shape[0]) == (torch.bfloat16, 1)
    assert answer["maskmem_pos_enc"][0].shape == answer["maskmem_features"].shape
    assert answer["pred_masks"].shape == (1, 1, 16, 16)
    assert (answer["obj_ptr"].shape[0], answer["object_score_logits"].shape) == (1, (1, 1))


def test_a_prompt_that_waits_lies_among_the_temporary_ones() -> None:
    model = predictor()
    state = model.init_state(drawn_clip(3))
    model.add_new_points_or_box(state, 1, 7, box=BOX)
    waiting, settled = state["temp_output_dict_per_obj"][0], state["output_dict_per_obj"][0]
    assert waiting["cond_frame_outputs"][1]["maskmem_features"] is None
    model.propagate_in_video_preflight(state)
    assert (list(waiting["cond_frame_outputs"]), list(settled["cond_frame_outputs"])) == ([], [1])


def test_taking_out_an_old_frame_makes_tracking_forget_it(state: VideoState) -> None:
    before = masks_of(copy.deepcopy(state), start_frame_idx=4)
    for answers in state["output_dict_per_obj"].values():
        del answers["non_cond_frame_outputs"][3]
        answers["non_cond_frame_outputs"].pop(2, None)
        assert answers["non_cond_frame_outputs"].pop(77, None) is None
    assert list(state.tracks[1].others) == [1, 4]
    assert not torch.equal(before, masks_of(state, start_frame_idx=4))


def test_an_answer_that_is_changed_is_what_later_frames_see(state: VideoState) -> None:
    before = masks_of(copy.deepcopy(state), start_frame_idx=4)
    answer = state["output_dict_per_obj"][0]["non_cond_frame_outputs"][3]
    answer["maskmem_features"] = answer["maskmem_features"] * 0
    with torch.inference_mode():
        state["output_dict_per_obj"][0]["non_cond_frame_outputs"][2]["obj_ptr"].mul_(-3)
    after = masks_of(state, start_frame_idx=4)
    assert not torch.equal(before[:, 0], after[:, 0])
    torch.testing.assert_close(before[:, 1:], after[:, 1:], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="follows from the size"):
        answer["maskmem_pos_enc"] = [answer["maskmem_pos_enc"][0] + 1]
    with pytest.raises(KeyError, match="nonsense"):
        answer["nonsense"] = 1


def test_what_was_saved_can_be_put_back(state: VideoState) -> None:
    before = masks_of(copy.deepcopy(state), start_frame_idx=4)
    saved = copy.deepcopy(state["output_dict_per_obj"])
    assert type(saved) is dict
    for answers in state["output_dict_per_obj"].values():
        answers["non_cond_frame_outputs"].clear()
    state["output_dict_per_obj"] = saved
    torch.testing.assert_close(before, masks_of(state, start_frame_idx=4), rtol=0, atol=1e-5)
    first, again = (kept[0]["cond_frame_outputs"][0]["obj_ptr"] for kept in (saved, pickle.loads(pickle.dumps(saved))))
    assert torch.equal(first, again)


def test_a_copy_goes_its_own_way(state: VideoState) -> None:
    other = copy.deepcopy(state)
    predictor().remove_object(other, 2)
    other["output_dict_per_obj"][0]["non_cond_frame_outputs"].clear()
    assert (state["obj_ids"], len(state.tracks[1].others)) == ([1, 2, 3], 4)


def test_own_frames_take_the_videos_place() -> None:
    model, clip = predictor(), drawn_clip(5)
    wanted = model.init_state(clip)
    prompt_three(model, wanted)
    state = model.init_state(clip[:1])
    state["images"], state["num_frames"] = wanted["images"][0:5], 5
    prompt_three(model, state)
    assert torch.equal(masks_of(state), masks_of(wanted))
    growing = model.init_state(clip[:1])
    growing["images"] = [wanted["images"][0]]
    prompt_three(model, growing)
    masks = [masks_of(growing)[0]]
    growing["num_frames"] = 5       # pointers know the video's length
    for t in range(1, 5):
        growing["images"].append(wanted["images"][t])
        masks.append(masks_of(growing, start_frame_idx=t, max_frame_num_to_track=0)[0])
    torch.testing.assert_close(torch.stack(masks), masks_of(wanted), rtol=0, atol=1e-4)


def test_one_frame_can_be_put_in_the_place_of_another(state: VideoState) -> None:
    before = masks_of(copy.deepcopy(state))
    state["images"][-1] = state["images"][0] * 0
    after = masks_of(state)
    assert torch.equal(before[:4], after[:4])
    assert not torch.equal(before[4], after[4])


def test_images_answer_as_a_tensor(state: VideoState) -> None:
    images = state["images"]
    assert (images.shape, images.dtype, len(images), images[1:3].shape) == ((5, 3, 64, 64), torch.float32, 5, (2, 3, 64, 64))
    assert torch.cat([images, images]).shape == (10, 3, 64, 64)
    assert images.mean().ndim == 0
    with pytest.raises(IndexError):
        images[5]


def test_too_few_images_are_named() -> None:
    state = predictor().init_state(drawn_clip(2))
    prompt_three(predictor(), state)
    state["images"], state["num_frames"] = state["images"][0:2], 3
    with pytest.raises(ValueError, match="frame 2 is beyond the 2 that were assigned"):
        masks_of(state)
    with pytest.raises(ValueError, match="images is a int"):
        state["images"] = 3


def test_the_size_of_the_answers_can_be_told(state: VideoState) -> None:
    state["video_height"], state["video_width"] = 30, 20
    assert masks_of(state).shape[-2:] == (30, 20)


def test_features_can_be_handed_over(state: VideoState) -> None:
    model, other = predictor(), predictor().init_state(drawn_clip(5)[::-1])
    wanted = predictor().init_state(drawn_clip(5))
    answer = model.add_new_points_or_box(wanted, 0, 1, box=BOX)[2]
    other["cached_features"] = {0: wanted["cached_features"][0]}
    torch.testing.assert_close(model.add_new_points_or_box(other, 0, 1, box=BOX)[2], answer, rtol=0, atol=1e-5)
    other["cached_features"].clear()
    assert not other.features


def test_a_reset_by_hand(state: VideoState) -> None:
    names = "obj_id_to_idx", "obj_idx_to_id", "obj_ids", "point_inputs_per_obj", "output_dict_per_obj"
    for name in names:
        state[name].clear()
    assert (state["obj_ids"], len(state["output_dict_per_obj"])) == ([], 0)
    with pytest.raises(RuntimeError, match="nothing to track"):
        masks_of(state)


@pytest.mark.parametrize(
    "write",
    [
        lambda state: state["obj_ids"].append(9),
        lambda state: state["obj_ids"].pop(),
        lambda state: state["obj_id_to_idx"].pop(1),
        lambda state: state["obj_idx_to_id"].__setitem__(0, 9),
        lambda state: state.__setitem__("obj_ids", [1]),
        lambda state: state["output_dict_per_obj"].pop(0),
        lambda state: state.pop("num_frames"),
    ],
)
def test_what_would_change_nothing_refuses(state: VideoState, write: object) -> None:
    with pytest.raises(ValueError, match="remove_object|cannot be"):
        write(state)
    assert state["obj_ids"] == [1, 2, 3]


def test_a_state_that_is_let_go(state: VideoState) -> None:
    del state["images"]
    with pytest.raises(ValueError, match="0 that were assigned"):
        masks_of(state)
    state["note"] = 1
    state.clear()
    assert (list(state), state["obj_ids"]) == (list(KEYS), [])


def test_ids_of_any_kind(state: VideoState) -> None:
    model = predictor()
    model.add_new_points_or_box(state, 1, np.int64(2), points=[[9, 9]], labels=[1])
    model.add_new_points_or_box(state, 1, torch.tensor(3), points=[[9, 9]], labels=[1])
    model.add_new_points_or_box(state, 1, "car", points=[[9, 9]], labels=[1])
    assert state["obj_ids"] == [1, 2, 3, "car"]
    with pytest.raises(ValueError, match="cannot stand for an object"):
        model.add_new_points_or_box(state, 1, [4], points=[[9, 9]], labels=[1])




def made_by_hand(count: int) -> dict[str, object]:
    """A dict as programs build it that hold frames of their own."""
    images = predictor().init_state(drawn_clip(count))["images"].tensor()
    empty = {name: {} for name in KEYS if name.endswith("per_obj") or name in ("cached_features", "constants")}
    return empty | {
        "images": images, "num_frames": count, "video_height": HEIGHT, "video_width": WIDTH, "device": torch.device("cpu"),
        "storage_device": torch.device("cpu"), "obj_id_to_idx": {}, "obj_idx_to_id": {}, "obj_ids": [],
    }  # fmt: skip


def test_a_dict_made_by_hand_is_tracked_with(state: VideoState) -> None:
    model, made = predictor(), made_by_hand(5)
    prompt_three(model, made)
    assert (made["obj_ids"], made["obj_id_to_idx"][3]) == ([1, 2, 3], 2)
    torch.testing.assert_close(masks_of(made), masks_of(state), rtol=0, atol=1e-5)
    assert list(made["output_dict_per_obj"][0]["non_cond_frame_outputs"]) == [1, 2, 3, 4]
    made["output_dict_per_obj"][0]["non_cond_frame_outputs"].pop(2)
    made["images"], made["num_frames"] = made["images"][:3], 3
    assert len(masks_of(made)) == 3
    model.reset_state(made)
    assert (made["obj_ids"], len(made["output_dict_per_obj"])) == ([], 0)


def test_a_shallow_copy_goes_on_with_the_same_objects(state: VideoState) -> None:
    copied = dict(state)
    predictor().remove_object(copied, 2)
    assert copied["obj_ids"] == state["obj_ids"] == [1, 3]
    assert len(masks_of(copied)) == 5


def test_a_copy_and_a_union_are_dicts_that_can_be_tracked_with(state: VideoState) -> None:
    wanted = masks_of(state)
    joined = state.copy() | {"mine": 1}
    assert type(joined) is type(state | {"mine": 1}) is dict
    assert (joined["mine"], "mine" in state) == (1, False)
    assert torch.equal(masks_of(joined), wanted)


def test_what_is_no_state_is_named() -> None:
    with pytest.raises(ValueError, match="state of type dict lacks images, num_frames"):
        predictor().reset_state({})
    with pytest.raises(ValueError, match="state of type NoneType"):
        masks_of(None)
