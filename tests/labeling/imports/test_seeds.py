"""From labels to prompts: names of videos are found in the source, numbers stay, boxes without identities are joined."""

from collections import Counter
from pathlib import Path

import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.labels import ForeignLabel, LabelFile
from labeling.imports.seeds import FORMATS, grouped, match_videos, read_labels, seeds_of
from labeling.track.association import AssociationRule
from labeling.types import Box

KEYS = ["cars/a.mp4", "cars/b.mp4", "night/b.mp4", "clip one.mov"]


def label(frame_idx: int, track: str | None, box: Box = (0, 0, 10, 10), video: str = "a", score: float = 0.9) -> ForeignLabel:
    return ForeignLabel(video, frame_idx, track, "car", f"line {frame_idx}", box, score=score)


def test_a_name_is_a_key_or_a_part_of_one_that_is_one_video_s() -> None:
    names = ["cars/a.mp4", "a", "a.mp4", "cars/b", "b", "clip_one", "cars_a", "c"]
    assert match_videos(names, KEYS) == {
        "cars/a.mp4": "cars/a.mp4", "a": "cars/a.mp4", "a.mp4": "cars/a.mp4", "cars/b": "cars/b.mp4",
        "clip_one": "clip one.mov", "cars_a": "cars/a.mp4",
    }


def test_numbers_of_tracks_stay_and_names_are_numbered() -> None:
    imported = grouped(LabelFile([label(3, "7"), label(2, "7"), label(5, "9")]), KEYS)
    seeds = seeds_of(imported, "mot", AssociationRule())["cars/a.mp4"]
    assert [(seed.object_id, seed.frame_idx, seed.found_by) for seed in seeds] == [(7, 2, "mot"), (9, 5, "mot")]
    named = grouped(LabelFile([label(3, "x"), label(3, "y"), label(4, "x", video="c")]), KEYS)
    assert sorted(named.by_video["cars/a.mp4"]) == [1, 2]
    lost = {"names of tracks, numbered anew": 2, "labels of videos that the source does not hold": 1}
    assert named.lost == Counter(lost)


def test_detections_are_joined_and_doubles_and_ghosts_dropped() -> None:
    moving = [label(k, None, (2.0 * k, 5, 2.0 * k + 20, 25)) for k in range(20) if k % 5]
    doubles = [label(k, None, (2.0 * k + 1, 6, 2.0 * k + 21, 26), score=0.8) for k in range(0, 20, 3) if k % 5]
    later = [label(k, None, (100, 60, 130, 90)) for k in range(8, 20)]
    ghost = [label(4, None, (200, 10, 220, 30))]
    weak = [label(k, None, (300, 60, 330, 90), score=0.6) for k in range(20)]
    imported = grouped(LabelFile([*moving, *doubles, *later, *ghost, *weak]), None)
    seeds = seeds_of(imported, "yolo", AssociationRule())["a"]
    assert [(seed.object_id, seed.frame_idx) for seed in seeds] == [(1, 1), (2, 8)]
    assert seeds[1].prompt.box_xyxy == (100, 60, 130, 90)


def test_parts_of_a_mask_are_one() -> None:
    parts = [rle.from_runs([k, 4, 96 - k], (10, 10)) for k in (0, 50)]
    labels = [ForeignLabel("a", 0, "1", None, "x", mask=part) for part in parts]
    (joined,) = grouped(LabelFile(labels), None).by_video["a"][1]
    assert joined.mask == rle.joined(parts)


def test_a_file_that_says_nothing_is_named(tmp_path: Path) -> None:
    for name in FORMATS:
        with pytest.raises(BadInput, match="none does not exist"):
            read_labels(name, tmp_path / "none", lambda video: None)
        with pytest.raises(BadInput, match=str(tmp_path)):
            read_labels(name, tmp_path, lambda video: None)
    with pytest.raises(BadInput, match="'pascal'; expected coco, "):
        read_labels("pascal", tmp_path, lambda video: None)
    with pytest.raises(BadInput, match="none of the videos a is in the source"):
        grouped(LabelFile([label(1, "1")]), ["z.mp4"])
