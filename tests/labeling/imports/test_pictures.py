"""DAVIS' palette PNGs, and SA-V's run lengths and folders of masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.pictures import read_davis
from labeling.imports.sav import read_sav

VALUES = np.zeros((40, 60), np.uint8)
VALUES[10:20, 5:30] = 1
VALUES[25:30, 5:30] = 38
VALUES[0, 0] = 255


def drawn(path: Path, values: Any, mode: str = "P") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values, mode=None if mode != "P" else "L")
    if mode == "P":
        picture.putpalette([0, 0, 0] * 256)
    picture.save(path)
    return path


def test_values_of_a_palette_are_objects_and_255_is_void(tmp_path: Path) -> None:
    drawn(tmp_path / "Annotations" / "480p" / "bear" / "00007.png", VALUES)
    read = read_davis(tmp_path)
    assert [(label.video, label.frame_idx, label.track) for label in read.labels] == [("bear", 7, "1"), ("bear", 7, "38")]
    assert read.labels[1].mask == rle.encode(VALUES == 38)
    assert read.lost == {"void pixels": 1}


def test_our_own_mapping_gives_keys_objects_and_categories(tmp_path: Path) -> None:
    drawn(tmp_path / "a" / "00000.png", VALUES)
    objects = {"1": {"object_id": 4, "category": "bear"}}
    (tmp_path / "mapping.json").write_text(json.dumps({"videos": {"a": {"key": "zoo/a.mp4", "objects": objects}}}))
    first, second = read_davis(tmp_path).labels
    assert (first.video, first.track, first.category) == ("zoo/a.mp4", "4", "bear")
    assert (second.track, second.category) == ("38", None)


def test_pictures_of_another_kind_are_named(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a" / "00000.png", np.zeros((4, 4, 3), np.uint8), "RGB")
    with pytest.raises(BadInput, match="00000.png: the picture is 'RGB'; expected a palette"):
        read_davis(tmp_path)
    path.write_bytes(b"no picture")
    with pytest.raises(BadInput, match="00000.png: the picture cannot be read"):
        read_davis(tmp_path)
    path.rename(path.with_name("first.png"))
    with pytest.raises(BadInput, match="first.png: the file's name is"):
        read_davis(tmp_path)


def sav(**changed: Any) -> dict[str, Any]:
    mask = rle.encode(VALUES == 1)
    counts = {"size": list(mask.size_hw), "counts": mask.counts}
    return {"video_id": "sav_01", "masklet_id": [3, 5], "masklet": [[counts, None], [None, counts]]} | changed


def test_sav_labels_every_fourth_frame(tmp_path: Path) -> None:
    (tmp_path / "sav_01_manual.json").write_text(json.dumps(sav()))
    first, second = read_sav(tmp_path).labels
    assert (first.video, first.frame_idx, first.track, first.mask) == ("sav_01", 0, "3", rle.encode(VALUES == 1))
    assert (second.frame_idx, second.track) == (4, "5")


def test_sav_as_folders_of_masks(tmp_path: Path) -> None:
    drawn(tmp_path / "Annotations_6fps" / "sav_02" / "001" / "00004.png", VALUES // 38 * 255, "L")
    (label,) = read_sav(tmp_path).labels
    assert (label.video, label.track, label.frame_idx) == ("sav_02", "1", 4)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (sav(masklet=3), "masklet is 3"), (sav(masklet=[[None]]), "frame 0 of masklet: the frame is"),
        (sav(masklet=[[{"size": [2, 2]}, None]]), "frame 0 of masklet: 'counts' is missing"), ([1], "expected a JSON object"),
    ],
)
def test_what_sav_never_writes_is_named(tmp_path: Path, document: Any, message: str) -> None:
    (tmp_path / "x_auto.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=f"x_auto.json.*{message}"):
        read_sav(tmp_path)
