"""One row of a prompt table: its columns, and the prompt that its values make; a value that makes none is an error."""

import difflib
import re
from collections.abc import Mapping

import pyarrow as pa

from labeling import rle
from labeling.config import PromptScope
from labeling.errors import is_storable, require, shown
from labeling.ingest.tables import Row, loads
from labeling.types import MOST_PIXELS, RLE, Box, Cell, Point, Prompt, PromptSource, TableRow

COLUMNS: Mapping[str, pa.DataType] = {
    "video": pa.string(),
    "object_id": pa.int64(),
    "frame_idx": pa.int64(),
    "points_xy": pa.list_(pa.list_(pa.float64())),
    "labels": pa.list_(pa.int64()),
    "box_xyxy": pa.list_(pa.float64()),
    "mask": pa.struct({"size": pa.list_(pa.int64()), "counts": pa.string()}),
    "category": pa.string(),
    "source": pa.string(),
    "span": pa.list_(pa.int64()),
    "scope": pa.string(),
}

MOST_POINTS = 1_000  # of a prompt; a person clicks a handful, and each is a token of the network
MOST_LETTERS = 4_096  # of a video's name or a category
_MOST_EXACT = 2**53  # a float tells whole numbers apart up to here
_KINDS = "points_xy with labels, box_xyxy or mask"
_LIKE = 0.8  # names this alike are taken for a slip


def prompt_of(row: Row) -> Prompt:
    """Make a prompt of one row; a ValueError shows the column, its value and what was expected."""
    if row.problem is not None:
        raise ValueError(row.problem)
    values = row.values
    _require_name(values.get("video"), "video", "a key or uri")
    source = PromptSource.SEED.value if values.get("source") in (None, "") else values["source"]
    require(isinstance(source, str) and source in set(PromptSource), "source", source, "seed or correction")
    mask = _mask(_parsed(values, "mask"))
    # Only a reviewer says that the object is not there.
    drawn = mask is None or rle.area(mask) > 0 or source == PromptSource.CORRECTION
    require(drawn, "mask", "empty", "at least one pixel")
    points, box = _points(_parsed(values, "points_xy")), _box(_parsed(values, "box_xyxy"))
    require(bool(points) or box is not None or mask is not None, "prompt", _others(values), _KINDS)
    return Prompt(
        object_id=_integer(values, "object_id"),
        frame_idx=_integer(values, "frame_idx"),
        points_xy=points,
        labels=_labels(_parsed(values, "labels")),
        box_xyxy=box,
        mask=mask,
        category=_text(values, "category"),
        source=PromptSource(source),
        span=_span(_parsed(values, "span")),
        scope=_scope(values.get("scope")),
    )


def values_of(video: str, prompt: Prompt) -> TableRow:
    """One row's values by column; None where the prompt has nothing to say."""
    mask = prompt.mask
    return {
        "video": video,
        "object_id": prompt.object_id,
        "frame_idx": prompt.frame_idx,
        "points_xy": [list(p) for p in prompt.points_xy] or None,
        "labels": list(prompt.labels) or None,
        "box_xyxy": list(prompt.box_xyxy) if prompt.box_xyxy else None,
        "mask": {"size": list(mask.size_hw), "counts": mask.counts} if mask else None,
        "category": prompt.category,
        "source": prompt.source.value,
        "span": list(prompt.span) if prompt.span else None,
        "scope": prompt.scope.value if prompt.scope else None,
    }


def kinds_of(prompt: Prompt) -> tuple[str, ...]:
    """What a row gives; a mask stands for all of a correction's clicks."""
    if prompt.mask is not None:
        return ("mask",)
    return ("box",) * (prompt.box_xyxy is not None) + ("points",) * bool(prompt.points_xy)


def column_like(name: str) -> str | None:
    """The column that a name was probably to be."""
    if name.lower().startswith(("bbox", "box")):
        return "box_xyxy"
    return next(iter(difflib.get_close_matches(name.lower()[:40], COLUMNS, n=1, cutoff=_LIKE)), None)


def _others(values: TableRow) -> str | None:
    """What a row without a prompt has instead, in words."""
    others = sorted(values.keys() - COLUMNS.keys())
    meant = [f"{shown(name)} (was {like} meant?)" for name in others if (like := column_like(name))]
    return ", ".join(meant)[:200] or None


def _require_name(value: Cell, name: str, expectation: str) -> None:
    require(isinstance(value, str) and bool(value.strip()), name, value, expectation)
    require(is_storable(value), name, value, f"{expectation} without NUL or lone surrogates")
    require(len(value) <= MOST_LETTERS, name, value, f"{expectation} of at most {MOST_LETTERS} letters")


def _parsed(values: TableRow, column: str) -> Cell:
    value = values.get(column)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{column} is {shown(value)}; expected JSON ({str(error)[:200]})") from error


def _text(values: TableRow, column: str) -> str | None:
    value = values.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    _require_name(value, column, "text")
    return str(value)


def _integer(values: TableRow, column: str) -> int:
    value = values.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,19}(\.0*)?\s*", value):
        return int(value.partition(".")[0])
    # A column with gaps comes from pandas as floats.
    if isinstance(value, float) and value.is_integer():
        require(abs(value) <= _MOST_EXACT, column, value, "an integer: a float this large is not exact")
        return int(value)
    raise ValueError(f"{column} is {shown(value)}; expected a whole number")


def _numbers(value: Cell, name: str, count: int, expectation: str) -> tuple[float, ...]:
    good = isinstance(value, (list, tuple)) and len(value) == count
    good = good and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    require(good, name, value, expectation)
    try:
        return tuple(float(v) for v in value)
    except OverflowError:
        raise ValueError(f"{name} is {shown(value)}; expected {expectation}, finite") from None


def _points(value: Cell) -> tuple[Point, ...]:
    if value is None:
        return ()
    expectation = "a list of [x, y] pairs"
    require(isinstance(value, (list, tuple)), "points_xy", value, expectation)
    require(len(value) <= MOST_POINTS, "points_xy", f"{len(value)} points", f"at most {MOST_POINTS}")
    pairs = [_numbers(pair, "points_xy", 2, expectation) for pair in value]
    return tuple((pair[0], pair[1]) for pair in pairs)


def _labels(value: Cell) -> tuple[int, ...]:
    if value is None:
        return ()
    good = isinstance(value, (list, tuple)) and all(type(v) in (int, float) and v in (0, 1) for v in value)
    require(good, "labels", value, "a list of 1 (on the object) and 0 (beside it); corners of a box go to box_xyxy")
    return tuple(int(v) for v in value)


def _box(value: Cell) -> Box | None:
    if value is None:
        return None
    x0, y0, x1, y1 = _numbers(value, "box_xyxy", 4, "[x0, y0, x1, y1]")
    return x0, y0, x1, y1


def _mask(value: Cell) -> RLE | None:
    # Writers of Parquet that have no null for a struct put nulls into its fields.
    if value is None or (isinstance(value, Mapping) and value and all(part is None for part in value.values())):
        return None
    expectation = "COCO RLE, {'size': [height, width], 'counts': text or run lengths}"
    require(isinstance(value, Mapping) and {"size", "counts"} <= set(value), "mask", value, expectation)
    size_hw = _numbers(value["size"], "mask size", 2, "[height, width]")
    whole = all(side.is_integer() and side > 0 for side in size_hw)
    require(whole, "mask size", value["size"], "[height, width], whole numbers above 0")
    height, width = int(size_hw[0]), int(size_hw[1])
    require(height * width <= MOST_PIXELS, "mask size", value["size"], f"at most {MOST_PIXELS} pixels")
    counts = value["counts"]
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if isinstance(counts, str):
        require(counts.isascii(), "mask counts", counts, "COCO's compressed text, characters '0' to 'o'")
        return RLE((height, width), counts)
    require(isinstance(counts, (list, tuple)), "mask counts", counts, "text or a list of run lengths")
    require(len(counts) <= height * width + 1, "mask counts", f"{len(counts)} runs", "no more than pixels")
    return rle.from_runs([_run(length) for length in counts], (height, width))


def _run(length: Cell) -> int:
    good = isinstance(length, int) or (isinstance(length, float) and length.is_integer())
    require(good and not isinstance(length, bool), "mask counts", length, "a whole number of pixels in each run")
    require(0 <= length <= MOST_PIXELS, "mask counts", length, f"a run of 0 to {MOST_PIXELS} pixels")
    return int(length)


def _span(value: Cell) -> tuple[int, int] | None:
    if value is None:
        return None
    first, end = _numbers(value, "span", 2, "[first frame, the frame after the last]")
    require(first.is_integer() and end.is_integer(), "span", value, "whole frame numbers")
    return int(first), int(end)


def _scope(value: Cell) -> PromptScope | None:
    if value in (None, ""):
        return None
    require(value in [scope.value for scope in PromptScope], "scope", value, "all or stretch")
    return PromptScope(value)
