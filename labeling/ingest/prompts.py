"""Prompt tables: what to follow, in which video, from which frame; each row is checked where it is read.

Columns: `video` (key relative to the source's root, or full uri), `object_id`, `frame_idx`, then `points_xy` with `labels`,
and/or `box_xyxy`, or `mask` (COCO RLE: {"size": [h, w], "counts": ...}), and optionally `category`, `source` and, of a
correction, `span`: the half-open span of frames that it may change. Lists and masks may be JSON text, as they must be in CSV.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from labeling.errors import require, shown
from labeling.ingest.names import composed
from labeling.ingest.prompt_rows import COLUMNS, MOST_LETTERS, column_like, kinds_of, prompt_of, values_of
from labeling.ingest.tables import Row, read_rows, write_rows
from labeling.objects_contract import local_path
from labeling.types import Prompt, VideoRef

log = logging.getLogger(__name__)

SCORED_COLUMNS: Mapping[str, pa.DataType] = {**COLUMNS, "score": pa.float64(), "found_by": pa.string()}
_MOST_OTHERS = 20  # columns that are not read and looked at for slips


@dataclass(frozen=True, slots=True)
class ScoredPrompt:
    """A seed that a program found: its prompt, a score in [0, 1] or None, and what found it."""

    prompt: Prompt
    score: float | None
    found_by: str

    @property
    def object_id(self) -> int:
        return self.prompt.object_id

    @property
    def frame_idx(self) -> int:
        return self.prompt.frame_idx


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
        claimed = {(p.object_id, p.frame_idx, kind) for p in by_key for kind in kinds_of(p)}
        other = [p for p in by_uri if p not in by_key]
        more = [p for p in other if claimed.isdisjoint((p.object_id, p.frame_idx, kind) for kind in kinds_of(p))]
        if len(more) < len(other):
            log.warning(
                "%d prompts for %s by uri say otherwise than those by key of the same object and frame; the key's are taken",
                len(other) - len(more), ref.uri,
            )
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
    """Read a prompt table (JSONL, CSV, Parquet; a path or s3://): prompts by video as the table spells it, and bad rows.

    Coordinates are pixels (x, y) of the upright frame; `frame_idx` counts source frames from 0; spans are half-open. A row
    that is wrong, or that says again what an earlier row said (the same object, frame and kind), is a bad row and never an
    exception. Raises BadConfiguration where the table cannot be read at all.
    """
    earlier: dict[tuple[object, ...], tuple[int, str | None]] = {}
    good: dict[str, list[Prompt]] = defaultdict(list)
    bad: list[BadRow] = []
    others: dict[str, tuple[int, str | None]] = {}
    for row in read_rows(uri, what="prompt table", columns=("video", "object_id", "frame_idx")):
        video = _video_of(row)
        for name in sorted(row.values.keys() - SCORED_COLUMNS.keys() - others.keys())[: _MOST_OTHERS - len(others)]:
            others[name] = row.line, column_like(name)
        try:
            prompt = prompt_of(row)
            _require_new(earlier, video, row.line, prompt)
        except ValueError as error:
            bad.append(BadRow(video, row.line, str(error)))
        else:
            good[video].append(prompt)
    # What stands in a misspelt column is lost, so each such name is said once.
    for name, (line, meant) in others.items():
        if meant:
            message = "prompt table %s, line %d: the column %s is not read; was %s meant?"
            log.warning(message, uri, line, shown(name), meant)
    return PromptTable({video: sort_prompts(good[video]) for video in sorted(good)}, tuple(bad))


def merge_prompts(table: PromptTable, newer: PromptTable) -> PromptTable:
    """Join two tables; where both speak of an object on a frame, the newer one's word replaces the other's."""
    merged = dict(table.by_video)
    for video, prompts in newer.by_video.items():
        replaced = {(p.object_id, p.frame_idx) for p in prompts}
        others = [p for p in merged.get(video, ()) if (p.object_id, p.frame_idx) not in replaced]
        merged[video] = sort_prompts([*others, *prompts])
    return PromptTable(dict(sorted(merged.items())), (*table.bad_rows, *newer.bad_rows))


def write_prompts(path: str | Path, rows: Iterable[tuple[str, Prompt]]) -> None:
    """Write (video, prompt) pairs as a table that `read_prompts` reads back; the suffix chooses JSONL, CSV or Parquet."""
    write_rows(str(path), (values_of(video, prompt) for video, prompt in rows), columns=COLUMNS)


def write_scored(path: str | Path, rows: Iterable[tuple[str, ScoredPrompt]]) -> None:
    """Write (video, seed) pairs as such a table, with two columns more, which `read_prompts` passes over."""
    scored = ({**values_of(video, s.prompt), "score": s.score, "found_by": s.found_by} for video, s in rows)
    write_rows(str(path), scored, columns=SCORED_COLUMNS)


def sort_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """The one order of prompts: by object, frame, kind, then their values; what is hashed does not depend on row order."""
    return tuple(sorted(prompts, key=lambda p: (p.object_id, p.frame_idx, kinds_of(p), repr(p))))


def _spelling(video: str, known: Collection[str], listed: Mapping[str, list[str]]) -> str:
    if video in known or video.isascii():
        return video
    alike = listed.get(composed(video), [])
    return alike[0] if len(alike) == 1 else video


def _require_new(
    earlier: dict[tuple[object, ...], tuple[int, str | None]], video: str, line: int, prompt: Prompt
) -> None:
    """Refuse what an earlier row said already, or said otherwise; `earlier` has the line and category by claim."""
    object_id, frame_idx = prompt.object_id, prompt.frame_idx
    # Of two rows that say the same thing nobody can tell which one is meant.
    claims = [(video, object_id, frame_idx, kind) for kind in kinds_of(prompt)]
    for claim in claims:
        if claim in earlier:
            first = f"object {object_id} has a {claim[-1]} prompt on frame {frame_idx} in line {earlier[claim][0]} already"
            raise ValueError(f"{first}; expected one row, or another frame")
    if prompt.category is not None:
        first_line, category = earlier.setdefault((video, object_id), (line, prompt.category))
        expectation = f"{category!r}, as line {first_line} says of object {object_id}"
        require(category == prompt.category, "category", prompt.category, expectation)
    earlier.update(dict.fromkeys(claims, (line, None)))


def _video_of(row: Row) -> str:
    """The video as the table spells it, fit to be kept: what no store could keep is escaped, what nobody reads cut."""
    video = row.values.get("video")
    if not isinstance(video, str):
        return ""
    with suppress(ValueError):  # a file of another machine: the listing will not have it
        video = local_path(video)
    video = video.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return video.removeprefix("./") if len(video) <= MOST_LETTERS else f"{video[:200]}..."
