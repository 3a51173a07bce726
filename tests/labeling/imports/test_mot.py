"""MOT's boxes and MOTS' masks: frames from 1, identities, classes; a bad line is named by its number."""

from pathlib import Path

import numpy as np
import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.mot import read_mot, read_mots

MASK = np.zeros((40, 60), bool)
MASK[10:20, 5:30] = True


def written(folder: Path, text: str, name: str = "gt/gt.txt") -> Path:
    path = folder / "MOT-02" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_truth_has_identities_and_classes_and_a_flag(tmp_path: Path) -> None:
    written(tmp_path, "1,2,11,21,30,40,1,1,0.5\n3,2,11,21,30,40,0,1,1\n3,5,1,1,5,5,1,3,1\n")
    read = read_mot(tmp_path)
    first, second = read.labels
    assert (first.video, first.frame_idx, first.track, first.category) == ("MOT-02", 0, "2", "pedestrian")
    assert (first.box_xyxy, first.score) == ((10, 20, 40, 60), None)
    assert (second.frame_idx, second.track, second.category) == (2, "5", "car")
    assert read.lost == {"boxes that are not to be counted": 1, "visibilities": 2}


def test_detections_have_scores_and_no_identity_and_the_sequence_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, "7,-1,11.5,21,30,40,0.25\n7,-1,11,21,30,40,0.9,-1,-1,-1\n", "det/det.txt")
    (tmp_path / "MOT-02" / "seqinfo.ini").write_text("[Sequence]\nname=street\n")
    labels = read_mot(path).labels
    assert [(label.video, label.track, label.score) for label in labels] == [("street", None, 0.25), ("street", None, 0.9)]


def test_masks_of_mots_count_frames_from_one_or_from_zero(tmp_path: Path) -> None:
    counts = rle.encode(MASK).counts
    lines = f"2 2001 2 40 60 {counts}\n3 10000 10 40 60 {counts}\n"
    (label,) = read_mots(written(tmp_path, lines)).labels
    assert (label.video, label.frame_idx, label.track, label.category, label.mask) == (
        "MOT-02", 1, "2001", "pedestrian", rle.encode(MASK),
    )
    assert read_mots(written(tmp_path, f"0 1001 1 40 60 {counts}\n" + lines)).labels[1].frame_idx == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3", "line 2: the line is"), ("0,2,1,1,5,5,1", "line 2: frame is '0'"),
        ("1,2,1,1,5,-5,1", "line 2: width, height"),
        ("1,x,1,1,5,5,1", "line 2: id is 'x'"), ("1,2,1,1,inf,5,1", "line 2: box or confidence is 'inf'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=f"gt.txt, {message}"):
        read_mot(written(tmp_path, f"1,2,1,1,5,5,1\n{line}\n"))


@pytest.mark.parametrize("line", ["1 1001 1 40 60", "1 1001 1 40 99 11", "1 1001 1 -4 60 11", "1 1001 1 40 60 ~~~"])
def test_so_is_one_of_mots(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadInput, match="gt.txt, line 1: "):
        read_mots(written(tmp_path, line + "\n"))
