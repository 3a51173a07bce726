"""Draws: simple random samples that anybody can draw again, recorded once, and by rate the same sample as the data grow."""

from pathlib import Path

import numpy as np
import pytest

from labeling.certify.audit import AUDITS, basis_of, draw, judge_of, keys_digest, number_of, read_draws, sample_for
from labeling.certify.thresholds import Promise
from labeling.errors import BadConfiguration, DamagedStore
from labeling.objects import Objects
from labeling.review.items import ItemKey
from labeling.store.snapshots import read_verdicts
from tests.labeling.certify.conftest import PER_VIDEO, published, with_verdicts


def risks_of(count: int) -> list[float]:
    return [round(float(value), 6) for value in np.random.default_rng(1).random(count)]


def test_a_draw_is_recorded_with_all_that_it_was_drawn_by(objects: Objects, tmp_path: Path) -> None:
    risks = risks_of(100)
    snapshot = with_verdicts(objects, published(objects, tmp_path, 20), risks, accept=0.5)
    made = draw(objects, snapshot, count=30, seed=7)
    assert [made] == list(read_draws(objects))
    assert (made.name, made.of, made.mode) == ("d000001", "all", "count")
    assert (made.population, made.inclusion, made.seed) == (100, 0.3, 7)
    assert len(made.thresholds) == 50
    assert set(made.thresholds) <= set(risks)
    rows = read_verdicts(objects, snapshot).to_pylist()
    keys = {ItemKey(row["video_id"], row["track_id"], row["label_version"]): row for row in rows}
    smallest = sorted(keys, key=lambda key: number_of(key, 7))[:30]
    assert [masklet.key for masklet in made.masklets] == smallest
    assert all(masklet.risk == keys[masklet.key]["risk"] for masklet in made.masklets)
    assert made.population_sha256 == keys_digest(reversed(list(keys)))


def test_every_masklet_is_drawn_as_often_as_any_other() -> None:
    keys = [ItemKey(f"{n:016x}", "1", 1) for n in range(40)]
    drawn = np.zeros(40)
    for seed in range(2_000):
        smallest = sorted(range(40), key=lambda n: number_of(keys[n], seed))[:10]
        drawn[smallest] += 1
    # Four standard deviations of a count of 2,000 at one in four.
    assert np.abs(drawn / 2_000 - 0.25).max() < 4 * (0.25 * 0.75 / 2_000) ** 0.5


def test_a_lot_is_drawn_of_what_is_accepted(objects: Objects, tmp_path: Path) -> None:
    snapshot = with_verdicts(objects, published(objects, tmp_path, 4), risks_of(20), accept=0.5)
    made = draw(objects, snapshot, promise=Promise.LOT, count=100)
    assert made.population == len(made.masklets) == snapshot.counts["accept"]
    assert all(masklet.accepted for masklet in made.masklets)
    assert made.inclusion == 1.0


def test_by_rate_what_a_later_run_adds_joins_the_sample(objects: Objects, tmp_path: Path) -> None:
    first = published(objects, tmp_path, 20)
    one = draw(objects, first, rate=0.4)
    later = published(objects, tmp_path, 20, run_id="later", first=20)
    two = draw(objects, later, rate=0.4)
    assert (two.seed, two.thresholds) == (one.seed, one.thresholds)
    drawn = {m.key for made in (one, two) for m in made.masklets}
    assert len(drawn) == len(one.masklets) + len(two.masklets)
    rows = read_verdicts(objects, later).to_pylist()
    keys = [ItemKey(row["video_id"], row["track_id"], row["label_version"]) for row in rows]
    assert drawn == {key for key in keys if number_of(key, one.seed) < 0.4}
    assert len(keys) == 40 * PER_VIDEO
    assert sample_for(objects, Promise.WHOLE, basis_of(objects, later)) == [one, two]
    # Nothing new is drawn of what is the same.
    assert draw(objects, later, rate=0.4).masklets == ()
    assert len(list(read_draws(objects))) == 2


def test_draws_by_count_are_not_mixed(objects: Objects, tmp_path: Path) -> None:
    snapshot = published(objects, tmp_path, 4)
    draw(objects, snapshot, count=5)
    newest = draw(objects, snapshot, count=5)
    assert newest.name == "d000002"
    basis = basis_of(objects, snapshot)
    assert sample_for(objects, Promise.ACCEPTED, basis) == [newest]
    assert sample_for(objects, Promise.LOT, basis) == []


def test_a_basis_names_weights_tracker_source_and_judge(objects: Objects, tmp_path: Path) -> None:
    snapshot = published(objects, tmp_path, 1)
    basis = basis_of(objects, snapshot)
    assert basis.weights == ("untrained",)
    assert basis.trackers == ("sam2.1_nano, samurai, fp32, 256, forward, 1",)
    assert basis.sources == ("s3://videos",)
    verdicts = read_verdicts(objects, snapshot)
    assert basis.judge == judge_of(verdicts, snapshot.qc)
    other = judge_of(verdicts, {"rules": [{"signal": "frozen"}]})
    assert other != basis.judge
    assert basis.differs_from(type(basis)(basis.weights, basis.trackers, basis.sources, other)) == ("the judge",)


@pytest.mark.parametrize("asked", [{}, {"count": 3, "rate": 0.5}, {"count": 0}, {"rate": 1.5}, {"rate": 0.0}])
def test_a_draw_is_by_count_or_by_rate(objects: Objects, tmp_path: Path, asked: dict[str, float]) -> None:
    with pytest.raises(BadConfiguration, match=r"count|rate"):
        draw(objects, published(objects, tmp_path, 1), **asked)


def test_a_damaged_record_is_named(objects: Objects, tmp_path: Path) -> None:
    draw(objects, published(objects, tmp_path, 1), count=2)
    objects.put(f"{AUDITS}d000001.json", b'{"name": "d000001"}')
    with pytest.raises(DamagedStore, match=r"d000001\.json is damaged"):
        list(read_draws(objects))
