import sys
from dataclasses import replace

import numpy as np
import pytest

from labeling.errors import BadConfiguration
from labeling.qc.fit import SIGNS, fit_judge, folds_of, least_rejected, most_accepted, recalibrated
from labeling.qc.judge_json import judge_from_json, to_json
from labeling.qc.rules import SIGNALS
from tests.labeling.qc.made_judges import KINDS, QUICK, fitted, known_tracks, made_judge

NAMED = {"name": "own", "model": "sam2.1_tiny", "weights": [], "facts": {}, "boost": QUICK}


def test_signs_are_of_signals():
    assert set(SIGNS) <= set(SIGNALS)
    assert set(SIGNS.values()) == {-1, 1}


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
    # In a set of which one in five is bad.
    weight = np.where(known.bad_R, 0.2 / known.bad_R.mean(), 0.8 / (1 - known.bad_R.mean()))
    assert 0.1 <= weight[novel].sum() / weight[novel | doubted].sum() <= 0.2


def test_clips_stay_whole():
    clips = [f"clip-{n}" for n in np.random.default_rng(0).integers(0, 40, 300)]
    fold = folds_of(clips)
    assert all(len(set(fold[np.array(clips) == clip])) == 1 for clip in set(clips))
    assert np.bincount(fold).min() > 40


def test_thresholds_hold_the_error_and_reject_what_is_surely_useless():
    rng = np.random.default_rng(0)
    risk = rng.random(4000)
    even, bad, useless = np.ones(4000), rng.random(4000) < risk**2, risk > 0.95
    accept_below = most_accepted(risk, bad, even)
    assert bad[risk < accept_below].mean() == pytest.approx(0.05, abs=0.005)
    assert 0.94 < least_rejected(risk, useless, even) < 0.96
    assert most_accepted(risk, ~bad, even) == 0.0
    assert most_accepted(risk, np.zeros(4000, bool), even) > 0.99
    assert least_rejected(risk, np.zeros(4000, bool), even) > 1
    assert least_rejected(risk, risk > 0.5, even) == 0.9


def test_audits_of_other_footage_move_the_risk_and_leave_the_trees():
    """There one in ten tracks is bad, whatever the signals of the good ones looked like before."""
    judge, other = made_judge(), known_tracks(11, 3000)
    rare = ~other.bad_R | (np.random.default_rng(0).random(3000) < 0.1)
    at = np.flatnonzero(rare)
    rows, bad = [other.rows[r] for r in at], other.bad_R[at]
    again = judge_from_json(
        to_json(recalibrated(judge, rows[:250], bad[:250], np.ones(250), name="audited", facts={})), "the audited judge"
    )
    gaps = [abs(one.assess(rows[250:]).risk_R.mean() - bad[250:].mean()) for one in (again, judge)]
    assert gaps[0] < 0.04 < gaps[1]
    assert again.trees.plain() == judge.trees.plain()
    accepted = again.assess(rows[250:]).risk_R < again.accept_below
    assert accepted.mean() > 0.5
    assert bad[250:][accepted].mean() < 0.08
    with pytest.raises(BadConfiguration, match="49 masklets were judged by people; expected 50"):
        recalibrated(judge, rows[:49], bad[:49], np.ones(49), name="audited", facts={})


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
