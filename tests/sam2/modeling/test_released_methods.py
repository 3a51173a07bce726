"""Frames stepped by hand are frames tracked by the predictor."""

import pytest
import torch
import torch.nn.functional as F

from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor
from tests.sam2.clips import drawn_clip

BOX = [8, 8, 40, 40]


@pytest.fixture
def predictor() -> SAM2VideoPredictor:
    overrides = ["++model.image_size=64", "++model.fill_hole_area=0"]
    return build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=overrides)


@torch.inference_mode()
def test_a_clip_stepped_by_hand_is_tracked_as_by_the_predictor(predictor: SAM2VideoPredictor) -> None:
    state = predictor.init_state(drawn_clip(5))
    _, _, _ = predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    height, width = state.size_hw
    box = torch.tensor([[[8 / width, 8 / height], [40 / width, 40 / height]]]) * 64
    points = {"point_coords": box, "point_labels": torch.tensor([[2, 3]], dtype=torch.int32)}
    frames = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    for frame_idx in range(5):
        answer = predictor.forward_image(state["images"][frame_idx][None])
        _, maps, places, sizes = predictor._prepare_backbone_features(answer)
        first = frame_idx == 0
        frame = predictor.track_step(
            frame_idx, first, maps, places, sizes, points if first else None, None, frames, 5, run_mem_encoder=not first
        )
        if first:
            large = F.interpolate(frame["pred_masks"], (64, 64), mode="bilinear", align_corners=False)
            score = frame["object_score_logits"]
            frame["maskmem_features"], _ = predictor._encode_new_memory(maps, sizes, large, score, is_mask_from_pts=True)
        frame["maskmem_features"] = frame["maskmem_features"].bfloat16()
        frames["cond_frame_outputs" if first else "non_cond_frame_outputs"][frame_idx] = frame
    by_hand = [frames["cond_frame_outputs"][0], *frames["non_cond_frame_outputs"].values()]
    for out, frame in zip(predictor.propagate(state), by_hand, strict=True):
        torch.testing.assert_close(out.low_res_logits, frame["pred_masks"], rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(out.object_score_logits, frame["object_score_logits"][:, 0], rtol=1e-2, atol=1e-2)


@torch.inference_mode()
def test_a_given_mask_is_believed(predictor: SAM2VideoPredictor) -> None:
    _, maps, places, sizes = predictor._prepare_backbone_features(predictor.forward_image(torch.rand(1, 3, 64, 64)))
    mask = torch.zeros(2, 1, 64, 64)
    mask[0, :, 10:40, 20:50] = 1
    maps, places = ([x.expand(-1, 2, -1) for x in flat] for flat in (maps, places))
    frame = predictor.track_step(0, True, maps, places, sizes, None, mask, {}, 1)
    assert torch.equal(frame["pred_masks_high_res"] > 0, mask > 0)
    assert frame["object_score_logits"].tolist() == [[10], [-10]]
    assert torch.equal(frame["obj_ptr"][1:], predictor.no_obj_ptr)
    assert frame["maskmem_features"].shape == (2, 32, 4, 4)


def test_overlaps_go_to_the_surest(predictor: SAM2VideoPredictor) -> None:
    logits = torch.tensor([[3.0, -4.0, 2.0], [5.0, -20.0, 1.0]])[:, None, None]
    kept = predictor._apply_non_overlapping_constraints(logits)
    assert kept[:, 0, 0].tolist() == [[-10, -4, 2], [5, -20, -10]]
    assert torch.equal(predictor._apply_non_overlapping_constraints(logits[:1]), logits[:1])


def test_stepping_says_what_it_needs(predictor: SAM2VideoPredictor) -> None:
    _, maps, places, sizes = predictor._prepare_backbone_features(predictor.forward_image(torch.rand(1, 3, 64, 64)))
    empty = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    with pytest.raises(ValueError, match="a frame with a prompt comes first"):
        predictor.track_step(1, False, maps, places, sizes, None, None, empty, 5)
    with pytest.raises(NotImplementedError, match="call a predictor, or track_step"):
        predictor(torch.rand(1, 3, 64, 64))
