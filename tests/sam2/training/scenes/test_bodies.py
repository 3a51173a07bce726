"""Outlines live, close, and stay near the unit that bodies are measured in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2.training.scenes import bodies
from sam2.training.scenes.bodies import draw_outline
from sam2.training.scenes.scene import SKIN_REACH


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), time=st.floats(-5, 100))
def test_outlines_are_finite_polygons_that_begin_with_something_filled(seed: int, time: float) -> None:
    contours = draw_outline(np.random.default_rng(seed))(time)
    assert contours[0].filled
    for xy_P2, _ in contours:
        assert xy_P2.ndim == 2
        assert xy_P2.shape[1] == 2
        assert len(xy_P2) >= 3
        assert np.isfinite(xy_P2).all()
        assert np.ptp(xy_P2, axis=0).min() > 0.01


def test_same_generator_same_outline() -> None:
    one, other = draw_outline(np.random.default_rng(5)), draw_outline(np.random.default_rng(5))
    for mine, its in zip(one(3.5), other(3.5), strict=True):
        np.testing.assert_array_equal(mine.xy_P2, its.xy_P2)


def test_some_outlines_change_with_time_and_some_do_not() -> None:
    changes = []
    for seed in range(60):
        outline = draw_outline(np.random.default_rng(seed))
        changes.append(max(float(np.abs(a.xy_P2 - b.xy_P2).max()) for a, b in zip(outline(0), outline(7), strict=True)))
    assert 10 < sum(change == 0 for change in changes) < 40
    assert sum(change > 0.05 for change in changes) > 15


def test_skins_reach_over_nearly_all_outlines() -> None:
    """Beyond its reach a skin repeats in the mirror: no harm, but it should be rare."""
    far = [max(float(np.abs(c.xy_P2).max()) for c in draw_outline(np.random.default_rng(seed))(0)) for seed in range(200)]
    assert np.mean(np.array(far) > SKIN_REACH) < 0.15
    assert np.median(far) == pytest.approx(1.2, abs=0.5)


def test_every_kind_has_its_share() -> None:
    assert len(bodies.KINDS) == len(bodies.SHARES)
    assert sum(bodies.SHARES) == pytest.approx(1)


def test_a_ring_has_a_hole_within_it() -> None:
    body, hole = bodies._ring(np.random.default_rng(3), 0.1)(2.0)
    assert body.filled
    assert not hole.filled
    assert np.ptp(hole.xy_P2, axis=0).max() < np.ptp(body.xy_P2, axis=0).max()
