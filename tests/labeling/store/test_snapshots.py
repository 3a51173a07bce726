"""Snapshots by number and name; a newer project's is refused with the version that reads it."""

import json
from pathlib import Path

import pytest

from labeling.config import QCConfig
from labeling.objects import FolderObjects
from labeling.store.layout import check_run_id, data_file, snapshot_version
from labeling.store.publish import publish
from labeling.store.schemas import NewerStore
from labeling.store.snapshots import list_versions, newest_snapshot, read_snapshot


def test_versions_are_found_by_number_and_name_and_strangers_are_not(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path)
    assert newest_snapshot(store) is None
    first = publish(store, QCConfig("one"), run_id="a")
    second = publish(store, QCConfig("two"), run_id="b")
    store.put("snapshots/v000009.json.bak", b"x")
    store.put("snapshots/v000009/files.parquet", b"staged by a publisher that was killed")
    assert list_versions(store) == [1, 2]
    assert read_snapshot(store) == newest_snapshot(store) == second == read_snapshot(store, "v000002")
    assert read_snapshot(store, 1) == first == read_snapshot(store, "1")
    assert (second.parent, second.qc["name"], first.parent) == (1, "two", None)


def test_a_newer_snapshot_says_what_reads_it(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path)
    publish(store, QCConfig(), run_id="a")
    said = json.loads(store.get("snapshots/v000001.json"))
    newer = said | {"storage_version": 99, "written_by": "samurai-labeling 9.0", "unheard_of": 1}
    store.put("snapshots/v000001.json", json.dumps(newer).encode())
    with pytest.raises(NewerStore, match=r"Install samurai-labeling 9\.0"):
        read_snapshot(store)


def test_the_layout() -> None:
    assert data_file("masks", "ab" + "0" * 14, "f" * 16) == f"masks/bucket=ab/ab{'0' * 14}-{'f' * 16}.parquet"
    assert snapshot_version("snapshots/v1234567.json") == 1234567
    assert snapshot_version("snapshots/v000001/files.parquet") is None
    for bad in ("", "../x", "a/b", ".hidden"):
        with pytest.raises(ValueError, match="run_id"):
            check_run_id(bad)
