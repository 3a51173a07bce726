"""A snapshot's masklets come back as they were written, filtered, by the row groups they need."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store import read_masklets, read_snapshot
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.reader import bounds_of, groups_of, read_mask_rows
from labeling.store.snapshots import read_tracks
from tests.labeling.store.made_store import RECIPE, box_prompt, mask_of, provenance_of, ref_of, video_of, write_job

STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderObjects:
    folder = tmp_path_factory.mktemp("reader")
    objects = FolderObjects(folder / "store")
    table = PromptTable({"sub/a.mp4": (box_prompt(1, category="cat"), box_prompt(10)), "b.mp4": (box_prompt(1),)})
    refs = [ref_of(key) for key in table.by_video]
    good, lost = make_plan(refs, table, read_ledger(objects), RECIPE, "run-1").jobs
    write_job(objects, good, folder / "scratch", num_frames=300)
    write_job(objects, lost, folder / "scratch", lost_after=3)
    publish(objects, STRICT, run_id="run-1")
    return objects


def found(store: FolderObjects, **asked) -> list[tuple[str, str]]:
    return [(m.video.ref.key, m.track_id) for m in read_masklets(store, **asked)]


def test_a_masklet_comes_back_as_it_was_written(store: FolderObjects) -> None:
    (read,) = read_masklets(store.root, video="b.mp4")
    expected = tuple(mask_of(1, i, empty=i >= 3) for i in range(6))
    assert read.frames == expected
    assert read.video == video_of(ref_of("b.mp4"))
    masklet = read.masklet
    assert (masklet.video_id, masklet.object_id, masklet.label_version) == (ref_of("b.mp4").video_id, 1, 1)
    assert (masklet.prompts, masklet.provenance) == ((box_prompt(1),), provenance_of("run-1"))
    assert read.signals.values["visible_share"] == 0.5
    assert read.signals.spans["visible_share"] == (3, 6)
    assert (read.verdict.decision, read.reasons(), read.masks_NHW) == ("review", ("object_lost",), None)


def test_filters(store: FolderObjects) -> None:
    every = found(store)
    assert sorted(every) == [("b.mp4", "1"), ("sub/a.mp4", "1"), ("sub/a.mp4", "10")]
    assert every == sorted(every, key=lambda m: (ref_of(m[0]).video_id, int(m[1])))
    a = [("sub/a.mp4", "1"), ("sub/a.mp4", "10")]
    for name in ("sub/a.mp4", ref_of("sub/a.mp4").video_id, ref_of("sub/a.mp4").uri):
        assert found(store, video=name) == a
    assert found(store, video="a.mp4") == []
    assert found(store, verdict="review") == found(store, reason="object_lost") == [("b.mp4", "1")]
    assert found(store, verdict=["accept", "reject"]) == a
    assert found(store, reason="swap") == []
    assert found(store, track=10) == found(store, track="10") == [("sub/a.mp4", "10")]
    assert found(store, snapshot=1) == found(store, snapshot="v000001") == found(store, snapshot=read_snapshot(store)) == every


def test_dense_masks_are_the_run_lengths_decoded(store: FolderObjects) -> None:
    (read,) = read_masklets(store, video="b.mp4", dense=True)
    assert read.masks_NHW.shape == (6, 24, 32)
    assert read.masks_NHW.sum(axis=(1, 2)).tolist() == [64, 64, 64, 0, 0, 0]
    assert np.flatnonzero(read.masks_NHW[1].any(axis=0)).tolist() == list(range(4, 12))


def test_a_span_of_frames(store: FolderObjects) -> None:
    (read,) = read_masklets(store, video="sub/a.mp4", track=10, frame_span=(250, 260))
    assert [f.frame_idx for f in read.frames] == list(range(250, 260))


def test_row_groups_of_other_tracks_and_frames_are_skipped(store: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = read_snapshot(store)
    row = next(t for t in read_tracks(store, snapshot).to_pylist() if t["track_id"] == "10")
    path = next(Path(store.root).glob(f"masks/*/{row['video_id']}-*.parquet"))
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 4
    bounds, video_id = bounds_of(metadata), row["video_id"]
    assert len(groups_of(bounds, video_id, "10")) == len(groups_of(bounds, video_id, "1")) == 2
    assert groups_of(bounds, video_id, "7") == groups_of(bounds, "0" * 16, "1") == []
    asked: list[list[int]] = []
    read_row_groups = pq.ParquetFile.read_row_groups

    def noted(self, groups, **how):
        asked.append(groups)
        return read_row_groups(self, groups, **how)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    assert len(read_mask_rows(store, row, (270, 280))) == 10
    assert [len(groups) for groups in asked] == [1]
    assert len(read_mask_rows(store, row, (5000, 5010))) == 0


def test_what_is_not_there_is_said(store: FolderObjects, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="v000001"):
        list(read_masklets(store, snapshot=7))
    with pytest.raises(ValueError, match="expected a number or a name"):
        list(read_masklets(store, snapshot="latest"))
    with pytest.raises(ValueError, match="no snapshot"):
        list(read_masklets(str(tmp_path / "empty")))
    with pytest.raises(ValueError, match="accept, review, reject"):
        list(read_masklets(store, verdict="good"))
