"""YOLO's files, by values that were computed by hand, and polygons that give their masks back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pycocotools import mask as coco
from scipy.ndimage import gaussian_filter

from labeling import rle
from labeling.export.folder import MANIFEST, Choice
from labeling.export.polygons import area_of, one_ring, rings_of
from labeling.export.yolo import export_yolo
from labeling.ingest.listing import video_id_of

# pycocotools' own arrays do not know NumPy 2's copy argument.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def filled(ring: Any, height: int, width: int) -> Any:
    """What pycocotools makes of a polygon."""
    return coco.decode(coco.frPyObjects([ring.ravel().tolist()], height, width))[..., 0].astype(bool)


def agreement(a: Any, b: Any) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(("seed", "blur", "share"), [(0, 0, 0.5), (1, 0, 0.1), (2, 1.5, 0.7), (3, 5, 0.6), (4, 9, 0.4)])
def test_a_polygon_gives_its_mask_back_with_holes_and_parts(seed: int, blur: float, share: float) -> None:
    noise = gaussian_filter(np.random.default_rng(seed).random((60, 80)), blur)
    mask = noise > np.quantile(noise, share)
    rings = rings_of(rle.encode(mask))
    np.testing.assert_array_equal(filled(one_ring(rings), 60, 80), mask)
    simple = rings_of(rle.encode(mask), simplified=True)
    assert sum(map(len, simple)) <= sum(map(len, rings))
    assert agreement(filled(one_ring(simple), 60, 80), mask) >= 0.97


def test_a_large_outline_is_simplified_and_an_empty_mask_has_none() -> None:
    y, x = np.mgrid[:400, :500]
    mask = ((x - 250) / 200) ** 2 + ((y - 200) / 120) ** 2 < 1
    whole, simple = (rings_of(rle.encode(mask), simplified=simplified) for simplified in (False, True))
    assert abs(area_of(whole[0])) == mask.sum()
    assert len(simple[0]) < len(whole[0]) / 6
    assert agreement(filled(simple[0], 400, 500), mask) >= 0.98
    assert rings_of(rle.empty((4, 5))) == []


def lines(folder: Path, name: str) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in (folder / name).read_text().splitlines()]


def test_labels_are_what_was_computed_by_hand(labelled: Any, tmp_path: Path) -> None:
    told = export_yolo(labelled.root, tmp_path / "d", Choice(), boxes=True)
    # Frame 2 of a.mp4: 30 x 30 at (4, 5), and 8 wide, 6 high at (12, 10), of 64 x 40 pixels. "car" is 0, "object" 1.
    assert lines(told.out, "labels/train/clips_a-" + video_id_of("clips/a.mp4") + "_00002.txt") == [
        [0, round(19 / 64, 6), 0.5, round(30 / 64, 6), 0.75], [0, 0.25, 0.325, 0.125, 0.15],
    ]
    assert lines(told.out, "labels/train/night_b_00000.txt") == [[1, round(2.5 / 64, 6), 0.0625, round(3 / 64, 6), 0.075]]
    assert dict(told.counts) == {"videos": 3, "tracks": 4, "frames": 12, "masks": 15}
    assert (told.lost, dict(told.left_out)) == ({}, {"reject": 1})
    polygons = export_yolo(labelled.root, tmp_path / "s", Choice(categories=["car"]))
    (first, _) = lines(polygons.out, "labels/train/clips_a-" + video_id_of("clips/a.mp4") + "_00002.txt")
    corners = np.array(first[1:]).reshape(-1, 2) * (64, 40)
    assert sorted(map(tuple, corners.round(3).tolist())) == [(4, 5), (4, 35), (34, 5), (34, 35)]
    assert not list(polygons.out.glob("labels/train/night*"))


def test_the_data_file_and_the_manifest_say_what_is_there(labelled: Any, tmp_path: Path) -> None:
    splits = {video_id_of("night/b.mp4"): "val"}
    told = export_yolo(labelled.root, tmp_path / "y", Choice(splits=splits))
    data = yaml.safe_load((told.out / "data.yaml").read_text())
    assert data == {"path": ".", "train": "images/train", "val": "images/val", "names": {0: "car", 1: "object"}}
    assert [path.name for path in (told.out / "labels/val").iterdir()] == ["night_b_00000.txt"]
    manifest = json.loads((told.out / MANIFEST).read_text())
    assert (manifest["format"], manifest["snapshot"], manifest["verdicts"]) == ("yolo", "v000001", ["accept"])
    assert manifest["videos"]["night_b"]["split"] == "val"
    assert manifest["videos"]["night_b"]["objects"] == {
        "1": {"object_id": 0, "category": "object", "label_version": 1, "verdict": "accept"},
    }
    alone = export_yolo(labelled.root, tmp_path / "y", Choice(splits=splits, split="val"))
    assert alone.counts["videos"] == 1
    assert yaml.safe_load((alone.out / "data.yaml").read_text())["train"] == "images/val"


def test_mistakes_are_named_and_leave_what_was_there(labelled: Any, tmp_path: Path) -> None:
    out = tmp_path / "y"
    export_yolo(labelled.root, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="category is 'cat'; expected one of v000001: car, object"):
        export_yolo(labelled.root, out, Choice(categories=["cat"]))
    with pytest.raises(ValueError, match="frames is 'video'; expected none or jpg with yolo"):
        export_yolo(labelled.root, out, Choice(frames="video"))
    with pytest.raises(ValueError, match="split is 'dev'; expected one of train"):
        Choice(split="dev")
    with pytest.raises(ValueError, match="does not exist"):     # the videos of this store never were
        export_yolo(labelled.root, out, Choice(frames="jpg"))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["y"]
