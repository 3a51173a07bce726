"""Labelled clips by name, and what a store accepted as clips."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.learn.config import DataConfig
from flows.learn.data import MOST_STILLS, open_source, read_stills
from labeling import rle
from labeling.config import QCConfig
from labeling.errors import BadConfiguration, Unavailable
from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.objects import open_objects
from labeling.qc.signals import SignalMeter
from labeling.store.publish import publish
from labeling.store.records import TrackRow
from labeling.store.writer import BatchWriter
from labeling.types import FrameMask, Prompt, Provenance, ReviewDecision
from sam2.training.batches import Batches
from tests.fixtures_clips import drawn_frame, write_clip
from tests.sam2.training.layouts import write_davis, write_sav_pictures

RATE = Fraction(12)
PROVENANCE = Provenance("sam2.1_nano", "ab" * 32, "samurai", "fp32", 256, "cpu", -1.0, "forward", 1, "0.1", "r1", "2025-01-01")


def block(left: int) -> np.ndarray:
    mask = np.zeros((48, 64), bool)
    mask[8:24, left : left + 16] = True
    return mask


def frame_mask(frame_idx: int, mask: np.ndarray) -> FrameMask:
    runs = rle.encode(mask)
    return FrameMask(frame_idx, float(frame_idx / RATE), runs, int(mask.sum()), rle.box_xywh(runs), 0.75, 5.0)


def write_tracks(root: Path, path: Path, tracks: Mapping[int, Mapping[int, np.ndarray]]) -> str:
    """Write one video's masks as a job does; return its id."""
    ref = ref_of(str(path))
    video = probe(ref, path)
    rows, objects = [], open_objects(str(root))
    with BatchWriter(objects, run_id="r1", video=video, batch=ref.video_id, scratch=root.parent / "scratch") as writer:
        for object_id, masks in tracks.items():
            meter, key = SignalMeter(video.size_hw, RATE, -1.0), f"{object_id:064x}"
            for frame_idx, mask in masks.items():
                one = frame_mask(frame_idx, mask)
                writer.add(object_id, 1, key, one)
                meter.add(one)
            prompt = Prompt(object_id, min(masks), box_xyxy=(1.0, 1.0, 9.0, 9.0))
            rows.append(TrackRow(object_id, 1, key, None, (prompt,), meter.signals(), PROVENANCE))
        writer.finish(rows)
    return ref.video_id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store and its clips: of a.mp4 object 1 is on even frames from 2 on, object 2 on frames 4 to 8 and rejected by a
    person, object 3 as 1 but away on frame 2; of b.mp4 object 1 was accepted by a person."""
    folder = tmp_path_factory.mktemp("stored")
    root, empty = folder / "store", np.zeros((48, 64), bool)
    first, second = write_clip(folder / "a.mp4", num_frames=12), write_clip(folder / "b.mp4", num_frames=4)
    even = {t: block(2 * t) for t in range(2, 12, 2)}
    tracks = {1: even, 2: {t: block(0) for t in range(4, 9, 2)}, 3: {t: empty if t == 2 else block(40) for t in even}}
    a = write_tracks(root, first, tracks)
    b = write_tracks(root, second, {1: {t: block(t) for t in range(4)}})
    decisions = [
        ReviewDecision(a, "2", 1, "reject", "ann", "2025-01-02T00:00:00+00:00"),
        ReviewDecision(b, "1", 1, "accept", "ann", "2025-01-02T00:00:00+00:00"),
    ]
    publish(open_objects(str(root)), QCConfig("off", []), run_id="r1", decisions=decisions)
    return root, folder


def by_name(root: Path, name: str, num_frames: int, **how: object) -> object:
    source = open_source(DataConfig("store", str(root), **how), whole=True)
    return next(c for k in range(len(source)) if (c := source.clip(k, num_frames)).name.startswith(name))


def test_a_stores_accepted_masklets_are_clips(store: tuple[Path, Path]) -> None:
    clip = by_name(store[0], "a.mp4", 3)
    np.testing.assert_array_equal(clip.masks_NTHW, np.stack([block(2 * t) for t in (2, 4, 6)])[None])
    for frame, t in zip(clip.frames_THW3, (2, 4, 6), strict=True):
        assert np.abs(frame.astype(int) - drawn_frame(t, (48, 64))).mean() < 6
    later = open_source(DataConfig("store", str(store[0])))
    assert len(later) == 128
    two = next(c for k in range(2, 60) if len((c := later.clip(k, 2)).masks_NTHW) == 2)
    np.testing.assert_array_equal(two.masks_NTHW[1, 0], block(40))     # object 3 joins where it is seen; 2 never


def test_a_clip_keeps_objects_that_are_known_to_its_end(tmp_path: Path) -> None:
    root, video = tmp_path / "store", write_clip(tmp_path / "c.mp4", num_frames=8)
    write_tracks(root, video, {1: {t: block(0) for t in range(8)}, 2: {t: block(30) for t in range(3)}})
    publish(open_objects(str(root)), QCConfig("off", []), run_id="r1", decisions=[])
    assert by_name(root, "c.mp4", 3).masks_NTHW.shape[0] == 2
    assert by_name(root, "c.mp4", 4).masks_NTHW.shape[0] == 1


def test_reviewed_is_what_a_person_accepted(store: tuple[Path, Path]) -> None:
    source = open_source(DataConfig("store", str(store[0]), split="reviewed"), whole=True)
    assert [source.clip(k, 2).name for k in range(len(source))] == ["b.mp4 frame 0"]


def test_a_store_serves_training(store: tuple[Path, Path]) -> None:
    batch = Batches(open_source(DataConfig("store", str(store[0]), size_hw=[32, 32])), 0, 2, 2, 3, 32)[0]
    assert batch.masks_VOTSS.shape == (2, 2, 3, 32, 32)
    assert bool(batch.truth(0).flatten(1).any(1).all())


def test_a_video_that_changed_is_not_read(tmp_path: Path) -> None:
    root, video = tmp_path / "store", write_clip(tmp_path / "d.mp4", num_frames=4)
    write_tracks(root, video, {1: {t: block(0) for t in range(4)}})
    publish(open_objects(str(root)), QCConfig("off", []), run_id="r1", decisions=[])
    write_clip(video, num_frames=5)
    with pytest.raises(Unavailable, match="changed since the listing"):
        by_name(root, "d.mp4", 2)


def test_drawn_clips_have_numbers_without_end_and_stills(tmp_path: Path) -> None:
    source = open_source(DataConfig("scenes", first=7))
    assert len(source) == 2**31 - 7
    assert source.clip(2, 1).name == "scene 9"
    assert source.clip(2, 1).frames_THW3.shape == (1, 256, 256, 3)
    for k in range(3):
        Image.new("RGB", (900, 300), (k, 9, 9)).save(tmp_path / f"{k}.png")
    stills = open_source(DataConfig("scenes", count=5, stills=str(tmp_path), size_hw=[64, 96])).stills
    assert [(one.shape, int(one[0, 0, 0])) for one in stills] == [((171, 512, 3), k) for k in range(3)]
    assert len(open_source(DataConfig("solids", count=5))) == 5
    assert open_source(DataConfig("solids", count=5, size_hw=[64, 96])).clip(0, 1).frames_THW3.shape == (1, 64, 96, 3)
    alike = open_source(DataConfig("lookalikes", first=4, count=5, size_hw=[64, 96]))
    assert (len(alike), alike.clip(1, 1).name) == (5, "look-alike scene 5")


def test_folders_are_read_in_their_layout(tmp_path: Path) -> None:
    write_davis(tmp_path / "davis", {"bear": [True, True]})
    write_sav_pictures(tmp_path / "sav", "one")
    davis = open_source(DataConfig("davis", str(tmp_path / "davis")), whole=True)
    assert (len(davis), davis.clip(0, 9).name) == (1, "bear frame 0")
    sav = open_source(DataConfig("sav", str(tmp_path / "sav"), size_hw=[32, 40]))
    assert sav.clip(0, 2).masks_NTHW.shape == (1, 2, 32, 40)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (DataConfig("coco"), "data.name is 'coco'; expected one of scenes, solids, lookalikes, davis, sav, store"),
        (DataConfig("davis"), "data=davis reads files: give data.root"),
        (DataConfig("sav", "/no/such"), "data.root is '/no/such'; expected a folder"),
        (DataConfig("davis", "{tmp}"), "data=davis: .* has no folder Annotations"),
        (DataConfig("store", "{tmp}"), "data=store: .* has no snapshot"),
        (DataConfig("store", "{tmp}", split="train"), "split is 'train'; expected reviewed"),
        (DataConfig("scenes", size_hw=[64]), r"data.size_hw is \[64\]; expected \[height, width\]"),
        (DataConfig("scenes", first=-1), "data.first is -1"), (DataConfig("solids", count=0), "data.count 0"),
        (DataConfig("scenes", stills="{tmp}"), "expected a folder that holds pictures"),
    ],
    ids=lambda v: v.name if isinstance(v, DataConfig) else "",
)
def test_bad_configurations_say_what_was_expected(tmp_path: Path, config: DataConfig, said: str) -> None:
    config.root = config.root.replace("{tmp}", str(tmp_path))
    config.stills = config.stills and config.stills.replace("{tmp}", str(tmp_path))
    with pytest.raises(BadConfiguration, match=said):
        open_source(config)


def test_a_broken_still_is_named_and_too_many_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(3):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / f"{k}.png")
    assert MOST_STILLS >= 100
    monkeypatch.setattr("flows.learn.data.MOST_STILLS", 2)
    assert len(read_stills(str(tmp_path))) == 2
    (tmp_path / "0.png").write_bytes(b"")
    with pytest.raises(BadConfiguration, match=r"0.png cannot be read as a picture"):
        read_stills(str(tmp_path))
