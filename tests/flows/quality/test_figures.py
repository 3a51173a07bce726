import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from flows.quality.figures import auprc, auroc, brier, calibration_error, caught, good_accepted, over_clips
from labeling.qc.calibration import weights_for


def drawn(num_tracks=800, seed=0):
    rng = np.random.default_rng(seed)
    risk = np.round(rng.random(num_tracks), 2)
    return rng.random(num_tracks) < risk, risk


def test_ranks_are_those_of_scikit_learn_with_ties_and_weights():
    bad, risk = drawn()
    weight = np.random.default_rng(1).random(800)
    assert auroc(bad, risk) == pytest.approx(roc_auc_score(bad, risk))
    assert auroc(bad, risk, weight) == pytest.approx(roc_auc_score(bad, risk, sample_weight=weight))
    distinct = risk + np.random.default_rng(2).random(800) * 1e-3
    assert auprc(bad, distinct) == pytest.approx(average_precision_score(bad, distinct))
    assert brier(bad, risk) == pytest.approx(brier_score_loss(bad, risk))


def test_the_riskiest_fifth_and_what_is_accepted_by_hand():
    bad = np.array([True, True, False, False, False, False, True, False, False, False])
    risk = np.array([0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.1, 0.05, 0.04, 0.03])
    assert caught(bad, risk) == pytest.approx(2 / 3)
    # Four tracks share what is left of the riskiest half, and a quarter of them is bad.
    assert caught(bad, risk, part=0.5) == pytest.approx((2 + 2 / 4) / 3)
    assert good_accepted(bad, risk) == pytest.approx(3 / 7)
    assert good_accepted(bad, risk, error=0.13) == 1.0
    assert good_accepted(~bad, -risk * 0) == 0.0


def test_a_set_stands_for_one_with_another_share_of_bad_tracks():
    bad, risk = drawn()
    weight = weights_for(bad, 0.1)
    assert weight.mean() == pytest.approx(1)
    assert weight[bad].sum() / weight.sum() == pytest.approx(0.1)
    assert good_accepted(bad, risk, weight) > good_accepted(bad, risk)


def test_a_risk_that_means_what_it_says_has_little_error():
    bad, risk = drawn(8000)
    assert calibration_error(bad, risk) < 0.02
    assert calibration_error(bad, np.sqrt(risk)) > 0.1


def test_without_both_kinds_there_is_no_figure():
    risk = np.array([0.1, 0.2])
    for bad in (np.zeros(2, bool), np.ones(2, bool)):
        assert np.isnan(auroc(bad, risk))
    assert np.isnan(caught(np.zeros(2, bool), risk))
    assert np.isnan(auprc(np.zeros(2, bool), risk))
    assert np.isnan(good_accepted(np.ones(2, bool), risk))


def test_intervals_know_that_tracks_of_a_clip_go_together():
    bad, risk = drawn()
    alone = over_clips(auroc, [str(r) for r in range(800)], bad, risk)
    together = over_clips(auroc, [str(r // 8) for r in range(800)], np.repeat(bad[:100], 8), np.repeat(risk[:100], 8))
    assert alone[0] < auroc(bad, risk) < alone[1]
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])
