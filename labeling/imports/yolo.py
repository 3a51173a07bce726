"""YOLO's text labels: a file a frame, a line an object, numbers as shares of the frame.

    <class> <x> <y> <width> <height> [<confidence>] [<track>]       a box by its centre
    <class> <x1> <y1> <x2> <y2> <x3> <y3> ...                       a polygon

A file is named `<video>_<frame>.txt`, frames from 1 as `ultralytics` counts them, or `<frame>.txt`, from 0, in a folder of
the video's name. `data.yaml` in a folder above names the classes.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import yaml

from labeling.errors import BadInput, require
from labeling.imports.labels import (
    BAD_FILE,
    ForeignLabel,
    LabelFile,
    Size,
    files_below,
    mask_of_polygons,
    naming,
    read_lines,
    real,
    whole,
)

SizeOf = Callable[[str], Size | None]
_NAMED = re.compile(r"(.+)_([0-9]{1,9})")
_TRACKED = 7
_NOT_LABELS = {"classes.txt", "train.txt", "val.txt", "test.txt", "README.txt"}


def read_yolo(path: Path, size_of: SizeOf) -> LabelFile:
    """Read a label file or every one below a folder; `size_of` gives a video's height and width in pixels."""
    read, names = LabelFile(), _class_names(path)
    for file in files_below(path, "*.txt", "YOLO's label files"):
        if file.name in _NOT_LABELS:
            continue
        video, frame_idx = _frame_of(file)
        lines = [(where, line.split()) for where, line in read_lines(file)]
        # Seven numbers are a box with its track, or a triangle, whose last number is seldom whole in all lines.
        tracked = all(values[-1].isdecimal() for _, values in lines if len(values) == _TRACKED)
        size_hw = size_of(video) if lines else None
        if lines and size_hw is None:
            raise BadInput(f"{file}: the size of {video!r} is not known; give source.uri, or --size WIDTHxHEIGHT", BAD_FILE)
        for where, values in lines:
            with naming(file, where):
                assert size_hw is not None
                read.add(_label(video, frame_idx, values, names, f"{file.name}, {where}", size_hw, tracked=tracked))
    return read


def _label(
    video: str, frame_idx: int, values: list[str], names: Mapping[int, str], where: str, size_hw: Size, *, tracked: bool
) -> ForeignLabel:
    number = whole(values[0], "class")
    category, rest = names.get(number, str(number)), values[1:]
    tracked = tracked and len(values) == _TRACKED
    if len(rest) in (4, 5) or tracked:
        shares = [real(value, "box") for value in rest[:4]]
        require(all(-0.01 <= share <= 1.01 for share in shares), "box", rest[:4], "shares of the frame, 0 to 1")
        x, y, width, height = np.array(shares) * (size_hw[1], size_hw[0], size_hw[1], size_hw[0])
        require(width > 0 and height > 0, "box", rest[:4], "a width and a height above 0")
        box = float(x - width / 2), float(y - height / 2), float(x + width / 2), float(y + height / 2)
        score = real(rest[4], "confidence") if len(rest) > 4 else None
        return ForeignLabel(video, frame_idx, rest[5] if tracked else None, category, where, box, score=score)
    paired = len(rest) >= 6 and len(rest) % 2 == 0
    require(paired, "the line", f"{len(values)} numbers", "5 to 7 of a box, or pairs of a polygon")
    shares = [real(value, "polygon") for value in rest]
    require(all(-0.01 <= share <= 1.01 for share in shares), "polygon", rest[:4], "shares of the frame, 0 to 1")
    polygon = (np.reshape(shares, (-1, 2)) * (size_hw[1], size_hw[0])).ravel().tolist()
    return ForeignLabel(video, frame_idx, None, category, where, mask=mask_of_polygons([polygon], size_hw))


def _frame_of(file: Path) -> tuple[str, int]:
    if file.stem.isascii() and file.stem.isdecimal():
        return file.parent.name, int(file.stem[-9:])
    if match := _NAMED.fullmatch(file.stem):
        return match[1], max(0, int(match[2]) - 1)
    return file.stem, 0


def _class_names(path: Path) -> dict[int, str]:
    """Return what the nearest `data.yaml` calls the classes; nothing where there is none."""
    for folder in (path, *list(path.absolute().parents)[:3]):
        file = folder / "data.yaml"
        if file.is_file():
            with naming(file):
                try:
                    document = yaml.safe_load(file.read_text(encoding="utf-8"))
                except yaml.YAMLError as error:
                    raise ValueError(str(error)) from error
                names = document.get("names", {})
                pairs = enumerate(names) if isinstance(names, list) else names.items()
                return {whole(number, "names"): str(name) for number, name in pairs}
    return {}
