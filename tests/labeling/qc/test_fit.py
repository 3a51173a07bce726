import sys
from dataclasses import replace

import numpy as np
import pytest

from labeling.errors import BadConfiguration
from labeling.qc.fit import SIGNS, fit_judge, folds_of, thresholds
from labeling.qc.rules import SIGNALS
from tests.labeling.qc.made_judges import KINDS, QUICK, fitted, known_tracks, made_judge

NAMED = {"name": "own", "model": "sam2.1_tiny", "weights": [], "facts": {}, "shape": QUICK}


def test_signs_are_of_signals():
    assert set(SIGNS) <= set(SIGNALS)
    assert set(SIGNS.values()) == {-1, 0, 1}


def test_a_judge_has_a_head_for_each_failure_and_fits_twice_the_same():
    names = [head.name for head in made_judge().heads]
    assert names.count("bad") == 4
    assert set(names) == {"bad", *KINDS}
    again = fit_judge(known_tracks(0), **NAMED)
    assert again.document["trees"] == fitted().document["trees"]
    assert again.document["calibration"] == fitted().document["calibration"]


def test_what_is_said_out_of_fold_is_as_good_as_what_is_said_of_new_tracks():
    known, new = known_tracks(0), known_tracks(9, 1500)
    told = {"fold": (fitted().risk_R, known.bad_R), "new": (made_judge().assess(new.rows).risk_R, new.bad_R)}
    ranked = {name: (risk[bad][:, None] > risk[~bad][None]).mean() for name, (risk, bad) in told.items()}
    assert abs(ranked["fold"] - ranked["new"]) < 0.05


def test_novelty_takes_its_share_of_the_queue():
    judge, known = made_judge(), known_tracks(0)
    novel = (judge.assess(known.rows).novelty_R >= judge.usual.review_from) & (fitted().risk_R < judge.accept_below)
    doubted = fitted().risk_R >= judge.accept_below
    assert 0.1 <= novel.sum() / (novel.sum() + doubted.sum()) <= 0.2


def test_clips_stay_whole():
    clips = [f"clip-{n}" for n in np.random.default_rng(0).integers(0, 40, 300)]
    fold = folds_of(clips)
    assert all(len(set(fold[np.array(clips) == clip])) == 1 for clip in set(clips))
    assert np.bincount(fold).min() > 40


def test_thresholds_hold_the_error_and_reject_what_is_surely_useless():
    rng = np.random.default_rng(0)
    risk = rng.random(4000)
    j = np.where(rng.random(4000) < risk**2, np.where(risk > 0.95, 0.2, 0.6), 0.9)
    j[risk > 0.95] = 0.2
    accept_below, reject_from = thresholds(risk, j, np.ones(4000))
    assert (j[risk < accept_below] < 0.75).mean() == pytest.approx(0.05, abs=0.005)
    assert 0.94 < reject_from < 0.96
    assert thresholds(risk, np.full(4000, 0.6), np.ones(4000)) == (0.0, 1.01)
    assert thresholds(risk, np.full(4000, 0.9), np.ones(4000))[0] > 0.99


def test_too_few_tracks_are_named():
    known = known_tracks(0, 45)
    with pytest.raises(BadConfiguration, match=r"\d+ good and \d+ bad tracks of 15 clips; expected 25 of each, of 10 clips"):
        fit_judge(known, **NAMED)
    with pytest.raises(ValueError, match="one entry each for every track"):
        replace(known, clips=["one"])


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(BadConfiguration, match=r"pip install samurai-labeling\[judge\]"):
        fit_judge(known_tracks(0), **NAMED)
