"""Splits: groups stay on one side, additions move nothing, categories are spread."""

import shutil
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from labeling.export.splits import (
    SHARES,
    SplitVideo,
    alike,
    assign,
    grouped,
    hashes_of,
    picture_hash,
    read_splits,
    split_snapshot,
    write_splits,
)
from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.objects import open_objects
from labeling.store.snapshots import Snapshot, read_snapshot


def videos_of(count: int, first: int = 0) -> list[SplitVideo]:
    """Every tenth video has the rare category."""
    return [
        SplitVideo(f"{i:016x}", f"day{i % 7}/v{i}.mp4", {"rare": 1, "car": 2} if i % 10 == 0 else {"car": 2})
        for i in range(first, first + count)
    ]


def test_each_side_gets_its_share_of_every_category() -> None:
    videos = videos_of(400)
    sides = assign(videos, grouped(videos))
    counted = Counter(sides.values())
    rare = Counter(sides[video.video_id] for video in videos if "rare" in video.categories)
    for side, share in SHARES.items():
        assert counted[side] == pytest.approx(400 * share, abs=4)
        assert rare[side] == pytest.approx(40 * share, abs=1)


def test_additions_move_nothing_and_are_spread_too() -> None:
    old = videos_of(200)
    before = assign(old, grouped(old))
    videos = old + videos_of(200, first=200)
    sides = assign(videos, grouped(videos), before=before)
    assert {name: sides[name] for name in before} == before
    assert Counter(sides.values())["val"] == pytest.approx(40, abs=4)
    # The order in which videos are given does not matter.
    assert assign(videos[::-1], grouped(videos[::-1]), before=before) == sides


def test_a_prefix_stays_on_one_side() -> None:
    videos = videos_of(140)
    groups = grouped(videos, prefix_parts=1)
    assert len(set(groups.values())) == 7
    sides = assign(videos, groups)
    by_prefix = {(video.key.split("/")[0], sides[video.video_id]) for video in videos}
    assert len(by_prefix) == 7


def test_a_copy_with_noise_and_other_size_is_alike_and_another_video_is_not() -> None:
    random = np.random.default_rng(7)
    grid = random.random((10, 12))
    picture = np.kron(grid, np.ones((24, 20))) * 200
    smaller = picture[::2, ::2] + random.normal(0, 4, (120, 120))
    other = np.kron(random.random((10, 12)), np.ones((24, 20))) * 200
    first, copy, strange = ((picture_hash(p),) * 3 for p in (picture, smaller, other))
    assert alike(first, copy)
    assert not alike(first, strange)
    videos = [SplitVideo(f"{i:016x}", f"{i}.mp4", {"car": 1}, hashes) for i, hashes in enumerate((first, strange, copy))]
    groups = grouped(videos)
    assert groups[videos[0].video_id] == groups[videos[2].video_id] != groups[videos[1].video_id]


def write_textured(path: Path, seed: int, *, scale: int = 20, crf: int = 20) -> tuple[int, ...]:
    """A video of a texture that drifts; returns its hashes."""
    grid = np.random.default_rng(seed).random((9, 16)) * 200 + 20
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=12, options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = 9 * scale, 16 * scale, "yuv420p"
        for index in range(12):
            grey = np.roll(np.kron(grid, np.ones((scale, scale))), index * scale // 10, axis=1).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.stack([grey] * 3, axis=2), format="rgb24")))
        out.mux(stream.encode(None))
    return hashes_of(probe(ref_of(str(path)), path), path.parent)


def test_videos_are_known_again_when_they_are_encoded_anew(tmp_path: Path) -> None:
    first = write_textured(tmp_path / "a.mp4", 1)
    copy = write_textured(tmp_path / "b.mp4", 1, scale=10, crf=35)
    other = write_textured(tmp_path / "c.mp4", 2)
    assert len(first) == 5
    assert alike(first, copy)
    assert not alike(first, other)


@pytest.mark.parametrize("shares", [{"train": 0.5}, {"train": 1.2, "val": -0.2}, {}])
def test_shares_must_add_up(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        assign(videos_of(3), grouped(videos_of(3)), shares=shares)


def test_the_table_is_read_back_and_serves_later_snapshots(tmp_path: Path, labelled) -> None:  # type: ignore[no-untyped-def]
    snapshot = read_snapshot(open_objects(labelled.root))
    objects = open_objects(str(tmp_path))
    assert isinstance(snapshot, Snapshot)
    assert read_splits(objects, snapshot) == {}
    rows = [{"video_id": "00" * 8, "key": "a.mp4", "group": "a.mp4", "split": "val"}]
    write_splits(objects, snapshot, rows)
    assert read_splits(objects, snapshot) == {"00" * 8: "val"}


def test_a_snapshot_is_split_once_and_keeps_its_sides(labelled, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    objects = open_objects(shutil.copytree(labelled.root, tmp_path / "store"))
    snapshot = read_snapshot(objects)
    shares = {"train": 0.5, "val": 0.5}
    sides = split_snapshot(objects, snapshot, shares=shares, look=False, scratch=tmp_path)
    assert len(sides) == 3
    assert set(sides.values()) == {"train", "val"}
    assert read_splits(objects, snapshot) == sides
    assert split_snapshot(objects, snapshot, shares=shares, look=False, seed=9, scratch=tmp_path) == sides
    assert split_snapshot(objects, snapshot, shares=shares, look=False, prefix_parts=1, scratch=tmp_path).keys() == sides.keys()
