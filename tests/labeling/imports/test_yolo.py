"""YOLO's labels: shares of the frame become pixels; boxes, scores, tracks, polygons, names of classes."""

from pathlib import Path

import numpy as np
import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.labels import LabelFile
from labeling.imports.yolo import read_yolo


def read(folder: Path) -> LabelFile:
    return read_yolo(folder, lambda video: (40, 60))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.yaml").write_text("names: {0: car, 1: tree}\n")
    (tmp_path / "labels").mkdir()
    return tmp_path


def test_lines_of_boxes(folder: Path) -> None:
    (folder / "labels" / "clip_a_12.txt").write_text("1 0.5 0.5 0.2 0.5\n0 0.5 0.5 0.2 0.5 0.75\n")
    (folder / "labels" / "clip_a_13.txt").write_text("0 0.5 0.5 0.2 0.5 0.75 1\n")
    plain, scored, tracked = read(folder / "labels").labels
    assert (plain.video, plain.frame_idx, plain.category, plain.score, plain.track) == ("clip_a", 11, "tree", None, None)
    assert plain.box_xyxy == pytest.approx((24, 10, 36, 30))
    assert (scored.category, scored.score, tracked.track, tracked.frame_idx) == ("car", 0.75, "1", 12)


def test_polygons_and_frames_in_a_folder_of_the_video(folder: Path) -> None:
    (folder / "labels" / "b").mkdir()
    lines = ("9 0.1 0.25 0.5 0.25 0.5 0.75 0.1 0.75", "0 0.1 0.25 0.5 0.25 0.5 0.7512")
    (folder / "labels" / "b" / "00003.txt").write_text("\n".join(lines))
    square, triangle = read(folder).labels
    expected = np.zeros((40, 60), bool)
    expected[10:30, 6:30] = True
    assert (square.video, square.frame_idx, square.category) == ("b", 3, "9")
    assert square.mask is not None
    assert rle.iou(square.mask, rle.encode(expected)) > 0.95
    assert triangle.mask is not None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "line 1: the line is '4 numbers'"), ("x 0.5 0.5 0.2 0.1", "line 1: class is 'x'"),
        ("0 50 0.5 0.2 0.1", "line 1: box is .* shares"), ("0 0.5 0.5 0 0.1", "line 1: box is"),
        ("0 0.1 0.1 0.2 0.2 0.3 7.5", "line 1: polygon is"), ("0 0.5 0.5 nan 0.1", "line 1: box is 'nan'"),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: str, message: str) -> None:
    (folder / "labels" / "a_1.txt").write_text(line)
    with pytest.raises(BadInput, match=f"a_1.txt, {message}"):
        read(folder)


def test_without_a_size_shares_are_no_pixels(folder: Path) -> None:
    (folder / "labels" / "a_1.txt").write_text("0 0.5 0.5 0.2 0.1")
    with pytest.raises(BadInput, match="the size of 'a' is not known; give source.uri, or --size"):
        read_yolo(folder, lambda video: None)
