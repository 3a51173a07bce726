from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from labeling.config import QCConfig, RuleConfig
from labeling.errors import BadConfiguration
from labeling.qc.reasons import REASONS
from labeling.qc.rules import SIGNALS, checked_rules, judge
from labeling.types import Decision
from tests.labeling.qc.made_tracks import CLEAN, FAILURES, drift, plain, signals_of, silent_drift

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "qc"
SEEDS = range(4)


@cache
def shipped(name):
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(QCConfig), OmegaConf.load(CONFIGS / f"{name}.yaml")))


DEFAULT = shipped("default")


def judged(values, *rules, spans=None):
    return judge("v" * 16, "7", 3, values, spans or {}, (0, 60), QCConfig("own", list(rules)))


def verdict_on(track, qc):
    signals = signals_of(track)
    return judge("v" * 16, "7", 1, signals.values, signals.spans, (0, 60), qc)


@pytest.mark.parametrize("kind", CLEAN.values(), ids=CLEAN)
def test_clean_tracks_are_accepted(kind):
    verdicts = [verdict_on(kind(np.random.default_rng(seed)), DEFAULT) for seed in SEEDS]
    assert {v.decision for v in verdicts} == {Decision.ACCEPT}, [v.flags for v in verdicts]
    assert {v.risk for v in verdicts} == {0.0}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.__name__)
def test_failures_are_flagged_with_a_fitting_reason(failure):
    found = Counter()
    for seed in SEEDS:
        track = plain(np.random.default_rng(seed))
        failure(track)
        reasons = {flag.reason for flag in verdict_on(track, DEFAULT).flags}
        found["fitting" if reasons & FAILURES[failure] else "other" if reasons else "nothing"] += 1
    # Drift is seen by the scores alone, and not always; a few of the others are mild.
    assert found["fitting"] >= (1 if failure is drift else len(SEEDS) - 1), found


def test_drift_of_a_tracker_that_is_sure_of_itself_is_not_found():
    """Written down so that whoever mends it is told by this test."""
    track = plain(np.random.default_rng(0))
    silent_drift(track)
    assert verdict_on(track, DEFAULT).decision is Decision.ACCEPT


def test_a_masklet_that_is_never_visible_is_rejected():
    track = plain(np.random.default_rng(0))
    track.masks[:] = False
    track.object_score[:] = -8
    verdict = verdict_on(track, DEFAULT)
    assert verdict.decision is Decision.REJECT
    assert verdict.flags[0].reason == "object_lost"
    assert verdict.flags[0].frame_span == (0, 60)
    assert verdict_on(track, shipped("off")).decision is Decision.ACCEPT


def test_shipped_rule_sets_are_sound():
    for name in ("default", "strict", "off"):
        assert shipped(name).name == name
        assert len(checked_rules(shipped(name))) == len(shipped(name).rules)
    assert shipped("off").rules == []
    bounds = {(r.signal, r.reason): r for r in checked_rules(shipped("strict"))}
    for rule in checked_rules(DEFAULT):
        tighter = bounds[rule.signal, rule.reason]
        for ours, theirs in ((rule.review, tighter.review), (rule.reject, tighter.reject)):
            assert ours is None or theirs is None or rule.past(ours, theirs) >= 0, rule.signal
    used = {r.reason for name in ("default", "strict") for r in shipped(name).rules}
    # `unusual` is the fitted judge's.
    assert used == set(REASONS) - {"unusual"}


def test_flags_tell_where_and_by_how_much_and_the_worst_leads():
    rules = [
        RuleConfig("tail_loss", "late_loss", "at_most", 0.1, 0.9),
        RuleConfig("object_score_median", "low_object_score", "at_least", 2.0, 0.0),
        RuleConfig("area_median", "too_small", "at_least", 25, None),
    ]
    verdict = judged(
        {"tail_loss": 0.5, "object_score_median": -3.0, "area_median": 900.0}, *rules, spans={"tail_loss": (30, 60)}
    )
    first, second = verdict.flags
    assert (verdict.video_id, verdict.track_id, verdict.label_version) == ("v" * 16, "7", 3)
    assert verdict.decision is first.decision is Decision.REJECT
    assert (first.reason, first.signal, first.value, first.threshold) == ("low_object_score", "object_score_median", -3.0, 0.0)
    assert first.frame_span == (0, 60)
    assert (second.reason, second.threshold, second.decision) == ("late_loss", 0.1, Decision.REVIEW)
    assert second.frame_span == (30, 60)
    assert 0.8 <= verdict.risk <= 1.0


def test_risks_of_rules_are_on_one_scale():
    """Measured shares of bad masklets: two tracks on one object rank above a slight dip of predicted IoU."""
    twin = RuleConfig("containment", "duplicate", "at_most", 0.8, None, [0.5, 0.9], 1.0)
    dip = RuleConfig("predicted_iou_softmin", "low_predicted_iou", "at_least", 0.7, 0.3, [0.4, 0.95])
    assert judged({"containment": 1.0, "predicted_iou_softmin": 0.9}, twin, dip).risk == pytest.approx(0.9)
    assert judged({"containment": 0.9}, twin).risk == pytest.approx(0.7)
    assert judged({"predicted_iou_softmin": 0.69}, dip).risk == pytest.approx(0.41, abs=0.01)
    assert judged({"predicted_iou_softmin": 0.3}, dip).risk == pytest.approx(0.95)
    refused = judged({"predicted_iou_softmin": 0.2}, dip)
    assert refused.decision is Decision.REJECT
    assert 0.95 < refused.risk < 1


def test_a_bound_itself_is_kept_and_null_never_flags():
    rule = RuleConfig("tail_loss", "late_loss", "at_most", 0.1, 0.9)
    assert judged({"tail_loss": 0.1}, rule).decision is Decision.ACCEPT
    assert judged({"tail_loss": None}, rule).flags == ()
    assert judged({"tail_loss": float("nan")}, rule).flags == ()
    assert judged({}, rule).risk == 0.0


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["at_most", "at_least"]),
    st.floats(-10, 10),
    st.none() | st.floats(0, 10),
    st.booleans(),
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
)
def test_a_worse_value_never_has_a_lower_risk(bound, review, way, only_reject, pair):
    sign = 1 if bound == "at_most" else -1
    reject = None if way is None else review + sign * way
    rule = RuleConfig("area_step", "leak", bound, None if only_reject and reject is not None else review, reject)
    better, worse = sorted(pair) if sign == 1 else sorted(pair, reverse=True)
    low, high = judged({"area_step": better}, rule), judged({"area_step": worse}, rule)
    assert 0.0 <= low.risk <= high.risk <= 1.0
    order = [Decision.ACCEPT, Decision.REVIEW, Decision.REJECT]
    assert order.index(low.decision) <= order.index(high.decision)
    assert (high.risk > 0) == bool(high.flags)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(SIGNALS), st.floats(-100, 100)), st.sampled_from(SIGNALS), st.floats(0, 50))
def test_risk_of_the_whole_set_is_monotone_in_each_signal(values, signal, more):
    qc = DEFAULT
    ways = {rule.upward for rule in checked_rules(qc) if rule.signal == signal}
    if len(ways) != 1 or signal not in values:
        return
    worse = values | {signal: values[signal] + (more if ways.pop() else -more)}
    first, second = (judge("v", "1", 1, v, {}, (0, 1), qc) for v in (values, worse))
    assert first.risk <= second.risk


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (RuleConfig("predicted_iou_softmn", "leak", "at_least", 0.5), r"signal 'predicted_iou_softmn'.*predicted_iou_softmin"),
        (RuleConfig("tail_loss", "lateloss", "at_most", 0.5), r"reason 'lateloss'.*late_loss"),
        (RuleConfig("tail_loss", "late_loss", "atmost", 0.5), r"bound 'atmost'.*at_most"),
        (RuleConfig("tail_loss", "late_loss", "at_most"), "neither review nor reject"),
        (RuleConfig("tail_loss", "late_loss", "at_most", float("nan")), "finite"),
        (RuleConfig("tail_loss", "late_loss", "at_most", 0.9, 0.1), "review <= reject"),
        (RuleConfig("area_median", "too_small", "at_least", 4, 25), "review >= reject"),
        (RuleConfig("tail_loss", "late_loss", "at_most", 0.5, None, [0.9, 0.5]), "near <= far"),
        (RuleConfig("tail_loss", "late_loss", "at_most", 0.5, None, [0.9]), r"risk \[0.9\]; expected \[near, far\]"),
        (RuleConfig("tail_loss", "late_loss", "at_most", 0.5, None, [0.5, 0.9], 0.4), "far_at 0.4; expected a value past"),
        (RuleConfig("zzz", "leak", "at_most", 0.5), "expected one of num_frames"),
    ],
)
def test_a_rule_that_is_none_is_named(rule, told):
    with pytest.raises(BadConfiguration, match=rf"qc.rules\[0\] of 'own'.*{told}"):
        judged({}, rule)
