import numpy as np
import pytest
from scipy.special import expit

from labeling.qc.calibration import calibrated, stacked


def drawn(num_tracks, seed, curve):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 2, num_tracks)
    return score, rng.random(num_tracks) < curve(score)


def error_of(table, seed, curve):
    """Mean distance of the risk from the truth, over new tracks."""
    score, _ = drawn(4000, seed, curve)
    return float(np.abs(table.risk(score) - curve(score)).mean())


@pytest.mark.parametrize(
    ("num_tracks", "curve", "most"),
    [
        (200, lambda s: expit(s), 0.05),
        (200, lambda s: expit(0.6 * s - 1.5), 0.05),
        (3000, lambda s: np.where(s > 1, 0.9, 0.1), 0.07),
        (3000, lambda s: expit(s), 0.02),
    ],
)
def test_risk_is_the_share_of_bad_tracks(num_tracks, curve, most):
    errors = [error_of(calibrated(*drawn(num_tracks, seed, curve)), 100 + seed, curve) for seed in range(5)]
    assert np.mean(errors) < most


def test_tracks_that_were_seldom_looked_at_count_for_more():
    score, bad = drawn(4000, 0, expit)
    # All the doubted ones were reviewed, of the others one in ten.
    looked_at = (score > 0) | (np.random.default_rng(1).random(4000) < 0.1)
    weight = np.where(score > 0, 1.0, 10.0)[looked_at]
    table = calibrated(score[looked_at], bad[looked_at], weight)
    assert error_of(table, 2, expit) < 0.04


@pytest.mark.parametrize("bad", [np.zeros(60, bool), np.ones(60, bool)])
def test_audits_that_found_nothing_promise_nothing_certain(bad):
    table = calibrated(np.linspace(-2, 2, 60), bad)
    assert (table.risk_K > 0).all()
    assert (table.risk_K < 1).all()
    assert abs(table.risk(np.zeros(1))[0] - bad.mean()) < 0.2


def test_no_track_is_refused():
    with pytest.raises(ValueError, match="a score and a truth for every track"):
        calibrated(np.zeros(0), np.zeros(0, bool))


def test_heads_that_say_nothing_count_for_little_and_none_for_less_than_nothing():
    rng = np.random.default_rng(1)
    score, bad = drawn(2000, 0, expit)
    heads = np.stack([score, rng.normal(0, 1, 2000), rng.normal(0, 1, 2000) - score], axis=1)
    weights = stacked(heads, bad, np.ones(2000))
    assert weights[0] > 0.5
    assert weights[1] < 0.15
    assert weights[2] == 0
