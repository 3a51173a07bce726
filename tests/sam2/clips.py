"""A clip by formula and video predictors with formula weights whose answers depend on what they remember."""

import functools
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch

from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.tracking.propagation import FrameOutput
from sam2.tracking.state import VideoState
from tests.reference.formula import WINDOWED, formula_weights

HEIGHT, WIDTH = 48, 64
NANO, SAMURAI, DAM4SAM = "sam2.1_nano", "configs/samurai/sam2.1_nano", "sam2.1_nano with dam4sam"
BOX = [4.0, 8.0, 24.0, 32.0]

# thresholds amid the scores that these weights give, so that frames fall on either side of each
SAMURAI_CHOICES = (
    "++model.memory_bank_iou_threshold=0.72",
    "++model.memory_bank_obj_score_threshold=1.96",
    "++model.memory_bank_kf_score_threshold=0.95",
    "++model.stable_ious_threshold=0.705",
    "++model.stable_frames_threshold=3",
    "++model.kf_score_weight=0.5",
)
# a frame is promoted whenever the pause is over
DAM4SAM_CHOICES = (
    "++model.memory_policy=dam4sam",
    "++model.promotion_iou=0.0",
    "++model.promotion_area_change=0.9",
    "++model.promotion_box_iou=1.0",
    "++model.promotion_pause=2",
)
LOUD = {
    "obj_ptr_proj.layers.2.weight": 6.0,
    "obj_ptr_tpos_proj.weight": 6.0,
    "sam_mask_decoder.iou_prediction_head.layers.2.weight": 4.0,
    "maskmem_tpos_enc": 8.0,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The nets here are so small that a second thread costs more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn_clip(num_frames: int) -> np.ndarray:
    """Return (num_frames, 48, 64, 3) uint8: a blob that wanders over waves, with a leap every 11 frames."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([_frame(k + 17 * (k // 11), x, y) for k in range(num_frames)])


def _frame(k: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    waves = np.stack([127 + 80 * np.sin(x / 5 + c + k / 7) * np.cos(y / 6 - c + k / 9) for c in range(3)], axis=-1)
    centre_x, centre_y = 10 + 7 * k % 45, 22 + 12 * np.sin(k / 3)
    waves[((x - centre_x) ** 2 / 70 + (y - centre_y) ** 2 / 50) < 1] = (230, 60 + 3 * k % 100, 30)
    return waves.clip(0, 255).astype(np.uint8)


@functools.cache
def predictor(config: str = NANO, *choices: str) -> SAM2VideoPredictor:
    """Return a predictor at 64 pixels; one per set of choices is kept, and no test may change it."""
    of_policy = {SAMURAI: SAMURAI_CHOICES, DAM4SAM: DAM4SAM_CHOICES}.get(config, ())
    overrides = ["++model.image_size=64", *WINDOWED, *of_policy, *choices]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built = build_sam2_video_predictor(config.split()[0], device="cpu", hydra_overrides_extra=overrides)
    weights = formula_weights(built.state_dict())
    built.load_state_dict({name: weight * LOUD.get(name, 1.0) for name, weight in weights.items()})
    return built.requires_grad_(False)


def prompt_three(model: SAM2VideoPredictor, state: VideoState, frame_idx: int = 0) -> None:
    """Prompt objects 1 (box), 2 (click) and 3 (mask) on a frame."""
    model.add_new_points_or_box(state, frame_idx, 1, box=BOX)
    model.add_new_points_or_box(state, frame_idx, 2, points=[[40, 20]], labels=[1])
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:40, 30:60] = True
    model.add_new_mask(state, frame_idx, 3, mask)


def assert_equal_outputs(got: Iterable[FrameOutput], wanted: Iterable[FrameOutput], tolerance: float = 0.0) -> None:
    """Compare frames, objects, masks and every score."""
    got, wanted = list(got), list(wanted)
    assert [out.frame_idx for out in got] == [out.frame_idx for out in wanted]
    assert got, "nothing to compare"
    for a, b in zip(got, wanted, strict=True):
        assert a.obj_ids == b.obj_ids
        for name in (
            "low_res_logits", "predicted_iou", "object_score_logits", "motion_score", "stability", "candidate_gap",
            "distractor", "pointer_similarity",
        ):
            np.testing.assert_allclose(
                getattr(a, name).numpy(), getattr(b, name).numpy(), rtol=tolerance, atol=tolerance,
                err_msg=f"frame {a.frame_idx}, {name}",
            )
