"""Prompt tables: what to follow, in which video, from which frame; each row is checked where it is read.

Columns: `video` (key relative to the source's root, or full uri), `object_id`, `frame_idx`, then `points_xy` with `labels`,
and/or `box_xyxy`, or `mask` (COCO RLE: {"size": [h, w], "counts": ...}), and optionally `category`, `source` and, of a
correction, `span`: the half-open span of frames that it may change. Lists and masks may be JSON text, as they must be in CSV.
"""

import difflib
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from labeling import rle
from labeling.ingest.spelling import composed
from labeling.ingest.tables import Row, loads, read_rows, write_rows
from labeling.objects_uris import local_path
from labeling.types import MOST_PIXELS, RLE, Box, Point, Prompt, PromptSource, VideoRef, is_storable, require, shown

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

MOST_POINTS = 1_000  # of a prompt; a person clicks a handful, and each is a token of the network
_MOST_LETTERS = 4_096  # of a video's name or a category
_MOST_EXACT = 2**53  # a float tells whole numbers apart up to here
_KINDS = "points_xy with labels, box_xyxy or mask"
_MOST_OTHERS = 20  # columns that are not read and looked at for slips
_LIKE = 0.8  # names this alike are taken for a slip


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
        spoken = {(p.object_id, p.frame_idx, kind) for p in by_key for kind in _kinds_of(p)}
        other = [p for p in by_uri if p not in by_key]
        more = [p for p in other if spoken.isdisjoint((p.object_id, p.frame_idx, kind) for kind in _kinds_of(p))]
        if len(more) < len(other):
            told = "%d prompts for %s by uri say otherwise than those by key of the same object and frame; the key's are taken"
            log.warning(told, len(other) - len(more), ref.uri)
        return sort_prompts([*by_key, *more])

    def spelled_as(self, keys: Collection[str]) -> "PromptTable":
        """The table with its videos spelled as they are listed: an accent may be one letter with its character or two.

        A name that is listed as it stands, or that two listed ones are like, stays.
        """
        listed: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            if not key.isascii():
                listed[composed(key)].append(key)
        if not listed:
            return self
        known, spelled = set(keys), dict[str, list[Prompt]]()
        names = {video: _spelling(video, known, listed) for video in {*self.by_video, *(row.video for row in self.bad_rows)}}
        for video, prompts in self.by_video.items():
            spelled.setdefault(names[video], []).extend(prompts)
        bad_rows = tuple(BadRow(names[row.video], row.line, row.message) for row in self.bad_rows)
        return PromptTable({video: sort_prompts(spelled[video]) for video in sorted(spelled)}, bad_rows)


def read_prompts(uri: str) -> PromptTable:
    """Read a prompt table (JSONL, CSV, Parquet; a path or s3://).

    A row that is wrong, or that says again what an earlier row said (the same object, frame and kind), is a bad row and
    never an exception. Raises BadConfiguration where the table cannot be read at all.
    """
    seen: dict[tuple[object, ...], tuple[int, str | None]] = {}
    good: dict[str, list[Prompt]] = defaultdict(list)
    bad: list[BadRow] = []
    others: dict[str, tuple[int, str | None]] = {}
    for row in read_rows(uri, what="prompt table", columns=("video", "object_id", "frame_idx")):
        video = _video_of(row)
        for name in sorted(row.values.keys() - COLUMNS.keys() - others.keys())[: _MOST_OTHERS - len(others)]:
            others[name] = row.line, _column_like(name)
        try:
            prompt = prompt_of(row)
            _require_new(seen, video, row.line, prompt)
        except ValueError as error:
            bad.append(BadRow(video, row.line, str(error)))
        else:
            good[video].append(prompt)
    for name, (line, meant) in others.items():
        if meant:
            told = "prompt table %s, line %d: the column %s is not read; was %s meant?"
            log.warning(told, uri, line, shown(name), meant)
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


def _spelling(video: str, known: Collection[str], listed: Mapping[str, list[str]]) -> str:
    if video in known or video.isascii():
        return video
    alike = listed.get(composed(video), [])
    return alike[0] if len(alike) == 1 else video


def _column_like(name: str) -> str | None:
    """The column that a name was probably to be."""
    if name.lower().startswith(("bbox", "box")):
        return "box_xyxy"
    return next(iter(difflib.get_close_matches(name.lower()[:40], COLUMNS, n=1, cutoff=_LIKE)), None)


def _others(values: Mapping[str, Any]) -> str | None:
    """What a row without a prompt has instead, in words."""
    others = sorted(values.keys() - COLUMNS.keys())
    meant = [f"{shown(name)} (was {like} meant?)" for name in others if (like := _column_like(name))]
    return ", ".join(meant)[:200] or None


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
    """The video as the table spells it, fit to be kept: what no store could keep is escaped, what nobody reads cut."""
    video = row.values.get("video")
    if not isinstance(video, str):
        return ""
    with suppress(ValueError):  # a file of another machine: the listing will not have it
        video = local_path(video)
    video = video.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return video.removeprefix("./") if len(video) <= _MOST_LETTERS else f"{video[:200]}..."


def _require_name(value: Any, name: str, expectation: str) -> None:
    require(isinstance(value, str) and bool(value.strip()), name, value, expectation)
    require(is_storable(value), name, value, f"{expectation} without NUL or lone surrogates")
    require(len(value) <= _MOST_LETTERS, name, value, f"{expectation} of at most {_MOST_LETTERS} letters")


def _parsed(values: Mapping[str, Any], column: str) -> Any:
    value = values.get(column)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{column} is {shown(value)}; expected JSON ({str(error)[:200]})") from error


def _text(values: Mapping[str, Any], column: str) -> str | None:
    value = values.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    _require_name(value, column, "text")
    return str(value)


def _integer(values: Mapping[str, Any], column: str) -> int:
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


def _numbers(value: Any, name: str, count: int, expectation: str) -> tuple[float, ...]:
    good = isinstance(value, (list, tuple)) and len(value) == count
    good = good and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    require(good, name, value, expectation)
    try:
        return tuple(float(v) for v in value)
    except OverflowError:
        raise ValueError(f"{name} is {shown(value)}; expected {expectation}, finite") from None


def _points(value: Any) -> tuple[Point, ...]:
    if value is None:
        return ()
    expectation = "a list of [x, y] pairs"
    require(isinstance(value, (list, tuple)), "points_xy", value, expectation)
    require(len(value) <= MOST_POINTS, "points_xy", f"{len(value)} points", f"at most {MOST_POINTS}")
    pairs = [_numbers(pair, "points_xy", 2, expectation) for pair in value]
    return tuple((pair[0], pair[1]) for pair in pairs)


def _labels(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    good = isinstance(value, (list, tuple)) and all(type(v) in (int, float) and v in (0, 1) for v in value)
    require(good, "labels", value, "a list of 1 (on the object) and 0 (beside it); corners of a box go to box_xyxy")
    return tuple(int(v) for v in value)


def _box(value: Any) -> Box | None:
    if value is None:
        return None
    x0, y0, x1, y1 = _numbers(value, "box_xyxy", 4, "[x0, y0, x1, y1]")
    return x0, y0, x1, y1


def _mask(value: Any) -> RLE | None:
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


def _run(length: Any) -> int:
    good = isinstance(length, int) or (isinstance(length, float) and length.is_integer())
    require(good and not isinstance(length, bool), "mask counts", length, "a whole number of pixels in each run")
    require(0 <= length <= MOST_PIXELS, "mask counts", length, f"a run of 0 to {MOST_PIXELS} pixels")
    return int(length)


def _span(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    first, end = _numbers(value, "span", 2, "[first frame, the frame after the last]")
    require(first.is_integer() and end.is_integer(), "span", value, "whole frame numbers")
    return int(first), int(end)
