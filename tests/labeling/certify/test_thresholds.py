"""Thresholds by fixed sequence: worked by hand on small audits, and one campaign in a hundred of the command's."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling.certify.bounds import Sensitivity, clopper_pearson_upper
from labeling.certify.thresholds import Promise, Terms, find_threshold, judge_lot, thresholds_of
from tests.bench.certificates import KINDS, Masklets, lines_of, read_truth, run_alarm, run_lot, run_rule, stored_truth


def test_thresholds_are_risks_that_there_are() -> None:
    risks = np.linspace(0, 1, 1001)
    thresholds = thresholds_of(risks)
    assert len(thresholds) == 50
    assert thresholds == tuple(sorted(thresholds))
    assert thresholds[-1] == 1.0
    assert set(thresholds) <= set(risks)
    assert thresholds_of([0.3, 0.3, 0.3]) == (0.3,)
    assert thresholds_of([]) == ()


def test_whole_goes_on_until_too_many_bad_ones_are_below() -> None:
    """Of 100 audits, risks 0 to .99: one bad one at .40, then one at .50; 93 are needed with one, 124 with two."""
    risks, bad = np.arange(100) / 100, np.zeros(100, dtype=bool)
    bad[[40, 50]] = True
    found = find_threshold(Terms(Promise.WHOLE), risks, bad, [0.1, 0.45, 0.49, 0.55, 0.9])
    assert (found.threshold, found.num_audits, found.num_below, found.num_bad) == (0.49, 100, 50, 1)
    assert found.bound == pytest.approx(clopper_pearson_upper(1, 100, 0.05))
    assert found.missing == 0


def test_accepted_begins_where_enough_are_below_and_counts_those_alone() -> None:
    risks, bad = np.arange(200) / 200, np.zeros(200, dtype=bool)
    bad[[5, 150, 151, 152, 153]] = True
    # 0.2 has 41 below and would fail: it is not tested. One bad one of 121 passes, three of 153 do not.
    found = find_threshold(Terms(Promise.ACCEPTED), risks, bad, [0.2, 0.6, 0.7, 0.76, 0.9])
    assert (found.threshold, found.num_below, found.num_bad) == (0.7, 141, 1)


def test_a_sequence_that_failed_does_not_go_on() -> None:
    risks, bad = np.arange(400) / 400, np.zeros(400, dtype=bool)
    bad[:12] = True
    found = find_threshold(Terms(Promise.ACCEPTED), risks, bad, [0.5, 0.99])
    assert found.threshold is None
    assert found.missing > 0


def test_too_few_audits_say_how_many_are_missing() -> None:
    few = find_threshold(Terms(Promise.WHOLE), [0.1] * 40, [False] * 40, [0.1, 0.5])
    assert (few.threshold, few.missing) == (None, 19)
    assert find_threshold(Terms(Promise.ACCEPTED), [0.1] * 40, [False] * 40, [0.1]).missing == 19
    assert find_threshold(Terms(Promise.WHOLE), [], [], []).missing == 59


def test_reviewers_who_miss_some_allow_fewer() -> None:
    sharp, dull = Terms(Promise.WHOLE), Terms(Promise.WHOLE, sensitivity=Sensitivity(96, 120))
    assert sharp.allowed == 0.05
    assert 0.05 * 0.69 < dull.allowed < 0.05 * 0.73
    assert (sharp.cleanest, dull.cleanest) == (59, 91)


def test_a_lot_is_kept_whole_or_not_at_all() -> None:
    terms = Terms(Promise.LOT)
    assert judge_lot(terms, 0, 54, 500).threshold == 1.0
    short = judge_lot(terms, 0, 50, 500)
    assert (short.threshold, short.missing) == (None, 4)
    assert judge_lot(terms, 0, 0, 0).threshold is None


def test_terms_are_checked_where_they_are_made() -> None:
    with pytest.raises(ValueError, match=r"error is 0\.9"):
        Terms(Promise.WHOLE, 0.9)
    with pytest.raises(ValueError, match=r"confidence is 1\.0"):
        Terms(Promise.WHOLE, 0.05, 1.0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_campaigns_keep_their_promise(kind) -> None:
    """One in a hundred of the command's: with 10 campaigns at 5 %, three that break are one in a hundred."""
    told = run_rule(kind, 10, 1, None)
    assert told["broken"] <= 0.2
    assert told["accepted"] > 0.5


def test_lots_and_alarms_of_the_campaigns() -> None:
    assert run_lot(200, 1)["covered"] >= 0.92
    assert run_lot(200, 1, seen=0.8, gold=120)["covered"] >= 0.92
    assert run_alarm(100, 1, 0.05, 500)["raised"] <= 0.12
    assert run_alarm(100, 1, 0.10, 2_000)["middle"] <= 170


def stored(tracks: int = 400) -> Masklets:
    rng = np.random.default_rng(0)
    bad = rng.random(tracks) < 0.5
    risk = np.clip(0.3 + 0.3 * bad + 0.1 * rng.standard_normal(tracks), 0, 1)
    return Masklets(risk, bad, np.arange(tracks) // 4)


def test_campaigns_can_be_drawn_from_stored_truth(tmp_path: Path) -> None:
    lines = lines_of(2, 1, stored())
    assert lines[0].startswith("400 tracks of 100 clips")
    assert any(line.startswith("S, 300 audits") for line in lines)
    assert any(line.startswith("lot") for line in lines)
    truth = stored()
    pq.write_table(pa.table({"risk": truth.risk, "j": np.where(truth.bad, 0.2, 0.9)}), tmp_path / "truth.parquet")
    assert read_truth(str(tmp_path / "truth.parquet")).bad.tolist() == truth.bad.tolist()


@pytest.mark.parametrize("per_video", [1, 5])
def test_stored_masklets_are_drawn_at_a_base_rate(per_video: int) -> None:
    drawn = stored_truth(stored(), np.random.default_rng(1), 20_000, base=0.1, per_video=per_video)
    assert len(drawn.risk) == len(drawn.video) == 20_000
    assert drawn.bad.mean() == pytest.approx(0.1, abs=0.01)
    # Whole clips: what is left of four, two of them bad.
    assert len(np.unique(drawn.video)) == (20_000 if per_video == 1 else pytest.approx(20_000 / 2.2, rel=0.15))


def test_videos_with_many_audits_make_the_promise_harder() -> None:
    rng = np.random.default_rng(4)
    videos = np.repeat(np.arange(30), 10)
    bad = np.isin(videos, [3, 7])
    risks = np.where(bad, 0.9, 0.1) + 0.01 * rng.random(300)
    alone = find_threshold(Terms(Promise.WHOLE), risks, bad, [0.11, 0.95])
    together = find_threshold(Terms(Promise.WHOLE), risks, bad, [0.11, 0.95], list(videos))
    assert (alone.threshold, together.threshold) == (0.11, None)
    assert together.effect == pytest.approx(10.0)
    assert together.missing == 590 - 300
