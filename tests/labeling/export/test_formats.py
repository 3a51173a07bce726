"""SA-V, semantic PNGs, shards and Parquet, each read back against the masks that went in; the page against the code."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from PIL import Image

from labeling import rle
from labeling.export.folder import Choice, Summary
from labeling.export.formats import FOLDERS
from labeling.export.hugging_face import export_hugging_face
from labeling.export.sav import export_sav, export_sav_png
from labeling.export.selection import ObjectOnFrame, SelectedTrack
from labeling.export.semantic import category_map, export_semantic
from labeling.export.webdataset import export_webdataset
from labeling.ingest.listing import video_id_of
from labeling.types import RLE
from tests.labeling.export.conftest import block, frame_mask

SIZE_HW = (40, 64)
NAME = "clips_a-" + video_id_of("clips/a.mp4")
PAGE = Path(__file__).resolve().parents[3] / "docs" / "formats.md"


def overlapping() -> list[ObjectOnFrame]:
    """A car of 6 x 6 pixels with a dog of 3 x 3 over its corner, so that 2 x 2 pixels are of both."""
    things = []
    for number, (category, mask) in enumerate({"car": block(0, 0, 6, 6), "dog": block(4, 4, 3, 3)}.items(), start=1):
        track = SelectedTrack(str(number), number, 1, category, "accept", 0.0, 0, {})
        things.append(ObjectOnFrame(number, track, frame_mask(0, mask)))
    return things


def manifest(told: Summary) -> Any:
    return json.loads((told.out / "manifest.json").read_text())


def test_sa_v_has_each_mask_by_frame_and_object(labelled: Any, tmp_path: Path) -> None:
    told = export_sav(labelled.root, tmp_path / "s", Choice(splits={video_id_of("night/b.mp4"): "val"}))
    said = json.loads((told.out / f"train/{NAME}_manual.json").read_text())
    assert (said["object_id"], said["masklet_num"], said["frame_indices"]) == ([3, 7], 2, list(range(6)))
    assert (said["masklet_first_appeared_frame"], said["masklet_frame_count"]) == ([0, 2], [6, 3])
    nothing = np.zeros(SIZE_HW, bool)
    for frame_idx, masks in enumerate(said["masklet"]):
        for object_id, mask in zip(said["object_id"], masks, strict=True):
            true = labelled.masks["clips/a.mp4"][object_id].get(frame_idx, nothing)
            np.testing.assert_array_equal(rle.decode(RLE(tuple(mask["size"]), mask["counts"])), true)
    assert (told.out / "val/night_b_manual.json").is_file()


def test_sa_v_s_pngs_are_an_object_each_so_that_overlaps_stay(labelled: Any, tmp_path: Path) -> None:
    told = export_sav_png(labelled.root, tmp_path / "s")
    for number, object_id in enumerate((3, 7)):
        for frame_idx, true in labelled.masks["clips/a.mp4"][object_id].items():
            picture = Image.open(told.out / f"Annotations_6fps/{NAME}/{number:03d}/{frame_idx:05d}.png")
            np.testing.assert_array_equal(np.asarray(picture), true)
    assert NAME in (told.out / "sav_train.txt").read_text().splitlines()
    assert told.lost == {}


def test_a_semantic_image_has_categories_and_what_was_covered_is_counted(labelled: Any, tmp_path: Path) -> None:
    told = export_semantic(labelled.root, tmp_path / "s")
    assert json.loads((told.out / "classes.json").read_text()) == {"0": "background", "1": "car", "2": "object"}
    image = np.asarray(Image.open(told.out / f"train/labels/{NAME}/00002.png"))
    masks = labelled.masks["clips/a.mp4"]
    np.testing.assert_array_equal(image, masks[3][2] | masks[7][2])     # both are cars: nothing is lost
    assert set(np.unique(np.asarray(Image.open(told.out / "train/labels/night_b/00000.png")))) == {0, 2}
    assert told.lost == {}
    assert category_map(overlapping(), {"car": 1, "dog": 2})[1] == 4
    # Object 0 of night/b.mp4 has no category: 9 pixels of it in the corner, away from object 1.
    everything = export_semantic(labelled.root, tmp_path / "s", Choice(["accept", "reject"]))
    assert everything.lost == {}
    assert set(np.unique(np.asarray(Image.open(everything.out / "train/labels/night_b/00000.png")))) == {0, 1, 2}


def test_a_shard_has_a_sample_a_frame_and_the_same_bytes_each_time(labelled: Any, tmp_path: Path) -> None:
    told = export_webdataset(labelled.root, tmp_path / "w")
    shard = told.out / "train-000000.tar"
    with tarfile.open(shard) as reader:
        samples = [json.load(reader.extractfile(member)) for member in reader]  # type: ignore[arg-type]
        names = reader.getnames()
    assert len(names) == len(set(names)) == told.counts["frames"] == 12
    assert all(name.count(".") == 1 for name in names)
    masks = 0
    for sample in samples:
        for thing in sample["objects"]:
            true = labelled.masks[sample["video"]][thing["object_id"]][sample["frame"]]
            np.testing.assert_array_equal(rle.decode(RLE(SIZE_HW, thing["segmentation"]["counts"])), true)
            masks += 1
    assert masks == told.counts["masks"] == 15
    before = shard.read_bytes()
    assert (export_webdataset(labelled.root, tmp_path / "w").out / "train-000000.tar").read_bytes() == before


def test_a_row_of_parquet_is_a_masklet_and_the_card_names_the_files(labelled: Any, tmp_path: Path) -> None:
    told = export_hugging_face(labelled.root, tmp_path / "h", Choice(splits={video_id_of("night/b.mp4"): "val"}))
    rows = pq.read_table(told.out / "data/train.parquet").to_pylist()
    assert [(row["video"], row["object_id"], row["category"]) for row in rows] == [
        ("clips/a.mov", 1, "car"), ("clips/a.mp4", 3, "car"), ("clips/a.mp4", 7, "car"),
    ]
    for row in rows:
        true = labelled.masks[row["video"]][row["object_id"]]
        assert [frame["frame_idx"] for frame in row["frames"]] == list(true)
        for frame in row["frames"]:
            np.testing.assert_array_equal(rle.decode(RLE(SIZE_HW, frame["counts"])), true[frame["frame_idx"]])
    card = yaml.safe_load((told.out / "README.md").read_text().split("---")[1])
    assert card["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train.parquet"}, {"split": "val", "path": "data/val.parquet"},
    ]
    assert (told.counts["masks"], manifest(told)["counts"]["tracks"]) == (15, 4)


def test_datasets_reads_the_parquet(labelled: Any, tmp_path: Path) -> None:
    from datasets import load_dataset

    told = export_hugging_face(labelled.root, tmp_path / "h")
    loaded = load_dataset("parquet", data_files=str(told.out / "data/*.parquet"), cache_dir=str(tmp_path / "c"), split="train")
    assert loaded.num_rows == 4
    assert sorted(loaded["category"]) == ["car", "car", "car", "object"]


def test_the_page_has_a_row_for_every_format_with_its_frames() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| out \| ([\w, ]+) \|", PAGE.read_text(), re.M)
    assert dict(rows) == {"coco": "none", "davis": "none"} | {name: ", ".join(form.frames) for name, form in FOLDERS.items()}
