"""Prompt tables: what to follow, in which video, from which frame; each row is checked where it is read.

Columns: `video` (key relative to the source's root, or full uri), `object_id`, `frame_idx`, then `points_xy` with `labels`,
and/or `box_xyxy`, or `mask` (COCO RLE: {"size": [h, w], "counts": ...}), and optionally `category`, `source` and, of a
correction, `span`: the half-open span of frames that it may change. Lists and masks may be JSON text, as they must be in CSV.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from labeling import rle
from labeling.ingest.tables import Row, read_rows, write_rows
from labeling.types import RLE, Box, Point, Prompt, PromptSource, VideoRef, require

log = logging.getLogger(__name__)

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
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that gives no prompt: its video (empty where it names none), its line, and what is wrong with it."""

    video: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class PromptTable:
    """A table's prompts by video, as the table spells it (without file:// or ./), in canonical order; and its bad rows."""

    by_video: Mapping[str, tuple[Prompt, ...]]
    bad_rows: tuple[BadRow, ...] = ()

    def for_video(self, ref: VideoRef) -> tuple[Prompt, ...]:
        """The prompts of a listed video, whether rows name its key or its uri."""
        by_key, by_uri = self.by_video.get(ref.key, ()), self.by_video.get(ref.uri, ())
        if ref.key == ref.uri or not (by_key and by_uri):
            return by_key or by_uri
        log.warning("prompts for %s are given by key and by uri; both are taken", ref.uri)
        return sort_prompts({*by_key, *by_uri})


def read_prompts(uri: str) -> PromptTable:
    """Read a prompt table (JSONL, CSV, Parquet; a path or s3://).

    A row that is wrong, or that says again what an earlier row said (the same object, frame and kind), is a bad row and
    never an exception. Raises BadConfiguration where the table cannot be read at all.
    """
    seen: dict[tuple[object, ...], tuple[int, str | None]] = {}
    good: dict[str, list[Prompt]] = defaultdict(list)
    bad: list[BadRow] = []
    for row in read_rows(uri, what="prompt table", columns=("video", "object_id", "frame_idx")):
        video = _video_of(row)
        try:
            prompt = prompt_of(row)
            _require_new(seen, video, row.line, prompt)
        except ValueError as error:
            bad.append(BadRow(video, row.line, str(error)))
        else:
            good[video].append(prompt)
    return PromptTable({video: sort_prompts(good[video]) for video in sorted(good)}, tuple(bad))


def merge_prompts(table: PromptTable, newer: PromptTable) -> PromptTable:
    """Join two tables; where both speak of an object on a frame, the newer one's word replaces the other's."""
    merged = dict(table.by_video)
    for video, prompts in newer.by_video.items():
        told = {(p.object_id, p.frame_idx) for p in prompts}
        kept = [p for p in merged.get(video, ()) if (p.object_id, p.frame_idx) not in told]
        merged[video] = sort_prompts([*kept, *prompts])
    return PromptTable(dict(sorted(merged.items())), (*table.bad_rows, *newer.bad_rows))


def write_prompts(path: str | Path, rows: Iterable[tuple[str, Prompt]]) -> None:
    """Write (video, prompt) pairs as a table that `read_prompts` reads back; the suffix chooses JSONL, CSV or Parquet."""
    write_rows(str(path), (values_of(video, prompt) for video, prompt in rows), columns=COLUMNS)


def sort_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """The one order of prompts: by object, frame, kind, then their values; what is hashed does not depend on row order."""
    return tuple(sorted(prompts, key=lambda p: (p.object_id, p.frame_idx, _kinds_of(p), repr(p))))


def prompt_of(row: Row) -> Prompt:
    """Make a prompt of one row; a ValueError shows the column, its value and what was expected."""
    if row.problem is not None:
        raise ValueError(row.problem)
    values, video = row.values, row.values.get("video")
    require(isinstance(video, str) and bool(video.strip()), "video", video, "a key or uri")
    source = values.get("source") or PromptSource.SEED.value
    require(source in set(PromptSource), "source", source, "seed or correction")
    mask = _mask(_parsed(values, "mask"))
    # Only a reviewer says that the object is not there.
    drawn = mask is None or rle.area(mask) > 0 or source == PromptSource.CORRECTION
    require(drawn, "mask", "empty", "at least one pixel")
    return Prompt(
        object_id=_integer(values, "object_id"),
        frame_idx=_integer(values, "frame_idx"),
        points_xy=_points(_parsed(values, "points_xy")),
        labels=_labels(_parsed(values, "labels")),
        box_xyxy=_box(_parsed(values, "box_xyxy")),
        mask=mask,
        category=_text(values, "category"),
        source=PromptSource(source),
        span=_span(_parsed(values, "span")),
    )


def values_of(video: str, prompt: Prompt) -> dict[str, Any]:
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
    }


def _require_new(seen: dict[tuple[object, ...], tuple[int, str | None]], video: str, line: int, prompt: Prompt) -> None:
    """Refuse what an earlier row said already, or said otherwise; `seen` keeps the line and category of each thing."""
    object_id, frame_idx = prompt.object_id, prompt.frame_idx
    places = [(video, object_id, frame_idx, kind) for kind in _kinds_of(prompt)]
    for place in places:
        if place in seen:
            first = f"object {object_id} has a {place[-1]} prompt on frame {frame_idx} in line {seen[place][0]} already"
            raise ValueError(f"{first}; expected one row, or another frame")
    if prompt.category is not None:
        first_line, category = seen.setdefault((video, object_id), (line, prompt.category))
        expectation = f"{category!r}, as line {first_line} says of object {object_id}"
        require(category == prompt.category, "category", prompt.category, expectation)
    seen.update(dict.fromkeys(places, (line, None)))


def _kinds_of(prompt: Prompt) -> tuple[str, ...]:
    """What a row gives; a mask stands for all of a correction's clicks."""
    if prompt.mask is not None:
        return ("mask",)
    return ("box",) * (prompt.box_xyxy is not None) + ("points",) * bool(prompt.points_xy)


def _video_of(row: Row) -> str:
    video = row.values.get("video")
    if not isinstance(video, str):
        return ""
    if video.startswith("file://"):
        return unquote(urlsplit(video).path)
    return video.removeprefix("./")


def _parsed(values: Mapping[str, Any], column: str) -> Any:
    value = values.get(column)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{column} is {value[:80]!r}; expected JSON ({error})") from error


def _text(values: Mapping[str, Any], column: str) -> str | None:
    value = values.get(column)
    if value is None or value == "":
        return None
    require(isinstance(value, (str, int)) and not isinstance(value, bool), column, value, "text")
    return str(value)


def _integer(values: Mapping[str, Any], column: str) -> int:
    value = values.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # A column with gaps comes from pandas as floats.
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,19}(\.0*)?\s*", value):
        return int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"{column} is {value!r}; expected a whole number")


def _numbers(value: Any, name: str, count: int, expectation: str) -> tuple[float, ...]:
    good = isinstance(value, (list, tuple)) and len(value) == count
    good = good and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    require(good, name, value, expectation)
    return tuple(float(v) for v in value)


def _points(value: Any) -> tuple[Point, ...]:
    if value is None:
        return ()
    expectation = "a list of [x, y] pairs"
    require(isinstance(value, (list, tuple)), "points_xy", value, expectation)
    pairs = [_numbers(pair, "points_xy", 2, expectation) for pair in value]
    return tuple((pair[0], pair[1]) for pair in pairs)


def _labels(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    good = isinstance(value, (list, tuple)) and all(v in (0, 1) for v in value)
    require(good, "labels", value, "a list of 1 (on the object) and 0 (beside it)")
    return tuple(int(v) for v in value)


def _box(value: Any) -> Box | None:
    if value is None:
        return None
    x0, y0, x1, y1 = _numbers(value, "box_xyxy", 4, "[x0, y0, x1, y1]")
    return x0, y0, x1, y1


def _mask(value: Any) -> RLE | None:
    if value is None:
        return None
    expectation = "COCO RLE, {'size': [height, width], 'counts': text or run lengths}"
    require(isinstance(value, Mapping) and {"size", "counts"} <= set(value), "mask", value, expectation)
    height, width = (int(v) for v in _numbers(value["size"], "mask size", 2, "[height, width]"))
    counts = value["counts"]
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    if isinstance(counts, str):
        mask = RLE((height, width), counts)
    else:
        require(isinstance(counts, (list, tuple)), "mask counts", counts, "text or a list of run lengths")
        mask = rle.from_runs(counts, (height, width))
    return mask


def _span(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    first, end = _numbers(value, "span", 2, "[first frame, the frame after the last]")
    require(first.is_integer() and end.is_integer(), "span", value, "whole frame numbers")
    return int(first), int(end)
