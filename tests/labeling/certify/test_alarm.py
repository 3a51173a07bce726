"""The alarm: worked by hand for a few audits, silent while the promise holds, and off soon after it is broken."""

import numpy as np
import pytest

from labeling.certify.alarm import RISES, watch


def test_evidence_is_the_weighted_mean_of_likelihood_ratios() -> None:
    expected = sum(w * (r * 0.02 / 0.02) * ((1 - r * 0.02) / 0.98) ** 2 for r, w in RISES.items())
    found = watch([False, True, False], 0.02)
    assert found.evidence == pytest.approx(expected)
    assert (found.num_audits, found.num_bad, found.is_raised) == (3, 1, False)
    assert sum(RISES.values()) == pytest.approx(1)


def test_a_row_of_bad_ones_raises_it_and_it_stays_raised() -> None:
    found = watch([True] * 3 + [False] * 5_000, 0.05)
    assert found.raised_at == 3
    assert found.is_raised
    assert found.evidence < found.limit


def test_no_evidence_overflows() -> None:
    assert watch([True] * 5_000, 0.05).evidence > 1e200
    assert watch([], 0.05).evidence == pytest.approx(1.0)


def test_it_is_seldom_raised_while_the_promise_holds() -> None:
    rng = np.random.default_rng(2)
    raised = [watch(rng.random(1_000) < 0.05, 0.05).is_raised for _ in range(200)]
    assert np.mean(raised) <= 0.09


def test_bounds_are_checked() -> None:
    with pytest.raises(ValueError, match=r"error, confidence are 0, 0\.95"):
        watch([], 0)
