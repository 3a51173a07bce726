"""Snapshots by number and name; a newer project's is refused with the version that reads it."""

import json
from pathlib import Path

import pytest

from labeling.config import QCConfig
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store.layout import check_run_id, data_file, snapshot_version
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.schemas import NewerStore
from labeling.store.snapshots import list_versions, newest_snapshot, read_snapshot, verify_files
from tests.labeling.store.made_store import RECIPE, box_prompt, label, ref_of, write_job


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


def test_a_changed_file_and_a_lost_one_are_named(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    table = PromptTable({"a.mp4": (box_prompt(1),)})
    (job,) = make_plan([ref_of("a.mp4")], table, read_ledger(store), RECIPE, "run").jobs
    masks, tracks, videos, _ = write_job(store, job, tmp_path / "scratch").files
    snapshot = publish(store, QCConfig(), run_id="run")
    assert list(verify_files(store, snapshot)) == []
    store.put(masks, store.get(masks)[:-1] + b"?")
    store.delete(tracks)
    assert [(bad.file, bad.problem[:12]) for bad in verify_files(store, snapshot)] == [
        (masks, "its SHA-256 "), (tracks, "it is gone"),
    ]


def test_a_sample_of_some_bytes_is_another_one_each_time(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    label(store, tmp_path / "s", {f"{i}.mp4": (box_prompt(1),) for i in range(4)}, num_frames=1)
    snapshot = publish(store, QCConfig(), run_id="run")
    for stat in store.list("masks/"):
        store.delete(stat.key)
    assert len(list(verify_files(store, snapshot, at_most_bytes=1 << 30))) == 4
    # One file is read, and of the twelve a third is gone.
    samples = [[bad.file for bad in verify_files(store, snapshot, at_most_bytes=1, seed=f"{n}")] for n in range(30)]
    assert {len(found) for found in samples} == {0, 1}
    assert len({found[0] for found in samples if found}) > 1
    assert samples[0] == [bad.file for bad in verify_files(store, snapshot, at_most_bytes=1, seed="0")]
