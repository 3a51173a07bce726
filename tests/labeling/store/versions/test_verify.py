"""Files that changed or went away are found by their checksums."""

from pathlib import Path

from labeling.config import QCConfig
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.versions.verify import verify_files
from tests.labeling.store.made_store import RECIPE, box_prompt, label, ref_of, write_job


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
