"""Boxes of MOTChallenge (`det.txt`, `gt.txt`) and masks of MOTS (`gt.txt` with run lengths).

MOT: frame from 1, id (-1 of a detection), left, top, width, height from 1, confidence; `gt.txt` goes on with class and
visibility, and a confidence of 0 there says "not to be counted". MOTS: frame, id, class, height, width, COCO run lengths;
frames from 1 where none is 0. A video is named by `seqinfo.ini`, else by the folder that `gt/` or `det/` lies in.
"""

import configparser
from pathlib import Path

from labeling.errors import require
from labeling.imports.labels import (
    ForeignLabel,
    LabelFile,
    files_below,
    mask_of_counts,
    naming,
    read_lines,
    real,
    size_of,
    whole,
)

CLASSES = {
    1: "pedestrian", 2: "person on vehicle", 3: "car", 4: "bicycle", 5: "motorbike", 6: "non motorized vehicle",
    7: "static person", 8: "distractor", 9: "occluder", 10: "occluder on the ground", 11: "occluder full", 12: "reflection",
}
MOTS_CLASSES = {1: "car", 2: "pedestrian"}
_IGNORED = 10       # MOTS' class of regions that count for nothing
_TRUTH_COLUMNS = 9


def read_mot(path: Path) -> LabelFile:
    """Read one file, or every `gt.txt` below a folder, else every `det.txt`."""
    read = LabelFile()
    for file in _files(path):
        video = _video_of(file)
        for where, line in read_lines(file):
            with naming(file, where):
                _read_box(video, line, where, read)
    return read


def _read_box(video: str, line: str, where: str, read: LabelFile) -> None:
    values = line.replace(",", " ").split()
    require(7 <= len(values) <= 10, "the line", line, "frame, id, left, top, width, height, confidence and up to 3 more")
    frame, track = whole(values[0], "frame", least=1), real(values[1], "id")
    left, top, width, height, confidence = (real(value, "box or confidence") for value in values[2:7])
    require(width > 0 and height > 0, "width, height", (width, height), "more than 0")
    is_truth = track >= 0 and len(values) == _TRUTH_COLUMNS
    if is_truth and confidence == 0:
        read.lost["boxes that are not to be counted"] += 1
        return
    number = whole(values[7], "class", least=-1) if is_truth else -1
    read.lost["visibilities"] += is_truth
    # pixels are counted from 1
    box = left - 1, top - 1, left - 1 + width, top - 1 + height
    category = CLASSES.get(number, str(number)) if number > 0 else None
    name = str(whole(values[1], "id")) if track >= 0 else None
    read.add(ForeignLabel(video, frame - 1, name, category, where, box, score=None if is_truth else confidence))


def read_mots(path: Path) -> LabelFile:
    """Read one file of masks, or every `gt.txt` below a folder."""
    read = LabelFile()
    for file in _files(path):
        video, lines = _video_of(file), list(read_lines(file))
        with naming(file):
            from_zero = any(line.split()[0] == "0" for _, line in lines)
        for where, line in lines:
            with naming(file, where):
                _read_mask(video, line, where, read, 0 if from_zero else 1)
    return read


def _read_mask(video: str, line: str, where: str, read: LabelFile, first: int) -> None:
    values = line.split()
    require(len(values) == 6, "the line", line[:80], "frame, id, class, height, width and run lengths")
    number = whole(values[2], "class")
    if number == _IGNORED:
        read.lost["regions that count for nothing"] += 1
        return
    size_hw = size_of(values[3], values[4])
    mask = mask_of_counts({"size": size_hw, "counts": values[5]})
    frame, track = whole(values[0], "frame", least=first), str(whole(values[1], "id"))
    read.add(ForeignLabel(video, frame - first, track, MOTS_CLASSES.get(number, str(number)), where, mask=mask))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    truth = sorted(p for p in path.rglob("gt.txt") if p.is_file())
    return truth or files_below(path, "det.txt", "gt/gt.txt or det/det.txt of each sequence")


def _video_of(file: Path) -> str:
    folder = file.parent.parent if file.parent.name in ("gt", "det") else file.parent
    info = folder / "seqinfo.ini"
    if info.is_file():
        parser = configparser.ConfigParser()
        with naming(info):
            try:
                parser.read(info, encoding="utf-8")
            except configparser.Error as error:
                raise ValueError(str(error)) from error
        return parser.get("Sequence", "name", fallback=folder.name)
    return folder.name if file.stem in ("gt", "det") else file.stem
