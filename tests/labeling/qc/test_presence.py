import math

import pytest

from tests.labeling.qc.boxes import NOTHING, box_mask, follow, frame, measured


def test_presence_is_judged_by_the_threshold_that_was_used():
    frames = [frame(t, box_mask(), object_score=-0.5) for t in range(4)] + [frame(4, NOTHING, object_score=-6.0)]
    assert measured(frames, threshold=-1.0).values["presence_conflict"] == 0.0
    conflict = measured(frames, threshold=0.0)
    assert conflict.values["presence_conflict"] == pytest.approx(0.8)
    assert conflict.spans["presence_conflict"] == (0, 4)
    assert conflict.values["presence_dither"] == pytest.approx(0.8)
    assert conflict.values["object_score_min"] == conflict.values["object_score_median"] == -0.5


def test_gaps_and_losses():
    masks = [box_mask()] * 4 + [NOTHING] * 2 + [box_mask()] * 2 + [NOTHING] * 2
    found = follow(masks)
    assert found.values["gap_rate"] == pytest.approx(2 / 1.0)
    assert found.spans["gap_rate"] == (4, 10)
    assert found.values["unexplained_absence"] == pytest.approx(0.4)
    assert found.values["tail_loss"] == pytest.approx(0.2)
    assert found.spans["tail_loss"] == (8, 10)
    assert found.values["reentry_mismatch"] == pytest.approx(0.0, abs=1e-9)
    assert found.spans["reentry_mismatch"] == (3, 7)
    assert found.values["visible_share"] == pytest.approx(0.6)


def test_a_loss_that_was_announced_is_explained():
    by_border = follow([box_mask(30 + 4 * t, width=10) for t in range(6)] + [NOTHING] * 4)
    assert by_border.values["unexplained_absence"] == 0.0
    assert by_border.values["tail_loss"] == pytest.approx(0.4 * 0.3)
    assert by_border.spans["border_share"] == (5, 6)
    shrunk = follow([box_mask()] * 5 + [box_mask(width=4)] + [NOTHING] * 4)
    assert shrunk.values["unexplained_absence"] == 0.0
    assert shrunk.values["tail_loss"] == pytest.approx(0.4)
    # Empty before the first mask is no loss.
    late = follow([NOTHING] * 5 + [box_mask()] * 5).values
    assert late["unexplained_absence"] == late["gap_rate"] == late["tail_loss"] == 0.0


def test_what_returns_elsewhere_in_another_form_is_a_mismatch():
    same = follow([box_mask(5 + t) for t in range(6)] + [NOTHING] * 3 + [box_mask(14 + t) for t in range(6)])
    other = follow([box_mask(5 + t) for t in range(6)] + [NOTHING] * 3 + [box_mask(45, 25, 4, 12)] * 6)
    assert same.values["reentry_mismatch"] == pytest.approx(4 / (10 * 4))
    speed = math.hypot(46.5 - 14.5, 30.5 - 14.5) / (10 * 4)
    assert other.values["reentry_mismatch"] == pytest.approx(speed + math.log(100 / 48) + math.log(3), abs=0.02)
    assert other.spans["reentry_mismatch"] == (5, 10)
