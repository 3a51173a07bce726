import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.geometry import runs
from labeling.qc import series

numbers = st.lists(st.floats(-5, 5), min_size=0, max_size=60).map(np.array)


@settings(max_examples=100, deadline=None)
@given(numbers)
def test_largest_step_is_the_best_of_all_splits(values):
    splits = range(5, values.size - 4)
    heights = [abs(np.median(values[:s]) - np.median(values[s:])) for s in splits]
    found = series.largest_step(values)
    if not heights:
        assert found is None
        return
    assert found[0] == pytest.approx(max(heights))
    assert abs(np.median(values[: found[1]]) - np.median(values[found[1] :])) == pytest.approx(max(heights))


def test_a_step_in_a_long_series_is_found_in_blocks():
    values = np.where(np.arange(30_001) < 21_000, 0.0, 2.0) + np.random.default_rng(0).normal(0, 0.1, 30_001)
    height, at = series.largest_step(values)
    assert height == pytest.approx(2.0, abs=0.02)
    assert abs(at - 21_000) <= 60


def test_soft_minimum_lies_between_least_and_mean():
    values = np.array([0.9] * 9 + [0.3, np.nan])
    kept = values[:-1]
    expected = -0.1 * np.log(np.mean(np.exp(-kept / 0.1)))
    assert series.soft_minimum(values, 0.1) == pytest.approx(expected)
    assert kept.min() < series.soft_minimum(values, 0.1) < kept.mean()
    # Differences to the least are summed, so far-off values neither overflow nor vanish.
    assert series.soft_minimum(np.array([-900.0, 900.0]), 0.1) == pytest.approx(-900 + 0.1 * np.log(2))
    assert series.soft_minimum(np.array([np.nan]), 0.1) is None


def test_runs_and_places():
    flags = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    assert runs(flags) == [(0, 2), (3, 6), (7, 8)]
    assert series.longest(flags) == (3, 6)
    assert series.longest(~flags) == (2, 3)
    assert runs(np.zeros(0, bool)) == []
    assert series.longest(np.zeros(3, bool)) is None
    values = np.array([np.nan, 3.0, 1.0, 2.0])
    assert series.where_least(values) == (2, 3)
    assert series.where_most(values) == (1, 2)
    assert series.where_most(np.full(2, np.nan)) is None
    assert series.percentile(values, 50) == 2.0
    assert series.percentile(values[:1], 50) is None
