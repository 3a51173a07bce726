"""A store of version 2 becomes one in parts with the same rows, and goes on."""

from pathlib import Path

import pytest

from labeling.config import QCConfig
from labeling.errors import BadConfiguration
from labeling.objects import FolderObjects
from labeling.store import commit
from labeling.store.commit import restore
from labeling.store.publish import publish
from labeling.store.snapshots import list_versions, read_contents, read_snapshot
from labeling.store.versions import upgrade as upgrading
from labeling.store.versions.upgrade import upgrade
from tests.labeling.store.made_store import box_prompt, label, rows_by_duckdb, told

TABLE = {f"{name}.mp4": (box_prompt(1), box_prompt(2)) for name in "abcde"}


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderObjects:
    """Two versions in storage version 2; of one video the objects were labelled twice."""
    store = FolderObjects(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(commit, "NEW_STORES", 2)
        label(store, tmp_path / "s", TABLE)
        publish(store, QCConfig(), run_id="one")
        label(store, tmp_path / "s", {"a.mp4": (box_prompt(1, 9.0), box_prompt(2))}, num_frames=4)
        publish(store, QCConfig(), run_id="two")
    return store


@pytest.mark.parametrize("leaf_rows", [50_000, 1])
def test_the_same_rows_in_parts(old: FolderObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf_rows: int) -> None:
    monkeypatch.setattr(upgrading, "LEAF_ROWS", leaf_rows)
    before, masklets = read_snapshot(old), told(old)
    snapshot = upgrade(old, run_id="up")
    assert (snapshot.version, snapshot.storage_version, snapshot.parent) == (3, 3, 2)
    assert (snapshot.counts, snapshot.qc) == (before.counts, before.qc)
    was, now = read_contents(old, before), read_contents(old, snapshot)
    for table in ("files", "tracks", "videos", "verdicts"):
        assert getattr(now, table).equals(getattr(was, table))
    # Of the results the current ones are there; what they superseded is no row any more.
    assert len(now.ledger) == len(was.ledger) - 1 == 10
    assert told(old) == told(old, 2) == masklets
    assert len(rows_by_duckdb(Path(old.root), "v000003")) == len(rows_by_duckdb(Path(old.root), "v000002")) == 58
    assert upgrade(old, run_id="again") == snapshot


def test_what_was_done_stays_done_and_the_store_goes_on(old: FolderObjects, tmp_path: Path) -> None:
    upgrade(old, run_id="up")
    again = {**TABLE, "a.mp4": (box_prompt(1, 9.0), box_prompt(2))}
    assert label(old, tmp_path / "s", again) == []
    (job,) = label(old, tmp_path / "s", TABLE)
    assert job.label_versions == {1: 3}
    assert publish(old, QCConfig(), run_id="three").counts["tracks"] == 10
    back = restore(old, 1, run_id="back")
    assert (back.storage_version, told(old)) == (3, told(old, 1))
    assert list_versions(old) == [1, 2, 3, 4, 5]


def test_a_store_that_was_never_published_has_nothing_to_upgrade(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="no snapshot"):
        upgrade(FolderObjects(tmp_path / "store"), run_id="up")
