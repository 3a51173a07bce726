"""The ledger knows what is done from one compact file and the markers since."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from labeling.config import QCConfig
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Job
from labeling.objects import FolderObjects
from labeling.store.ledger import components_of, ledger_of, read_ledger, read_markers
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.schemas import LEDGER, NewerStore
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of, write_job


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "store")


def labelled(store: FolderObjects, tmp_path: Path, *keys: str, run_id: str = "run-1", x0: float = 2) -> list[Job]:
    table = PromptTable({key: (box_prompt(1, x0), box_prompt(2)) for key in keys})
    jobs = make_plan([ref_of(key) for key in keys], table, read_ledger(store), RECIPE, run_id).jobs
    for job in jobs:
        write_job(store, job, tmp_path / "scratch", measured=False)
    return list(jobs)


def row(video_id: str, object_id: int, label_version: int, key: str, batch: str = "b") -> dict:
    return {
        "video_id": video_id, "object_id": object_id, "label_version": label_version, "key": key, "batch": batch,
        "run_id": "r", "written_at": "now", "components": "{}",
    }


def test_an_empty_root_holds_nothing(store: FolderObjects) -> None:
    ledger = read_ledger(store)
    assert (len(ledger), ledger.markers, ledger.snapshot, ledger.version_of("v", 1)) == (0, (), None, 0)
    assert not ledger.covers("v", 1, "k")


def test_the_highest_version_counts(store: FolderObjects) -> None:
    rows = [row("v", 1, 2, "new"), row("v", 1, 1, "old"), row("v", 10, 1, "old"), row("w", 1, 1, "old")]
    ledger = ledger_of(pa.Table.from_pylist(rows, schema=LEDGER))
    assert (ledger.version_of("v", 1), ledger.version_of("v", 10), ledger.version_of("v", 2)) == (2, 1, 0)
    assert ledger.covers("v", 1, "new")
    assert not ledger.covers("v", 1, "old")
    assert ledger.holds("v", 1, "old")
    assert not ledger.holds("w", 1, "new")
    assert ledger.videos() == {"v", "w"}


def test_a_withdrawn_result_is_not_the_newest_and_its_version_stays_taken() -> None:
    rows = [row("v", 1, 1, "old"), row("v", 1, 2, "bad", "b2") | {"withdrawn": True}, row("v", 2, 1, "k") | {"withdrawn": True}]
    ledger = ledger_of(pa.Table.from_pylist(rows, schema=LEDGER))
    assert (ledger.covers("v", 1, "old"), ledger.covers("v", 1, "bad"), ledger.newest("v", 2)) == (True, False, None)
    assert (ledger.version_of("v", 1), ledger.version_of("v", 2), ledger.holds("v", 1, "bad")) == (2, 1, True)
    assert ledger.batch_for("v", {1: "bad"}) != ledger.batch_for("w", {1: "bad"})


def test_markers_then_the_compact_file_say_the_same(store: FolderObjects, tmp_path: Path) -> None:
    labelled(store, tmp_path, "a.mp4", "b.mp4")
    waiting = read_ledger(store)
    assert (len(waiting), len(waiting.markers)) == (4, 2)
    publish(store, QCConfig(), run_id="run-1")
    taken = read_ledger(store)
    assert (len(taken), taken.markers, list(store.list("ledger/pending/"))) == (4, (), [])
    assert waiting.table.sort_by([("video_id", "ascending"), ("object_id", "ascending")]).equals(taken.table)


def test_a_marker_that_a_snapshot_took_in_counts_once(store: FolderObjects, tmp_path: Path) -> None:
    labelled(store, tmp_path, "a.mp4")
    (marker,) = store.list("ledger/pending/")
    body = store.get(marker.key)
    publish(store, QCConfig(), run_id="run-1")
    store.put(marker.key, body)
    assert len(read_ledger(store)) == 2


def test_a_marker_taken_in_while_the_ledger_is_read_is_not_missed(store: FolderObjects, tmp_path: Path) -> None:
    (job,) = labelled(store, tmp_path, "a.mp4")

    class PublishedMeanwhile(FolderObjects):
        """Another publisher takes the marker in between its listing and its reading."""

        def get(self, key: str) -> bytes:
            if key.startswith("ledger/pending/"):
                publish(store, QCConfig(), run_id="other")
            return super().get(key)

    ledger = read_ledger(PublishedMeanwhile(store.root))
    assert (ledger.markers, ledger.covers(job.video.video_id, 1, job.keys[1])) == ((), True)


def test_a_second_run_sees_an_unpublished_first(store: FolderObjects, tmp_path: Path) -> None:
    labelled(store, tmp_path, "a.mp4", run_id="killed")
    assert labelled(store, tmp_path, "a.mp4", run_id="next") == []
    (job,) = labelled(store, tmp_path, "a.mp4", run_id="third", x0=9)
    assert job.label_versions == {1: 2}


def test_components_are_kept_through_the_compact_file(store: FolderObjects, tmp_path: Path) -> None:
    (job,) = labelled(store, tmp_path, "a.mp4")
    publish(store, QCConfig(), run_id="run-1")
    done = read_ledger(store).newest(job.video.video_id, 2)
    assert done is not None
    assert components_of(done) == job.components[2]


def test_a_broken_marker_and_a_newer_one_are_named(store: FolderObjects, tmp_path: Path) -> None:
    labelled(store, tmp_path, "a.mp4")
    (marker,) = store.list("ledger/pending/")
    said = json.loads(store.get(marker.key))
    store.put(marker.key, json.dumps(said | {"storage_version": 99, "written_by": "samurai-labeling 9.9"}).encode())
    with pytest.raises(NewerStore, match="samurai-labeling 9.9"):
        list(read_markers(store))
    store.put(marker.key, b'{"storage_version": 1, "written_by": ""}')
    ((), (bad,)) = read_markers(store)
    assert (bad.object_key, bad.problem) == (marker.key, "it lacks 'video_id'")
