"""Going back is a new snapshot that is equal; nothing is deleted, and what differs from it is due again."""

import time
from dataclasses import asdict
from pathlib import Path

import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.errors import BadConfiguration
from labeling.objects import FolderObjects, Objects, open_objects
from labeling.store.commit import restore
from labeling.store.ledger import read_ledger
from labeling.store.publish import publish
from labeling.store.snapshots import list_versions, read_contents, read_snapshot, verify_files
from labeling.store.versions.compact import CompactLimits, compact
from labeling.store.versions.vacuum import Retention, plan_vacuum, vacuum
from tests.labeling.store.made_store import box_prompt, label, rows_by_duckdb, told

ONE, TWO = QCConfig("one"), QCConfig("two", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])
GOOD = {"a.mp4": (box_prompt(1), box_prompt(2)), "b.mp4": (box_prompt(1),)}
BAD = {"a.mp4": (box_prompt(1, 9.0), box_prompt(2)), "b.mp4": (box_prompt(1),), "c.mp4": (box_prompt(1),)}


def made(store: Objects, scratch: Path) -> None:
    """A good version, and one in which an object was labelled badly, another video came and other rules judged."""
    label(store, scratch, GOOD, run_id="good", num_frames=3)
    publish(store, ONE, run_id="good")
    label(store, scratch, BAD, run_id="bad", lost_after=1)
    publish(store, TWO, run_id="bad")


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_the_old_version_is_the_newest_again(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path / "store") if place == "folder" else f"{request.getfixturevalue('s3')}/labels"
    store = open_objects(root)
    made(store, tmp_path / "s")
    first, before = read_snapshot(store, 1), {stat.key: store.get(stat.key) for stat in store.list()}
    done = restore(store, "v000001", run_id="back")
    assert (done.version, done.parent, done.note, list_versions(store)) == (3, 2, "restored from v000001", [1, 2, 3])
    was, now = read_contents(store, first), read_contents(store, done)
    for table in ("files", "tracks", "videos", "verdicts"):
        assert getattr(now, table).equals(getattr(was, table))
    assert (done.counts, done.qc) == (first.counts, first.qc)
    assert told(store) == told(store, 1) != told(store, 2)
    assert {key: store.get(key) for key in before} == before
    assert restore(store, 3, run_id="again") == done
    if place == "folder":
        rows = rows_by_duckdb(tmp_path / "store", "v000003")
        assert rows == rows_by_duckdb(tmp_path / "store", "v000001")
        assert len(rows) == 9
    with pytest.raises(ValueError, match="v000003"):
        restore(store, 9, run_id="back")


def test_what_differs_is_due_again_under_names_that_were_never_used(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s")
    restore(store, 1, run_id="back")
    before = {stat.key: store.get(stat.key) for stat in store.list("masks/")}
    assert label(store, tmp_path / "s", GOOD, run_id="next") == []
    assert publish(store, ONE, run_id="next").version == 3
    jobs = {job.video.key: dict(job.label_versions) for job in label(store, tmp_path / "s", BAD, run_id="next", num_frames=3)}
    assert jobs == {"a.mp4": {1: 3}, "c.mp4": {1: 2}}
    assert publish(store, ONE, run_id="next").counts["tracks"] == 4
    assert {key: store.get(key) for key in before} == before
    assert len(list(store.list("masks/"))) == len(before) + 2
    for version in list_versions(store):
        assert list(verify_files(store, read_snapshot(store, version))) == []
    # Forward again: what was withdrawn stands once more.
    second = restore(store, 2, run_id="forth")
    ledger = read_ledger(store)
    assert second.counts == read_snapshot(store, 2).counts
    assert label(store, tmp_path / "s", BAD, run_id="next") == []
    assert ledger.version_of(told(store)[0][0].video_id, 1) >= 2


def test_results_that_no_snapshot_has_are_published_first(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s")
    label(store, tmp_path / "s", {"late.mp4": (box_prompt(1),)})
    with pytest.raises(BadConfiguration, match="1 results that no snapshot has"):
        restore(store, 1, run_id="back")
    publish(store, TWO, run_id="late")
    assert restore(store, 1, run_id="back").counts["tracks"] == 3


def test_back_over_a_packed_version_and_a_vacuum(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s")
    good = told(store, 1)
    compact(store, run_id="pack", scratch=tmp_path / "s", limits=CompactLimits(min_files=2))
    done = restore(store, 1, run_id="back")
    kept = Retention(keep_last=1, keep_days=0, min_age_hours=0)
    vacuum(store, plan_vacuum(store, kept, now=time.time() + 10))
    assert list_versions(store) == [done.version]
    assert told(store) == good
    assert list(verify_files(store, done)) == []
    assert len(rows_by_duckdb(tmp_path / "store", done.name)) == 9
    assert asdict(read_snapshot(store))["note"] == "restored from v000001"
