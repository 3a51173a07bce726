"""What a file of another tool says, in one kind of record, and how a file that cannot be read is named."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from labeling import rle
from labeling.errors import BadInput, require, shown
from labeling.geometry import box_xyxy_of
from labeling.review.foreign import require_file
from labeling.types import MOST_FRAMES, MOST_PIXELS, RLE, Box, Cell

BAD_FILE = "bad_label_file"
MOST_FILES = 1_000_000
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ForeignLabel:
    """One object on one frame: a box, or a mask and its box.

    `video` and `track` are as the file spells them, `track` None where the file has no identities; `where` is what a person
    would look for in it.
    """

    video: str
    frame_idx: int
    track: str | None
    category: str | None
    where: str
    box_xyxy: Box | None = None
    mask: RLE | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        require(0 <= self.frame_idx < MOST_FRAMES, "the frame", self.frame_idx, "0 or more")
        require(self.box_xyxy is not None or self.mask is not None, "the label", None, "a box or a mask")

    @property
    def box(self) -> Box | None:
        """The box that was given, or else the mask's; None of an empty mask."""
        if self.box_xyxy is not None or self.mask is None:
            return self.box_xyxy
        xywh = rle.box_xywh(self.mask)
        return box_xyxy_of(xywh) if xywh else None


@dataclass(slots=True)
class LabelFile:
    """What a file holds; `lost` counts what the records have no room for, in words."""

    labels: list[ForeignLabel] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, label: ForeignLabel) -> None:
        self.labels.append(label)


@contextmanager
def naming(path: Path, where: str = "") -> Iterator[None]:
    """Raise what goes wrong in the block as BadInput that names the file and the place in it."""
    try:
        yield
    except BadInput:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, OSError) as error:
        message = f"{shown(error.args[0])} is missing" if isinstance(error, KeyError) and error.args else str(error)
        message = "it is nested too deep" if isinstance(error, RecursionError) else message
        raise BadInput(f"{path}{', ' * bool(where)}{where}: {message[:500]}", BAD_FILE) from error


def read_json(path: Path) -> Mapping[str, Cell]:
    """Read a file's JSON object; BadInput where it is none."""
    with naming(path):
        require_file(path)
        value = json.loads(path.read_bytes())
        require(isinstance(value, Mapping), "the file", value, "a JSON object")
        return dict(value)


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is not empty with what it is called; BadInput where the file is no text."""
    with naming(path):
        require_file(path)
        text = path.read_text(encoding="utf-8-sig")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"line {number}", line.strip()


def files_below(path: Path, pattern: str, what: str) -> list[Path]:
    """Return the file itself, or the files below a folder whose names fit, in order; BadInput where there is none."""
    found = [path] if path.is_file() else sorted(p for p in path.rglob(pattern) if p.is_file())[:MOST_FILES]
    if not found:
        raise BadInput(f"{path} holds no {pattern}; expected {what}", BAD_FILE)
    return found


def whole(value: Cell, name: str, *, least: int = 0) -> int:
    """Read a whole number that may be text or a float."""
    good = isinstance(value, (int, str)) and not isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    try:
        number = int(float(value)) if isinstance(value, str) and "." in value else int(value) if good else None
    except (ValueError, OverflowError):
        number = None
    require(number is not None and least <= number < 1 << 62, name, value, f"a whole number from {least} on")
    assert number is not None
    return number


def real(value: Cell, name: str) -> float:
    """Read a finite number."""
    try:
        number = float(value) if not isinstance(value, bool) else np.nan
    except (TypeError, ValueError):
        number = np.nan
    require(bool(np.isfinite(number)), name, value, "a number")
    return float(number)


def box_of_xywh(values: Sequence[Cell], name: str = "bbox") -> Box:
    """Return a box from its corner, width and height."""
    require(isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 4, name, values, "x, y, w, h")
    x, y, width, height = (real(value, name) for value in values)
    require(width > 0 and height > 0, name, list(values), "a width and a height above 0")
    return x, y, x + width, y + height


def size_of(height: Cell, width: Cell) -> Size:
    size = whole(height, "height", least=1), whole(width, "width", least=1)
    require(size[0] * size[1] <= MOST_PIXELS, "height, width", size, f"at most {MOST_PIXELS} pixels")
    return size


def mask_of_polygons(polygons: Iterable[Sequence[Cell]], size_hw: Size) -> RLE:
    """Fill polygons [x, y, x, y, ...] in pixels; what lies outside of the frame is cut off."""
    flat = [[real(value, "polygon") for value in polygon] for polygon in polygons]
    good = bool(flat) and all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in flat)
    require(good, "polygon", [len(polygon) for polygon in flat], "x, y of 3 points or more")
    far = max(abs(value) for polygon in flat for value in polygon)
    require(far <= 1 << 16, "polygon", far, "coordinates in pixels, below 65,536")
    merged = coco.merge(coco.frPyObjects(flat, *size_hw))
    return RLE(size_hw, merged["counts"].decode())


def mask_of_counts(value: Mapping[str, Cell], size_hw: Size | None = None) -> RLE:
    """Read COCO's run lengths, as text or as a list; the size is looked at before anything is filled."""
    height, width = value["size"]
    own = size_of(height, width)
    require(size_hw is None or own == size_hw, "the mask's size", own, f"{size_hw}, as the frame has")
    counts: Any = value["counts"]
    if isinstance(counts, (list, tuple)):
        require(len(counts) <= own[0] * own[1] + 1, "counts", f"{len(counts)} runs", "no more than pixels")
        return rle.from_runs(counts, own)
    require(isinstance(counts, (str, bytes)), "counts", counts, "text or run lengths")
    return rle.from_runs(rle.runs_of(RLE(own, counts.decode("ascii") if isinstance(counts, bytes) else counts)), own)


def category_at(names: Sequence[str] | Mapping[int, str], number: int) -> str:
    """Return a class's name, or its number as text where nobody named it."""
    try:
        return names[number]
    except (KeyError, IndexError):
        return str(number)
