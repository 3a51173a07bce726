"""What is said of a track against its truth: by hand on tiny masks, and against SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from flows.learn.accuracy import (
    TrackAccuracy,
    iou_rank_correlation,
    measure_track,
    most_interior,
    spearman,
    summarize,
)
from flows.learn.failures import Failure


def square(left, *, side=8, size_hw=(24, 32)):
    mask = np.zeros(size_hw, bool)
    mask[4 : 4 + side, left : left + side] = True
    return mask


def track(*, j=(0.5, 0.7), f=(0.1, 0.3), found=(True, True), present=(True, True), predicted=()):
    failures = tuple(None if value >= 0.5 else Failure.drift for value in j)
    return TrackAccuracy("clip", 1, 0, tuple(j), tuple(f), tuple(found), tuple(present), failures, tuple(predicted))


def test_spearman_by_hand():
    assert spearman([1, 2, 3], [10, 40, 90]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [0.3, 0.2, 0.1]) == pytest.approx(-1.0)
    assert spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(3**0.5 / 2), "equal values share the mean of their ranks"
    assert spearman([4, 4, 4], [1, 2, 3]) is None
    assert spearman([], []) is None
    assert spearman([1], [1]) is None
    with pytest.raises(ValueError, match="2 and 3 values"):
        spearman([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="NaN"):
        spearman([1, np.nan], [1, 2])


def test_a_track_by_hand():
    none = np.zeros((24, 32), bool)
    found, true = np.stack([square(4), none, square(4), none]), np.stack([square(8), square(8), none, none])
    measured = measure_track("clip", 3, prompt_frame=2, found_THW=found, true_THW=true, predicted_iou=[0.9, 0.8, 0.7, 0.6])
    # 8 x 8 squares that share 4 columns: 32 of 96 pixels; both empty counts as right.
    assert measured.j_per_frame == pytest.approx((1 / 3, 0.0, 0.0, 1.0))
    assert measured.found == (True, False, True, False)
    assert measured.present == (True, True, False, False)
    assert measured.presence == 0.5
    assert measured.j_and_f == pytest.approx((measured.j + measured.f) / 2)
    assert (measured.clip, measured.object_number, measured.prompt_frame) == ("clip", 3, 2)


def test_masks_and_predicted_iou_must_fit():
    masks = np.stack([square(4), square(5)])
    with pytest.raises(ValueError, match="predicted_iou has 1 values"):
        measure_track("c", 0, prompt_frame=0, found_THW=masks, true_THW=masks, predicted_iou=[0.5])
    with pytest.raises(ValueError, match="shapes"):
        measure_track("c", 0, prompt_frame=0, found_THW=masks, true_THW=masks[:1])


def test_tracks_count_alike_and_frames_count_alike():
    long = track(j=[1.0] * 6, f=[0.5] * 6, found=[True] * 6, present=[True] * 5 + [False], predicted=[0.9] * 6)
    short = track(j=[0.2] * 2, f=[0.1] * 2, found=[False, False], present=[True, False], predicted=[0.1, 0.8])
    told = summarize([long, short])
    assert (told.num_tracks, told.num_frames, told.absent_frames) == (2, 8, 2)
    assert told.j == pytest.approx(0.6)
    assert told.f == pytest.approx(0.3)
    assert told.j_and_f == pytest.approx(0.45)
    assert told.presence == pytest.approx(6 / 8)
    assert told.absent_right == pytest.approx(1 / 2)
    assert told.present_right == pytest.approx(5 / 6)
    assert summarize([track()]).absent_right is None
    with pytest.raises(ValueError, match="no tracks"):
        summarize([])


def test_rank_correlation_is_over_frames_that_show_the_object():
    # On the absent frame a right, empty mask has J 1 and a low predicted IoU, which would turn the order round.
    one = track(j=[0.2, 0.9, 1.0], f=[0] * 3, found=[True, True, False], present=[True, True, False], predicted=[0.3, 0.8, 0.0])
    other = track(j=[0.5], f=[0], found=[True], present=[True], predicted=[0.5])
    assert iou_rank_correlation([one, other]) == pytest.approx(1.0)
    assert iou_rank_correlation([track()]) is None


@pytest.mark.parametrize("seed", range(12))
def test_the_click_lies_as_deep_as_a_distance_transform_says(seed):
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.random((60, 80)), 5)
    mask = smooth > np.quantile(smooth, 0.6)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    x, y = most_interior(mask)
    assert mask[y, x]
    assert depth[y, x] >= 0.85 * depth.max() - 1


def test_the_click_on_plain_shapes():
    assert most_interior(square(10, side=9)) == (14, 8)
    one = np.zeros((5, 6), bool)
    one[3, 2] = True
    assert most_interior(one) == (2, 3)
    # The frame's edge is a border: the middle of a mask that fills it, not its corner.
    assert most_interior(np.ones((11, 21), bool)) == (10, 5)
    # A ring has nothing in its middle.
    y, x = np.mgrid[:41, :41]
    ring = (np.hypot(y - 20, x - 20) < 18) & (np.hypot(y - 20, x - 20) > 8)
    x, y = most_interior(ring)
    assert 11 < np.hypot(y - 20, x - 20) < 15
    with pytest.raises(ValueError, match="empty"):
        most_interior(np.zeros((4, 4), bool))
