import math

import numpy as np
import pytest

from labeling.qc.measure import FIELDS, measure, row_of
from labeling.qc.series import Series
from tests.labeling.qc.boxes import NOTHING, box_mask, frame


def test_a_frame_is_compared_with_the_one_before_it():
    _, before = measure(frame(0, box_mask(10, 10)), None)
    now, seen = measure(frame(1, box_mask(14, 12, 10, 5), motion_iou=0.5), before)
    assert (now.area, now.centre_x, now.centre_y) == (50, 18.5, 14.0)
    assert now.compensated_iou == pytest.approx(50 / 100)
    assert (now.frozen, now.border, now.holes, now.second_part) == (0, 0, 0, 0)
    assert now.motion_iou == 0.5
    assert math.isnan(now.stability)
    again, _ = measure(frame(2, box_mask(14, 12, 10, 5)), seen)
    assert (again.frozen, again.compensated_iou) == (1, 1)


def test_what_the_frame_cuts_off_counts_for_neither_mask():
    _, before = measure(frame(0, box_mask(48, 10, 10, 10)), None)
    now, _ = measure(frame(1, box_mask(54, 10, 6, 10)), before)
    # The centre moved by 4, so the earlier box is cut to 8 columns, of which the later mask shares 6.
    assert now.compensated_iou == pytest.approx(60 / 80)
    assert now.border == 1


def test_an_empty_mask_has_no_geometry_and_is_forgotten():
    _, before = measure(frame(0, box_mask()), None)
    now, seen = measure(frame(1, NOTHING), before)
    assert seen is None
    assert now.area == 0
    assert all(math.isnan(getattr(now, name)) for name in FIELDS[FIELDS.index("area") + 1 :])
    after, _ = measure(frame(2, box_mask()), seen)
    assert math.isnan(after.compensated_iou)
    assert math.isnan(after.frozen)


def test_a_series_reads_by_name_and_in_source_frames():
    rows = np.array([row_of(measure(frame(3 * t, box_mask() if t else NOTHING), None)[0]) for t in range(4)])
    series = Series(rows)
    assert len(series) == 4
    assert series["frame_idx"].tolist() == [0, 3, 6, 9]
    assert series.visible.tolist() == [False, True, True, True]
    assert series.step_seconds == pytest.approx(0.3)
    assert series.span(1, 3) == (3, 7)
