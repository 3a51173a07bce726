"""SAMURAI's motion model: one Kalman filter per object, as values that are never changed in place.

Boxes lie in the square that the network sees (pixels of the S x S image, aspect not kept), as min and max pixel
indices; the filter's state is [centre x, centre y, aspect = width / height, height] and their velocities per frame.

Source: Yang et al. 2024, "SAMURAI", section 3 (motion-aware selection); Wojke et al. 2017, "DeepSORT" (the filter).
Legend: M candidate masks, 4 = x0, y0, x1, y1 of a box, 8 = the state.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sam2.modeling.config import ModelConfig

Float64 = NDArray[np.float64]
BoxXYXY = tuple[int, int, int, int]

EMPTY_BOX: BoxXYXY = (0, 0, 0, 0)           # stands for a mask without a pixel
POSITION_NOISE = 1.0 / 20.0                 # standard deviations as shares of the box's height
VELOCITY_NOISE = 1.0 / 160.0
TRANSITION_88 = np.eye(8) + np.eye(8, k=4)  # one frame passes: positions move by their velocities


@dataclass(frozen=True, slots=True)
class Sighting:
    """The mask that was chosen on a frame, as the filter sees it: its box and its predicted IoU."""

    box_xyxy: BoxXYXY
    predicted_iou: float


@dataclass(frozen=True, slots=True)
class Motion:
    """The filter after a frame; `stable_frames` counts good sightings in a row, 0 means that it starts anew."""

    mean_8: Float64
    covariance_88: Float64
    stable_frames: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidate a frame takes; `motion_score` is the IoU with the predicted box, NaN while it has no say."""

    candidate: int
    sighting: Sighting
    motion: Motion
    motion_score: float


Boxes: TypeAlias = Callable[[], list[list[BoxXYXY]]]            # of B objects' candidates, made when asked for
Chosen: TypeAlias = tuple[Tensor, Sequence[Choice | None]]      # candidates (B,), and what the filter had to do with each


def choose(motion: Motion | None, boxes_xyxy: Sequence[BoxXYXY], predicted_iou_M: Float64, config: ModelConfig) -> Choice:
    """Return the best of M candidates and the filter after it; `predicted_iou_M` is float32.

    The filter has a say once it has been stable for `stable_frames_threshold` frames; until then the predicted IoU
    decides alone.
    """
    motion_iou_M = None
    rank_M = predicted_iou_M
    if motion is not None and motion.stable_frames >= config.stable_frames_threshold:
        expected_xyxy = _box_of(_predict(motion)[0])
        motion_iou_M = np.array([box_iou(expected_xyxy, box) for box in boxes_xyxy], np.float64)
        # the network's half of the sum stays in float32, so that ties fall as they do in the released code
        rank_M = config.kf_score_weight * motion_iou_M + np.float32(1.0 - config.kf_score_weight) * predicted_iou_M
    best = int(np.argmax(rank_M))
    sighting = Sighting(boxes_xyxy[best], float(predicted_iou_M[best]))
    motion_score = float("nan") if motion_iou_M is None else float(motion_iou_M[best])
    return Choice(best, sighting, advance(motion, sighting, config), motion_score)


def advance(motion: Motion | None, sighting: Sighting, config: ModelConfig) -> Motion:
    """Return the filter one frame later, after `sighting`."""
    if motion is None or motion.stable_frames == 0:
        return _begin(sighting.box_xyxy)
    mean_8, covariance_88 = _predict(motion)
    iou, threshold = np.float32(sighting.predicted_iou), np.float32(config.stable_ious_threshold)
    settled = motion.stable_frames >= config.stable_frames_threshold
    # a value on the threshold itself counts once the filter has settled, and not before
    if iou < threshold or (iou == threshold and not settled):
        return Motion(mean_8, covariance_88, 0)
    mean_8, covariance_88 = _update(mean_8, covariance_88, _measure(sighting.box_xyxy))
    return Motion(mean_8, covariance_88, motion.stable_frames + (not settled))


def box_iou(expected_xyxy: Sequence[float], box_xyxy: Sequence[float]) -> float:
    """Return intersection over union of two boxes; 0 with the box of an empty mask."""
    if box_xyxy == EMPTY_BOX:
        return 0.0
    ax0, ay0, ax1, ay1 = expected_xyxy
    bx0, by0, bx1, by1 = box_xyxy
    shared = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
    return shared / union if union != 0 else 0.0


def _measure(box_xyxy: BoxXYXY) -> Float64:
    x0, y0, x1, y1 = box_xyxy
    height = (y1 - y0) or 1
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / height, height], np.float64)


def _box_of(mean_8: Float64) -> tuple[float, float, float, float]:
    x, y, aspect, height = mean_8[:4].tolist()
    half_width, half_height = aspect * height / 2, height / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def _begin(box_xyxy: BoxXYXY) -> Motion:
    measured_4 = _measure(box_xyxy)
    height = measured_4[3]
    position, speed = 2 * POSITION_NOISE * height, 10 * VELOCITY_NOISE * height
    deviation_8 = np.array([position, position, 1e-2, position, speed, speed, 1e-5, speed])
    return Motion(np.concatenate([measured_4, np.zeros(4)]), np.diag(deviation_8**2), 1)


def _predict(motion: Motion) -> tuple[Float64, Float64]:
    height = motion.mean_8[3]
    position, speed = POSITION_NOISE * height, VELOCITY_NOISE * height
    deviation_8 = np.array([position, position, 1e-2, position, speed, speed, 1e-5, speed])
    covariance_88 = TRANSITION_88 @ motion.covariance_88 @ TRANSITION_88.T + np.diag(deviation_8**2)
    return TRANSITION_88 @ motion.mean_8, covariance_88


def _update(mean_8: Float64, covariance_88: Float64, measured_4: Float64) -> tuple[Float64, Float64]:
    position = POSITION_NOISE * mean_8[3]
    noise_44 = np.diag(np.array([position, position, 1e-1, position]) ** 2)
    # the measurement is the state's first half, so projecting is slicing
    innovation_44 = covariance_88[:4, :4] + noise_44
    gain_84 = np.linalg.solve(innovation_44, covariance_88[:4, :]).T
    return mean_8 + gain_84 @ (measured_4 - mean_8[:4]), covariance_88 - gain_84 @ innovation_44 @ gain_84.T
