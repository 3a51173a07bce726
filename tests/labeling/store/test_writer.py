"""What a batch leaves: row groups by track, one PUT for each file, the marker last, nothing in scratch."""

import json
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labeling.errors import BadInput
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Job
from labeling.objects import FolderObjects
from labeling.store import layout
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.writer import GROUP_ROWS, BatchWriter
from labeling.types import RLE, FrameMask
from tests.labeling.store.made_store import RECIPE, box_prompt, mask_of, ref_of, track_row, video_of, write_job


class Recorder(FolderObjects):
    """A folder that notes what is put, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.puts: list[str] = []

    def put(self, key: str, body: bytes) -> str:
        self.puts.append(key)
        return super().put(key, body)

    def put_file(self, key: str, path: Path) -> str:
        self.puts.append(key)
        return super().put_file(key, path)


@pytest.fixture
def store(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "store")


def job_for(objects: FolderObjects, *object_ids: int) -> Job:
    table = PromptTable({"a.mp4": tuple(box_prompt(o) for o in object_ids)})
    (job,) = make_plan([ref_of("a.mp4")], table, read_ledger(objects), RECIPE, "run-1").jobs
    return job


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def writer_of(objects: FolderObjects, job: Job, scratch: Path, num_frames: int = 6) -> BatchWriter:
    video = video_of(job.video, num_frames)
    return BatchWriter(objects, run_id=job.run_id, video=video, batch=job.batch, scratch=scratch)


def test_a_row_group_is_one_track_s_next_256_frames(store: Recorder, tmp_path: Path) -> None:
    job = job_for(store, 1, 2)
    written = write_job(store, job, tmp_path / "scratch", num_frames=600, measured=False)
    assert written.num_masks == 1200
    with pq.ParquetFile(tmp_path / "store" / written.files[0]) as masks:
        assert masks.metadata.row_group(0).column(6).compression == "ZSTD"
        groups = [masks.read_row_group(i) for i in range(masks.num_row_groups)]
    for group in groups:
        frames = group["frame_idx"].to_pylist()
        assert len(set(group["track_id"].to_pylist())) == 1
        assert frames == list(range(frames[0], frames[0] + len(frames)))
    assert sorted(len(g) for g in groups) == [88, 88, 256, 256, 256, 256]


def test_the_marker_comes_last_and_says_what_was_put(store: Recorder, tmp_path: Path) -> None:
    job = job_for(store, 1, 2)
    written = write_job(store, job, tmp_path / "scratch")
    assert store.puts == list(written.files)
    assert store.puts[-1] == layout.marker("run-1", job.video.video_id, job.batch)
    marker = json.loads(store.get(store.puts[-1]))
    assert {o["object_id"]: o["key"] for o in marker["objects"]} == dict(job.keys)
    assert [f["rows"] for f in marker["files"]] == [12, 2, 1]
    assert all(store.stat(f["file"]).num_bytes == f["num_bytes"] for f in marker["files"])


def test_scratch_is_empty_afterwards_whatever_happens(store: Recorder, tmp_path: Path) -> None:
    job, scratch = job_for(store, 1), tmp_path / "scratch"

    def fail_after_a_frame(job: Job) -> None:
        with writer_of(store, job, scratch) as writer:
            writer.add(2, 1, job.keys[2], mask_of(2, 0))
            assert len(files_in(scratch)) == 1
            raise BadInput("frame 1 cannot be decoded", "decode_error")

    write_job(store, job, scratch)
    assert files_in(scratch) == []
    again = job_for(store, 1, 2)
    before = len(store.puts)
    with pytest.raises(BadInput, match="cannot be decoded"):
        fail_after_a_frame(again)
    assert files_in(scratch) == []
    assert len(store.puts) == before


def test_a_retry_overwrites_its_own_files(store: Recorder, tmp_path: Path) -> None:
    job = job_for(store, 1, 2)
    first = write_job(store, job, tmp_path / "scratch")
    sizes = {f: store.get(f) for f in first.files[:1]}
    second = write_job(store, job, tmp_path / "scratch")
    assert first == second
    assert {f: store.get(f) for f in second.files[:1]} == sizes
    assert sum(1 for _ in store.list("masks/")) == 1


def test_rows_that_cannot_be_are_refused(store: Recorder, tmp_path: Path) -> None:
    job = job_for(store, 1, 2)
    with writer_of(store, job, tmp_path) as writer:
        writer.add(1, 1, job.keys[1], mask_of(1, 3))
        with pytest.raises(ValueError, match="frame 3 after 3"):
            writer.add(1, 1, job.keys[1], mask_of(1, 3))
        with pytest.raises(ValueError, match="label_version 2"):
            writer.add(1, 2, job.keys[1], mask_of(1, 4))
        with pytest.raises(ValueError, match="expected each object once"):
            writer.finish([])
    with pytest.raises(ValueError, match="16 hex digits"):
        BatchWriter(store, run_id="r", video=video_of(job.video), batch="../../x", scratch=tmp_path)
    with pytest.raises(ValueError, match="run_id"):
        BatchWriter(store, run_id="../r", video=video_of(job.video), batch="0" * 16, scratch=tmp_path)
    assert store.puts == []


def test_an_object_without_a_mask_has_a_track_all_the_same(store: Recorder, tmp_path: Path) -> None:
    from labeling.qc.signals import SignalMeter

    job = job_for(store, 1)
    meter = SignalMeter((24, 32), 30.0, 0.0)
    with writer_of(store, job, tmp_path / "scratch") as writer:
        assert writer.finish([track_row(job, 1, meter)]).num_masks == 0
    assert read_ledger(store).covers(job.video.video_id, 1, job.keys[1])


def test_a_long_video_is_not_held(store: Recorder, tmp_path: Path) -> None:
    job, plain = job_for(store, 1), mask_of(1, 0)

    def long_mask(frame_idx: int) -> FrameMask:
        return replace(plain, frame_idx=frame_idx, rle=RLE((24, 32), f"{frame_idx:05}" * 1000))

    group_bytes = GROUP_ROWS * sys.getsizeof(long_mask(0).rle.counts)
    with writer_of(store, job, tmp_path / "scratch", 4 * GROUP_ROWS) as writer:
        tracemalloc.start()
        try:
            for frame_idx in range(4 * GROUP_ROWS):
                writer.add(1, 1, job.keys[1], long_mask(frame_idx))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert group_bytes < peak < 2 * group_bytes
