"""Boxes of masks and runs of flags, against what a loop finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.geometry import box_xyxy_of, clipped, mask_box_xyxy, runs


def test_the_box_of_a_mask_is_tight_and_ends_beyond_its_last_pixel() -> None:
    mask_HW = np.zeros((6, 9), bool)
    assert mask_box_xyxy(mask_HW) is None
    mask_HW[5, 8] = True
    assert mask_box_xyxy(mask_HW) == (8, 5, 9, 6)
    mask_HW[2, 3] = True
    assert mask_box_xyxy(mask_HW) == (3, 2, 9, 6)


def test_a_box_by_its_corners_and_within_its_frame() -> None:
    assert box_xyxy_of((2.0, 3.0, 10.0, 20.0)) == (2.0, 3.0, 12.0, 23.0)
    assert clipped((-5.0, 1.0, 12.0, 23.0), (20, 10)) == (0.0, 1.0, 10.0, 20.0)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_where_the_flag_is_on(flags: list[bool]) -> None:
    spans = runs(np.array(flags, bool))
    assert [any(start <= k < end for start, end in spans) for k in range(len(flags))] == flags
    assert all(later[0] > earlier[1] for earlier, later in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("flags", [[], [False], [True]])
def test_short_series(flags: list[bool]) -> None:
    assert runs(np.array(flags, bool)) == [(0, 1)] * sum(flags)
