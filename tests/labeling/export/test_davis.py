"""DAVIS export, read back with PIL, down to the pixel."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labeling import rle
from labeling.export.davis import export_davis, index_map, palette, require_few
from labeling.export.outputs import MADE
from labeling.export.selection import select
from labeling.objects import open_objects


def read_png(path: Path) -> tuple[np.ndarray, bytes]:
    with Image.open(path) as picture:
        assert picture.mode == "P"
        return np.asarray(picture), bytes(picture.getpalette("RGB"))


def test_the_palette_is_that_of_davis() -> None:
    colours = np.frombuffer(palette(), np.uint8).reshape(256, 3).tolist()
    # As published with the VOC devkit and the DAVIS data.
    assert colours[:9] == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128],
        [128, 128, 128], [64, 0, 0],
    ]
    assert colours[15] == [192, 128, 128]
    assert colours[20] == [0, 64, 128]
    assert colours[255] == [224, 224, 192]
    assert len({tuple(colour) for colour in colours}) == 256


def test_pixels_hold_the_objects_numbers_with_the_small_one_on_top(labelled: Any, tmp_path: Path) -> None:
    summary = export_davis(labelled.root, tmp_path / "davis")
    mapping = json.loads((tmp_path / "davis" / "mapping.json").read_text())
    folders = {entry["key"]: name for name, entry in mapping["videos"].items()}
    folder = tmp_path / "davis" / "Annotations" / "Full-Resolution" / folders["clips/a.mp4"]
    numbers = {e["object_id"]: int(n) for n, e in mapping["videos"][folder.name]["objects"].items()}
    assert numbers == {3: 1, 7: 2}
    overlap = 0
    assert sorted(path.name for path in folder.iterdir()) == [f"{i:05d}.png" for i in range(6)]
    for frame_idx in range(6):
        pixels, colours = read_png(folder / f"{frame_idx:05d}.png")
        large = labelled.masks["clips/a.mp4"][3][frame_idx]
        small = labelled.masks["clips/a.mp4"][7].get(frame_idx, np.zeros_like(large))
        np.testing.assert_array_equal(pixels, np.where(small, 2, np.where(large, 1, 0)))
        assert colours[:768] == palette()
        overlap += int((large & small).sum())
    assert summary.overlap_pixels == overlap > 0
    assert (summary.num_videos, summary.num_objects, summary.num_frames) == (3, 4, 12)


def test_the_list_names_each_video_s_folder_and_only_tracked_frames_are_there(labelled: Any, tmp_path: Path) -> None:
    export_davis(labelled.root, tmp_path / "d", subset="val")
    annotations = tmp_path / "d" / "Annotations" / "Full-Resolution"
    names = (tmp_path / "d" / "ImageSets" / "2017" / "val.txt").read_text().splitlines()
    assert sorted(names) == sorted(path.name for path in annotations.iterdir())
    strided = next(name for name in names if len(list((annotations / name).iterdir())) == 5)
    assert [p.name for p in sorted((annotations / strided).iterdir())] == [f"{i:05d}.png" for i in range(0, 9, 2)]


def test_exporting_again_takes_the_old_one_s_place_whole(labelled: Any, tmp_path: Path) -> None:
    out = tmp_path / "davis"
    export_davis(labelled.root, out)
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "Annotations" / "stale.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"stale\.png"):
        export_davis(labelled.root, out)
    with (out / MADE).open("a") as made:
        made.write("Annotations/stale.png\n")  # as if an earlier export had it
    export_davis(labelled.root, out)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["davis"]
    export_davis(labelled.root, out, verdicts={"reject"})
    assert len(list((out / "Annotations" / "Full-Resolution").iterdir())) == 1


def test_a_folder_with_other_things_in_it_is_left_alone(labelled: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"a folder with other files in it"):
        export_davis(labelled.root, tmp_path)
    with pytest.raises(ValueError, match="a file; expected a folder"):
        export_davis(labelled.root, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_more_objects_than_a_byte_can_name_are_refused(labelled: Any) -> None:
    video = select(open_objects(labelled.root)).videos[0]
    full = replace(video, tracks=tuple(replace(video.tracks[0], object_id=number) for number in range(254)))
    require_few([video, full])
    with pytest.raises(ValueError, match="clips/a.mov has 255 objects; a DAVIS image holds at most 254"):
        require_few([video, replace(full, tracks=(*full.tracks, video.tracks[0]))])


def test_masks_of_one_frame_must_have_one_size() -> None:
    with pytest.raises(ValueError, match=r"sizes \[\(2, 2\), \(3, 3\)\]; expected one size"):
        index_map([(1, rle.empty((2, 2))), (2, rle.empty((3, 3)))])
