"""Released settings on a built network: they act when they are set, or refuse."""

import numpy as np
import pytest
import torch

from sam2.build_sam import build_sam2_video_predictor


@pytest.fixture
def predictor():
    return build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=128"])


def _later_masks(predictor):
    """Masks of the frames after two prompted ones that overlap, of noise that moves."""
    frames = np.random.default_rng(0).integers(0, 255, (5, 48, 64, 3), np.uint8)
    state = predictor.init_state(frames)
    predictor.add_new_points_or_box(state, 0, 1, box=[4, 4, 40, 40])
    predictor.add_new_points_or_box(state, 1, 1, box=[8, 4, 44, 40])
    predictor.add_new_points_or_box(state, 0, 2, box=[8, 8, 50, 40])
    return torch.stack([masks for _, _, masks in predictor.propagate_in_video(state)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("non_overlap_masks", True),
        ("num_maskmem", 2),
        ("use_obj_ptrs_in_encoder", False),
        ("max_obj_ptrs_in_encoder", 2),
        ("memory_temporal_stride_for_eval", 2),
        ("add_tpos_enc_to_obj_ptrs", False),
        ("sigmoid_scale_for_mem_enc", 1.0),
        ("sigmoid_bias_for_mem_enc", 0.0),
        ("multimask_output_in_sam", False),
        ("multimask_output_for_tracking", np.False_),
    ],
)
def test_a_setting_acts_when_it_is_set(predictor, name, value):
    before = _later_masks(predictor)
    setattr(predictor, name, value)
    assert getattr(predictor, name) == value
    assert not torch.equal(before, _later_masks(predictor))


def test_a_setting_answers_as_the_network_built_with_it(predictor):
    predictor.multimask_output_for_tracking = False
    predictor.num_maskmem = 7
    overrides = ["++model.image_size=128", "++model.multimask_output_for_tracking=false"]
    built = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=overrides)
    torch.testing.assert_close(_later_masks(predictor), _later_masks(built), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_size", 512, "cannot act.*128.*hydra_overrides_extra"),
        ("soft_no_obj_ptr", True, "cannot act: this network has False"),
        ("use_mask_input_as_output_without_sam", False, "cannot act"),
        ("num_maskmem", 8, "at most 7"),
        ("max_cond_frames_in_attn", 1, "at least 2"),
        ("fill_hole_area", "8", "fill_hole_area='8': expected int"),
        ("non_overlap_masks", 3, "expected True or False"),
        ("sigmoid_bias_for_mem_enc", None, "expected float"),
    ],
)
def test_what_cannot_act_refuses(predictor, name, value, words):
    with pytest.raises(ValueError, match=words):
        setattr(predictor, name, value)


def test_what_it_is_already_may_be_set(predictor):
    predictor.image_size = 128
    predictor.pred_obj_scores = True
    assert (predictor.num_maskmem, predictor.fill_hole_area, predictor.mem_dim) == (7, 8, 32)


def test_a_projection_of_what_is_not_added_cannot_be_built():
    with pytest.raises(ValueError, match="proj_tpos_enc_in_obj_ptrs=true needs"):
        build_sam2_video_predictor(
            "sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.add_tpos_enc_to_obj_ptrs=false"]
        )
