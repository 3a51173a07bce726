"""From draws and answers to a certificate, on stores whose truth is known; a lot's bound covers the truth."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from labeling.certify.audit import Draw, draw, number_of
from labeling.certify.bounds import Sensitivity, most_bad_in_lot
from labeling.certify.certificate import accepted_in
from labeling.certify.examine import Answers, alarm_since, examine
from labeling.certify.thresholds import Promise, Terms
from labeling.errors import BadConfiguration
from labeling.objects import Objects
from labeling.review.audits import AuditAnswer
from labeling.review.items import ItemKey
from labeling.store import layout
from labeling.store.snapshots import Snapshot, read_verdicts
from tests.labeling.certify.conftest import made_already, with_verdicts

NOON = datetime(2030, 3, 1, 12, 0, tzinfo=UTC)


def store_with(objects: Objects, num_videos: int, *, base: float, accept: float = 1.0) -> tuple[Snapshot, set[ItemKey]]:
    """A store of masklets of which a share is bad, riskier than the good ones; returns the bad ones too."""
    rng = np.random.default_rng(11)
    before = made_already(objects, num_videos)
    rows = read_verdicts(objects, before).to_pylist()
    bad = rng.random(len(rows)) < base
    risks = np.clip(np.where(bad, 0.75, 0.25) + 0.17 * rng.standard_normal(len(rows)), 0, 1)
    keys = [ItemKey(row["video_id"], row["track_id"], row["label_version"]) for row in rows]
    snapshot = with_verdicts(objects, before, [float(risk) for risk in risks], accept=accept)
    return snapshot, {key for key, wrong in zip(keys, bad, strict=True) if wrong}


def answered(made: Draw, bad: Collection[ItemKey], *, skipping: int = 0) -> Answers:
    """A reviewer who sees every bad one, twelve seconds each; the last `skipping` are left without an answer."""
    keys = [masklet.key for masklet in made.masklets]
    return {
        key: AuditAnswer(key in bad, "ada", NOON + timedelta(seconds=12 * n), 12.0)
        for n, key in enumerate(keys[: len(keys) - skipping])
    }


def test_a_lot_of_300_masklets_is_certified_and_the_bound_covers_its_truth(objects: Objects) -> None:
    snapshot, bad = store_with(objects, 80, base=0.1, accept=0.5)
    lot = accepted_in(objects, snapshot)
    assert len(lot) >= 300
    made = draw(objects, snapshot, promise=Promise.LOT, count=150, seed=3)
    found = examine(objects, snapshot, Terms(Promise.LOT), answered(made, bad), dataset="made")
    certificate = found.certificate
    assert certificate is not None
    assert (certificate.audits, certificate.accepted, certificate.unanswered) == (150, len(lot), 0)
    assert certificate.reviewers == {"ada": 150}
    assert len(bad & lot) <= certificate.most_bad <= 0.05 * len(lot)
    assert f"At most 5 % of the {len(lot)} accepted masklets" in certificate.sentence


def test_the_lots_bound_covers_the_truth_in_1000_repeats_over_one_store(objects: Objects) -> None:
    """The draws are those of other seeds, made as `draw` makes them; the truth is the store's own."""
    snapshot, bad = store_with(objects, 70, base=0.1, accept=0.6)
    lot = sorted(accepted_in(objects, snapshot))
    wrong = np.array([key in bad for key in lot])
    assert wrong.sum() >= 5
    covered = []
    for seed in range(1_000):
        numbers = np.array([number_of(key, seed) for key in lot])
        found = int(wrong[np.argsort(numbers)[:100]].sum())
        covered.append(most_bad_in_lot(found, 100, len(lot), 0.05) >= wrong.sum())
    assert np.mean(covered) >= 0.94


def test_the_whole_is_certified_up_to_a_threshold_of_the_draw(objects: Objects) -> None:
    snapshot, bad = store_with(objects, 70, base=0.1)
    made = draw(objects, snapshot, count=300, seed=5)
    found = examine(objects, snapshot, Terms(Promise.WHOLE), answered(made, bad), dataset="made")
    certificate = found.certificate
    assert certificate is not None
    assert certificate.threshold in made.thresholds
    rows = read_verdicts(objects, snapshot).to_pylist()
    below = {ItemKey(r["video_id"], r["track_id"], r["label_version"]) for r in rows if r["risk"] <= certificate.threshold}
    assert certificate.accepted == len(below) > 0.8 * len(rows)
    assert len(below & bad) <= 0.05 * len(rows)
    assert certificate.bound <= 0.05
    assert (found.seconds_each, found.missing) == (12.0, 0)


def test_what_nobody_answered_counts_as_bad_and_is_said_to_wait(objects: Objects) -> None:
    snapshot, bad = store_with(objects, 70, base=0.02)
    made = draw(objects, snapshot, count=100, seed=5)
    some = examine(objects, snapshot, Terms(Promise.WHOLE), answered(made, bad, skipping=3), dataset="made")
    assert some.finding.num_audits == 100
    assert some.waiting == some.missing == 3
    none = examine(objects, snapshot, Terms(Promise.ACCEPTED), {}, dataset="made")
    assert (none.certificate, none.waiting, none.seconds_each) == (None, 100, None)


def test_too_few_audits_accept_nothing_and_say_how_many_are_missing(objects: Objects) -> None:
    snapshot, bad = store_with(objects, 20, base=0.0)
    made = draw(objects, snapshot, count=40)
    found = examine(objects, snapshot, Terms(Promise.WHOLE), answered(made, bad), dataset="made")
    assert (found.certificate, found.missing) == (None, 19)
    blank = examine(objects, snapshot, Terms(Promise.LOT), {}, dataset="made")
    assert (blank.certificate, blank.drawn, blank.draws) == (None, 0, ())


def test_answers_with_risk_in_sight_are_told_apart(objects: Objects) -> None:
    snapshot, bad = store_with(objects, 70, base=0.1)
    made = draw(objects, snapshot, count=300, seed=5)
    answers = dict(answered(made, bad))
    before = [masklet.key for masklet in made.masklets[:7]]
    answers |= {key: replace(answers[key], blind=False) for key in before}
    certificate = examine(objects, snapshot, Terms(Promise.WHOLE), answers, dataset="made").certificate
    assert certificate is not None
    assert (certificate.sighted, certificate.reviewers) == (7, {"ada": 300})


def test_reviewers_who_miss_some_are_told_in_the_certificate(objects: Objects) -> None:
    snapshot, bad = store_with(objects, 70, base=0.1)
    made = draw(objects, snapshot, count=300, seed=5)
    sharp, dull = Sensitivity(), Sensitivity(48, 60)
    found = [
        examine(objects, snapshot, Terms(Promise.WHOLE, sensitivity=seen), answered(made, bad), dataset="made").certificate
        for seen in (sharp, dull)
    ]
    assert None not in found
    assert found[0].threshold > found[1].threshold
    assert found[1].sensitivity["lower"] == pytest.approx(Terms(Promise.WHOLE, sensitivity=dull).seen, abs=1e-6)


def test_a_lot_whose_snapshot_is_gone_must_be_drawn_again(objects: Objects) -> None:
    first = made_already(objects, 4)
    draw(objects, first, promise=Promise.LOT, count=10)
    later = with_verdicts(objects, first, [0.1] * 20)
    objects.delete(layout.snapshot(first.version))
    with pytest.raises(BadConfiguration, match="draw again"):
        examine(objects, later, Terms(Promise.LOT), {}, dataset="made")


def test_the_alarm_follows_what_is_drawn_after_the_certificate(objects: Objects) -> None:
    snapshot, bad = store_with(objects, 70, base=0.05)
    made = draw(objects, snapshot, count=300, seed=5)
    certificate = examine(objects, snapshot, Terms(Promise.WHOLE), answered(made, bad), dataset="made").certificate
    assert certificate is not None
    quiet = alarm_since(objects, certificate, answered(made, bad))
    assert (quiet.num_audits, quiet.is_raised) == (0, False)
    again = draw(objects, snapshot, count=100, seed=6)
    keys = [masklet.key for masklet in again.masklets]
    good, every_third = answered(again, set()), answered(again, set(keys[::3]))
    assert alarm_since(objects, certificate, good).num_audits == 100
    assert not alarm_since(objects, certificate, good).is_raised
    assert alarm_since(objects, certificate, every_third).is_raised
