"""Tables as lists of parts: immutable Parquet files, named by content, each sorted by video, with its range of videos.

Parts that were merged are leaves: their ranges do not overlap. Those that came since lie over them. Of rows of one key the
one with the highest `changed_in` counts. Who looks for a video reads the parts whose range holds it, and of those the row
groups that their statistics do not rule out.
"""

import math
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labeling.errors import require
from labeling.objects import Objects, map_objects
from labeling.store import layout
from labeling.store.parquet import concat, conform, open_file, sha256_of, sound, sound_table
from labeling.types import JsonObject

LEAF_ROWS = 50_000
GROUP_ROWS = 1000  # few enough that one video costs little, many enough that a footer stays small
MERGE_ROWS, MERGE_SHARE, MERGE_PARTS = 50_000, 0.02, 16
CHANGED_IN = "changed_in"
LAST = "g"  # above every video_id: those are hex digits
_HASHED = 1 << 20


@dataclass(frozen=True, slots=True)
class PartTable:
    """A table that is kept in parts: its name, its schema, which has `changed_in` last, and the columns of its key."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]

    def __post_init__(self) -> None:
        require(self.key[0] == "video_id", "key", self.key, "video_id first")
        require(self.schema.names[-1] == CHANGED_IN, "schema", self.schema.names[-1], f"{CHANGED_IN} as its last column")


@dataclass(frozen=True, slots=True)
class Part:
    """One file: the least and the greatest video_id in it, its rows, bytes and checksum; `leaf` where it came of a merge."""

    file: str
    first: str
    last: str
    rows: int
    num_bytes: int
    sha256: str
    leaf: bool = False

    def __post_init__(self) -> None:
        require(self.first <= self.last, "first, last", (self.first, self.last), "a range of video ids")
        require(self.rows > 0 and self.num_bytes > 0, "rows, num_bytes", (self.rows, self.num_bytes), "counts above 0")

    def meets(self, first: str, stop: str) -> bool:
        """Return whether the part may hold a video from `first` on and before `stop`."""
        return self.first < stop and self.last >= first


def part_from_json(values: JsonObject) -> Part:
    """Read back what `dataclasses.asdict` made of a part; ValueError for a file that is no part's."""
    part = Part(**{name: values[name] for name in Part.__slots__})
    if not layout.is_part(part.file):
        raise ValueError(f"file is {part.file!r}; expected the key of a part")
    return part


def put_part(objects: Objects, table: PartTable, rows: pa.Table, *, leaf: bool = False) -> Part:
    """Write rows, sorted by the key, as one part; what lies under its name already has the same bytes."""
    with tempfile.TemporaryDirectory(prefix="part-") as folder:
        path = Path(folder) / "rows.parquet"
        # Statistics of what readers skip by, and of nothing else: footers are read for each look at a video.
        texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
        with pq.ParquetWriter(
            path, table.schema, compression="zstd", use_dictionary=texts, write_statistics=[table.key[0], CHANGED_IN],
            write_page_checksum=True,
        ) as writer:
            writer.write_table(rows, row_group_size=GROUP_ROWS)
        sha256 = sha256_of(path)
        first, last = rows["video_id"][0].as_py(), rows["video_id"][-1].as_py()
        part = Part(layout.part(table.name, sha256), first, last, len(rows), path.stat().st_size, sha256, leaf)
        objects.put_file(part.file, path)
    return part


def rows_of(
    objects: Objects, table: PartTable, parts: Sequence[Part], video_ids: Sequence[str], columns: Sequence[str] | None = None
) -> pa.Table:
    """Read the rows of some videos that count, by the key; `columns` must hold the key."""
    wanted = sorted(set(video_ids))
    array = pa.array(wanted, pa.string())

    def may_hold(first: str, last: str) -> bool:
        at = bisect_right(wanted, last)
        return at > 0 and wanted[at - 1] >= first

    def chosen(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.is_in(rows["video_id"], array))

    return _read(objects, table, parts, may_hold, chosen, columns)


def rows_between(
    objects: Objects,
    table: PartTable,
    parts: Sequence[Part],
    first: str = "",
    stop: str = LAST,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Read the rows that count of the videos from `first` on and before `stop`, by the key; `columns` must hold the key."""

    def chosen(rows: pa.Table) -> pa.Table:
        ids = rows["video_id"]
        if not len(rows) or (ids[0].as_py() >= first and ids[-1].as_py() < stop):
            return rows
        return rows.filter(pc.and_(pc.greater_equal(ids, first), pc.less(ids, stop)))

    return _read(objects, table, parts, lambda least, greatest: least < stop and greatest >= first, chosen, columns)


def _read(
    objects: Objects,
    table: PartTable,
    parts: Sequence[Part],
    may_hold: Callable[[str, str], bool],
    chosen: Callable[[pa.Table], pa.Table],
    columns: Sequence[str] | None,
) -> pa.Table:
    names = table.schema.names if columns is None else dict.fromkeys((*columns, CHANGED_IN))
    schema = pa.schema([table.schema.field(name) for name in names])
    hit = [part for part in parts if may_hold(part.first, part.last)]
    read = list(map_objects(objects, lambda part: _read_part(objects, part, schema, may_hold, chosen), hit))
    rows = concat([rows for rows in read if len(rows)], schema)
    return latest(rows, table.key) if len(hit) > 1 else rows


def _read_part(
    objects: Objects,
    part: Part,
    schema: pa.Schema,
    may_hold: Callable[[str, str], bool],
    chosen: Callable[[pa.Table], pa.Table],
) -> pa.Table:
    with open_file(objects, part.file, ranged=part.num_bytes > _HASHED) as opened, sound(objects.uri(part.file)):
        metadata = opened.metadata
        # Another file under this name would be taken for the one that a snapshot means.
        if metadata.num_rows != part.rows:
            raise ValueError(f"it has {metadata.num_rows} rows; expected {part.rows}")
        column = opened.schema_arrow.get_field_index("video_id")
        groups = []
        for number in range(metadata.num_row_groups):
            bounds = metadata.row_group(number).column(column).statistics
            if bounds is None or not bounds.has_min_max or may_hold(bounds.min, bounds.max):
                groups.append(number)
        if not groups:
            return schema.empty_table()
        there = [name for name in schema.names if name in opened.schema_arrow.names]
        return sound_table(conform(chosen(opened.read_row_groups(groups, columns=there)), schema))


def latest(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Keep the row with the highest `changed_in` of each key, sorted by the key."""
    ordered = rows.sort_by([(name, "ascending") for name in (*key, CHANGED_IN)]).combine_chunks()
    if len(ordered) < 2:
        return ordered
    differs = pc.not_equal(ordered[key[0]][1:], ordered[key[0]][:-1])
    for name in key[1:]:
        differs = pc.or_(differs, pc.not_equal(ordered[name][1:], ordered[name][:-1]))
    return ordered.filter(pa.chunked_array([*differs.chunks, pa.array([True])]))


def leaf_ranges(*tables: Sequence[Part]) -> list[tuple[str, str]]:
    """Cut all videos into half-open ranges of about a leaf each: those of the table with most rows."""
    most = max(tables, key=lambda parts: sum(part.rows for part in parts if part.leaf), default=())
    firsts = sorted(part.first for part in most if part.leaf)
    return list(pairwise(["", *firsts[1:], LAST]))


def worth_merging(parts: Sequence[Part]) -> bool:
    """Return whether what came since the last merge is so much, or in so many parts, that readers feel it."""
    new = [part for part in parts if not part.leaf]
    return len(new) > MERGE_PARTS or _much(new, [part for part in parts if part.leaf])


def _much(new: Sequence[Part], leaves: Sequence[Part]) -> bool:
    return sum(part.rows for part in new) > max(MERGE_ROWS, MERGE_SHARE * sum(part.rows for part in leaves))


def merged(
    objects: Objects,
    table: PartTable,
    parts: Sequence[Part],
    keep: Callable[[pa.Table], pa.Table] = lambda rows: rows,
    *,
    into_leaves: bool = False,
) -> list[Part]:
    """Merge what came since: where it is much, or asked for, into the leaves, else into one new part.

    A range that nothing new lies over keeps its leaf. `keep` drops rows that say that something is gone; it is asked only
    where no older row is left that they stand above.
    """
    new = [part for part in parts if not part.leaf]
    leaves = sorted((part for part in parts if part.leaf), key=lambda part: part.first)
    if not into_leaves and not _much(new, leaves):
        rows = rows_between(objects, table, new)
        return [*leaves, put_part(objects, table, rows)] if len(rows) else leaves
    out: list[Part] = []
    for number, (first, stop) in enumerate(leaf_ranges(leaves)):
        leaf, over = leaves[number : number + 1], [part for part in new if part.meets(first, stop)]
        if not over:
            out += leaf
            continue
        for least, before in _subranges(first, stop, [*leaf, *over]):
            rows = keep(rows_between(objects, table, [*leaf, *over], least, before))
            out += (put_part(objects, table, cut, leaf=True) for cut in leaf_cuts(rows))
    return out


def _subranges(first: str, stop: str, parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Cut a half-open range so that what is read of it at a time is a few leaves: video ids are hashes, so by their values."""
    least, before = _number(first), _number(stop)
    share = 0.0
    for part in parts:
        low, high = _number(part.first), _number(part.last) + 1
        share += part.rows * (min(high, before) - max(low, least)) / (high - low)
    count = max(1, math.ceil(share / (3 * LEAF_ROWS)))
    cuts = [f"{least + (before - least) * k // count:016x}" for k in range(1, count)]
    return list(pairwise([first, *cuts, stop]))


def _number(video_id: str) -> int:
    return int(video_id.ljust(16, "0")[:16], 16) if video_id < LAST else 16**16


def leaf_cuts(rows: pa.Table) -> Iterator[pa.Table]:
    """Cut sorted rows into leaves of about equal length; a video stays whole."""
    count = max(1, round(len(rows) / LEAF_ROWS))
    ids, start = rows["video_id"], 0
    for number in range(1, count + 1):
        stop = number * len(rows) // count
        while start < stop < len(rows) and ids[stop].as_py() == ids[stop - 1].as_py():
            stop += 1
        if stop > start:
            yield rows.slice(start, stop - start)
            start = stop


def changed_rows(before: pa.Table, after: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return the rows of `after` that `before` lacks or has otherwise; both have one row a key and the same columns."""
    if before.equals(after):
        return after.slice(0, 0)
    at = pc.index_in(joined_key(after, key), value_set=joined_key(before, key))
    new = pc.is_null(at)
    twins = before.take(pc.fill_null(at, 0)) if len(before) else None
    differs = new if twins is None else pc.or_(new, _differ(after, twins))
    return after.filter(differs).combine_chunks()


def removed_rows(before: pa.Table, after: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return the rows of `before` whose key `after` lacks."""
    return before.filter(pc.is_null(pc.index_in(joined_key(before, key), value_set=joined_key(after, key)))).combine_chunks()


def joined_key(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """Return each row's key as one text, so that tables are joined by it."""
    columns = [rows[name].combine_chunks().cast(pa.string()) for name in key]
    return pc.binary_join_element_wise(*columns, "/") if len(columns) > 1 else columns[0]


def _differ(rows: pa.Table, twins: pa.Table) -> pa.Array:
    differs = pa.repeat(pa.scalar(False), len(rows))
    for name in rows.column_names:
        left, right = rows[name].combine_chunks(), twins[name].combine_chunks()
        if pa.types.is_nested(left.type):
            unequal = pa.array([a != b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)], pa.bool_())
        else:
            one_is_null = pc.xor(pc.is_null(left), pc.is_null(right))
            unequal = pc.or_(one_is_null, pc.fill_null(pc.not_equal(left, right), False))
        differs = pc.or_(differs, unequal)
    return differs


def stamped(rows: pa.Table, version: int, table: PartTable) -> pa.Table:
    """Give rows the version that they changed in, sorted by the key."""
    column = pa.array([version] * len(rows), pa.int64())
    rows = conform(rows.append_column(CHANGED_IN, column), table.schema)
    return rows.sort_by([(name, "ascending") for name in table.key]).combine_chunks()


Parts = Mapping[str, tuple[Part, ...]]
