"""MOTS, MOT and YouTube-VIS, each read back by its own rules: the masks that were put into the store come out."""

import configparser
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from labeling import rle
from labeling.export.folder import MANIFEST, Choice, Summary
from labeling.export.formats import FOLDERS
from labeling.export.mots import MOTS_CLASSES, classes_of
from labeling.types import RLE

SIZE_HW = (40, 64)
NAMES = ("mots-txt", "mots-png", "mot", "youtube-vis")


def export_dataset(name: str, root: str, out: Path, **choice: Any) -> Summary:
    return FOLDERS[name].write(root, out, Choice(**choice))


def manifest_of(out: Path) -> dict[str, Any]:
    return json.loads((out / MANIFEST).read_text())


def folder_of(out: Path, key: str) -> str:
    return next(name for name, entry in manifest_of(out)["videos"].items() if entry["key"] == key)


def on_top(labelled: Any, frame_idx: int) -> dict[int, npt.NDArray[np.bool_]]:
    """The masks of a.mp4 by number, the small object 7 (number 2) on top of the large one 3 (number 1)."""
    tracks = labelled.masks["clips/a.mp4"]
    small = tracks[7].get(frame_idx, np.zeros(SIZE_HW, bool))
    return {1: tracks[3][frame_idx] & ~small, 2: small}


@pytest.mark.parametrize("name", NAMES)
def test_an_export_counts_what_it_holds_and_gives_the_same_bytes_again(name: str, labelled: Any, tmp_path: Path) -> None:
    for out in ("first", "second"):
        summary = export_dataset(name, labelled.root, tmp_path / out)
    # 6 + 3 of a.mp4, 5 of a.mov, 1 of b.mp4, whose object 1 is rejected.
    assert summary.counts == {"videos": 3, "tracks": 4, "frames": 12, "masks": 15}
    assert summary.left_out == {"reject": 1}
    first, second = (
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (tmp_path / "first", tmp_path / "second")
    )
    assert first == second


@pytest.mark.parametrize("name", NAMES)
def test_videos_go_to_their_split(name: str, labelled: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_dataset(name, labelled.root, out)
    ids = {entry["key"]: entry["video_id"] for entry in manifest_of(out)["videos"].values()}
    splits = {ids["night/b.mp4"]: "val"}
    summary = export_dataset(name, labelled.root, out, splits=splits)
    assert summary.counts["videos"] == 3
    assert {path.name.removesuffix(".json") for path in out.iterdir()} >= {"train", "val"}
    assert export_dataset(name, labelled.root, out, splits=splits, split="val").counts["tracks"] == 1


def test_categories_that_a_format_knows_have_its_numbers() -> None:
    classes = classes_of(["bus", "car", "pedestrian", "van"], MOTS_CLASSES, {10})
    assert classes == {"bus": 3, "car": 1, "pedestrian": 2, "van": 4}
    many = classes_of([f"c{i}" for i in range(9)], MOTS_CLASSES, {10})
    assert 10 not in many.values()


def test_youtube_vis_has_a_mask_or_null_for_each_frame(labelled: Any, tmp_path: Path) -> None:
    export_dataset("youtube-vis", labelled.root, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "train.json").read_text())
    video = next(v for v in document["videos"] if v["name"] == folder_of(tmp_path / "out", "clips/a.mp4"))
    assert video["file_names"] == [f"{video['name']}/{i:05d}.jpg" for i in range(6)]
    assert (video["height"], video["width"], video["length"]) == (*SIZE_HW, 6)
    tracks = {a["object_id"]: a for a in document["annotations"] if a["video_id"] == video["id"]}
    assert sorted(tracks) == [3, 7]
    assert [s is None for s in tracks[7]["segmentations"]] == [True, True, False, False, True, False]
    for object_id, annotation in tracks.items():
        for frame_idx, segmentation in enumerate(annotation["segmentations"]):
            if segmentation is not None:
                mask = labelled.masks["clips/a.mp4"][object_id][frame_idx]
                np.testing.assert_array_equal(rle.decode(RLE(SIZE_HW, segmentation["counts"])), mask)
                assert annotation["areas"][frame_idx] == mask.sum()
    assert document["categories"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "object"}]


def test_mots_gives_each_pixel_to_the_smaller_object(labelled: Any, tmp_path: Path) -> None:
    text = export_dataset("mots-txt", labelled.root, tmp_path / "txt")
    pictures = export_dataset("mots-png", labelled.root, tmp_path / "png")
    folder = folder_of(tmp_path / "txt", "clips/a.mp4")
    lines = (tmp_path / "txt" / "train" / "instances_txt" / f"{folder}.txt").read_text().splitlines()
    read = {}
    for line in lines:
        frame, identity, category, height, width, counts = line.split(" ")
        assert (int(height), int(width), int(category)) == (*SIZE_HW, 1)
        read[int(frame) - 1, int(identity) - 1000] = rle.decode(RLE(SIZE_HW, counts))
    overlap = 0
    for frame_idx in range(6):
        expected = on_top(labelled, frame_idx)
        with Image.open(tmp_path / "png" / "train" / "instances" / folder / f"{frame_idx + 1:06d}.png") as picture:
            values = np.asarray(picture)
        for number, mask in expected.items():
            np.testing.assert_array_equal(values == 1000 + number, mask)
            np.testing.assert_array_equal(read.get((frame_idx, number), np.zeros(SIZE_HW, bool)), mask)
        overlap += int((labelled.masks["clips/a.mp4"][3][frame_idx] & expected[2]).sum())
    assert text.lost == pictures.lost == {"overlap_pixels": overlap}
    assert overlap > 0
    assert json.loads((tmp_path / "txt" / "classes.json").read_text()) == {"car": 1, "object": 3}


def test_mot_boxes_count_from_one(labelled: Any, tmp_path: Path) -> None:
    export_dataset("mot", labelled.root, tmp_path / "out")
    folder = tmp_path / "out" / "train" / folder_of(tmp_path / "out", "clips/a.mp4")
    rows = [line.split(",") for line in (folder / "gt" / "gt.txt").read_text().splitlines()]
    # The large object moves by a pixel a frame from (5, 2).
    assert [row for row in rows if row[1] == "1"] == [
        [str(i + 1), "1", str(3 + i), "6", "30", "30", "1", "3", "1"] for i in range(6)]
    assert [row[0] for row in rows if row[1] == "2"] == ["3", "4", "6"]
    ini = configparser.ConfigParser()
    ini.read(folder / "seqinfo.ini")
    assert dict(ini["Sequence"])["seqlength"] == "10"
