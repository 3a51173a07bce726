"""SAMURAI's filter against numbers that the released code gave for the same boxes."""

import math

import numpy as np
import pytest

from sam2.modeling.config import ModelConfig
from sam2.tracking.motion import EMPTY_BOX, Motion, Sighting, advance, box_iou, choose

CONFIG = ModelConfig(samurai_mode=True, kf_score_weight=0.25)
BOXES = [
    (10, 20, 60, 120), (13, 22, 64, 121), (15, 25, 66, 127), (15, 25, 66, 125), (30, 26, 90, 130),
    EMPTY_BOX, (33, 30, 95, 131),
]
MEAN_8 = [
    63.1558370, 79.3726071, 0.485719575, 99.5933620, 11.0082050, 10.0057443, -3.53030838e-08, 10.7998038,
]
VARIANCE_8 = [
    0.621341405, 0.621341405, 5.86366709e-04, 0.621341405, 3.90365054, 3.90365054, 6.99999318e-10, 3.90365054,
]


def followed(boxes: list[tuple[int, int, int, int]], predicted_iou: float = 0.9) -> Motion:
    motion = None
    for box in boxes:
        motion = advance(motion, Sighting(box, predicted_iou), CONFIG)
    assert motion is not None
    return motion


def settled() -> Motion:
    return followed([(100 + 2 * k, 50, 140 + 2 * k, 90) for k in range(15)])


def test_the_filter_answers_as_the_released_one() -> None:
    motion = followed(BOXES)
    np.testing.assert_allclose(motion.mean_8, MEAN_8, rtol=1e-8)
    np.testing.assert_allclose(np.diag(motion.covariance_88), VARIANCE_8, rtol=1e-8)
    assert motion.covariance_88[0, 4] == pytest.approx(0.19430600122159447, rel=1e-9)
    assert motion.covariance_88[2, 6] == pytest.approx(1.8350214683736323e-09, rel=1e-6)


def test_the_motion_score_is_the_overlap_with_the_box_one_frame_on() -> None:
    motion = followed(BOXES)
    ready = Motion(motion.mean_8, motion.covariance_88, 15)
    choice = choose(ready, [(20, 10, 80, 90), EMPTY_BOX, (500, 500, 510, 510)], np.array([0.9, 0.1, 0.1], np.float32), CONFIG)
    assert choice.motion_score == pytest.approx(0.20481424673587836, rel=1e-9)
    assert choice.candidate == 0


def test_until_it_has_settled_the_predicted_iou_decides_alone() -> None:
    motion = followed([(100, 50, 140, 90)] * 14)
    assert motion.stable_frames == 14
    ious = np.array([0.5, 0.6, 0.55], np.float32)
    choice = choose(motion, [(102, 50, 142, 90), (0, 0, 9, 9), EMPTY_BOX], ious, CONFIG)
    assert choice.candidate == 1
    assert math.isnan(choice.motion_score)


def test_a_settled_filter_prefers_the_box_where_the_object_should_be() -> None:
    ious = np.array([0.5, 0.6, 0.55], np.float32)
    choice = choose(settled(), [(130, 50, 170, 90), (0, 0, 9, 9), EMPTY_BOX], ious, CONFIG)
    assert choice.candidate == 0
    assert choice.motion_score > 0.8
    assert choice.motion.stable_frames == 15


@pytest.mark.parametrize(
    ("stable_frames", "predicted_iou", "after"),
    [
        (3, 0.31, 4),
        (3, 0.3, 0),        # on the threshold: not good enough before the filter has settled
        (3, 0.1, 0),
        (14, 0.9, 15),
        (15, 0.9, 15),
        (15, 0.3, 15),      # on the threshold: good enough afterwards
        (15, 0.29, 0),
        (0, 0.0, 1),        # a lost filter begins anew with whatever comes, as released
    ],
)
def test_good_frames_in_a_row(stable_frames: int, predicted_iou: float, after: int) -> None:
    base = settled()
    motion = advance(
        Motion(base.mean_8, base.covariance_88, stable_frames), Sighting((120, 50, 160, 90), predicted_iou), CONFIG
    )
    assert motion.stable_frames == after


def test_a_lost_frame_moves_the_filter_but_does_not_correct_it() -> None:
    base = settled()
    lost = advance(base, Sighting((0, 0, 10, 10), 0.1), CONFIG)
    assert lost.mean_8[0] == pytest.approx(base.mean_8[0] + base.mean_8[4])


def test_a_new_filter_knows_the_place_and_no_speed() -> None:
    motion = advance(None, Sighting((10, 20, 30, 60), 0.0), CONFIG)
    assert motion.mean_8.tolist() == [20, 40, 0.5, 40, 0, 0, 0, 0]
    assert motion.stable_frames == 1


def test_values_are_left_as_they_were() -> None:
    base = settled()
    mean_8, covariance_88 = base.mean_8.copy(), base.covariance_88.copy()
    advance(base, Sighting((120, 50, 160, 90), 0.9), CONFIG)
    np.testing.assert_array_equal(base.mean_8, mean_8)
    np.testing.assert_array_equal(base.covariance_88, covariance_88)


@pytest.mark.parametrize(
    ("expected", "box", "iou"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (10, 10, 20, 20), 0.0),
        ((-5, -5, 5, 5), EMPTY_BOX, 0.0),
        ((3, 3, 3, 3), (3, 3, 3, 3), 0.0),
    ],
)
def test_box_iou(expected: tuple[int, ...], box: tuple[int, int, int, int], iou: float) -> None:
    assert box_iou(expected, box) == pytest.approx(iou)
