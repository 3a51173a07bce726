"""Packs a bucket's small files into large ones, in a new snapshot with the same rows; the files stay for older snapshots.

`masks` files are read one after another and written in the order of videos and objects; rows of `tracks` and `videos` are
the snapshot's own. Files that hold nothing current any more are named by the new snapshot no longer.
"""

import hashlib
import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labeling.errors import BadConfiguration, DamagedStore, StoreBusy, require
from labeling.objects import Objects, map_objects
from labeling.store import layout, schemas
from labeling.store.commit import commit
from labeling.store.contents import Contents
from labeling.store.parquet import concat, conform, open_bytes, open_writer, sha256_of
from labeling.store.reader import bounds_of, groups_of, masks_file, of_track
from labeling.store.snapshots import BadFile, Snapshot, checksum_problem, newest_snapshot, read_contents
from labeling.types import TableRow

log = logging.getLogger(__name__)

# Rows of neighbouring tracks share a row group until it has this many: fewer make footers that outweigh a track, more make
# a reader decode what it did not ask for.
GROUP_ROWS = 1024
_AHEAD_BYTES, _AHEAD_FILES = 32 << 20, 256  # fetched together


@dataclass(frozen=True, slots=True)
class CompactLimits:
    """What is packed: files below half of `target_bytes`, where a bucket has `min_files` of them; `at_most_bytes` in one go."""

    target_bytes: int = 128 << 20
    min_files: int = 8
    at_most_bytes: int = 200 << 30

    def __post_init__(self) -> None:
        require(self.target_bytes > 0, "target_bytes", self.target_bytes, "bytes above 0")
        require(self.min_files >= 2, "min_files", self.min_files, "2 files or more")
        require(self.at_most_bytes > 0, "at_most_bytes", self.at_most_bytes, "bytes above 0")


class Packer:
    """Collects rows of one table and bucket; a context manager that removes its scratch file, whatever happens.

    `files` are rows of `schemas.FILES` of what was put.
    """

    def __init__(
        self, objects: Objects, table: str, bucket: str, *, schema: pa.Schema, scratch: Path, target_bytes: int
    ) -> None:
        self._objects, self._table, self._bucket, self._schema = objects, table, bucket, schema
        self._path, self._target_bytes = scratch / f"{table}-{bucket}.parquet", target_bytes
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._num_rows = 0
        self.files: list[TableRow] = []

    def __enter__(self) -> "Packer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)

    def add(self, parts: Iterable[pa.Table]) -> int:
        """Write rows that must stay together, in order; returns the index in `files` of the file that they go to."""
        if self._writer is None:
            self._writer, self._num_rows = open_writer(self._path, self._schema), 0
        for part in filter(len, parts):
            self._waiting.append(part)
            self._num_rows += len(part)
            if sum(map(len, self._waiting)) >= GROUP_ROWS:
                self._write_group()
        number = len(self.files)
        if self._path.stat().st_size >= self._target_bytes:
            self.finish()
        return number

    def finish(self) -> None:
        """Put the file that is being written, if there is one."""
        if self._writer is None:
            return
        self._write_group()
        self._writer.close()
        self._writer = None
        sha256 = sha256_of(self._path)
        key = layout.packed_file(self._table, self._bucket, sha256)
        self.files.append({
            "file": key, "table": self._table, "video_id": "", "batch": "", "rows": self._num_rows,
            "num_bytes": self._path.stat().st_size, "sha256": sha256,
        })
        self._objects.put_file(key, self._path)

    def _write_group(self) -> None:
        assert self._writer is not None
        if self._waiting:
            rows = pa.concat_tables(self._waiting).combine_chunks()
            self._writer.write_table(rows, row_group_size=max(1, len(rows)))
        self._waiting = []


@dataclass(frozen=True, slots=True)
class Compacted:
    """What came of it: the new snapshot, its files and those of the one before, the masks packed, and what was passed over."""

    snapshot: Snapshot
    files_before: int
    files_after: int
    masks_packed: int
    bytes_packed: int
    passed_over: tuple[BadFile, ...]


@dataclass(slots=True)
class _Packed:
    """What was packed so far: new rows of `files`, the keys that they replace, where rows of `tracks` have their masks."""

    files: list[TableRow]
    replaced: set[str]
    masks_files: dict[int, str]
    passed_over: list[BadFile]


def compact(
    objects: Objects,
    *,
    run_id: str,
    scratch: Path,
    limits: CompactLimits | None = None,
    still_held: Callable[[], None] = lambda: None,
) -> Compacted | None:
    """Pack the newest snapshot's small files and commit the next one; None when there is nothing to pack.

    A file that is not as it was written is passed over. `still_held` is called before each bucket and before the commit.
    Written are packed files under their content's names and the snapshot; what they replace stays for older snapshots.

    Raises:
        BadConfiguration: the store was never published.
        DamagedStore: a track has other rows than it counts; no version was made.
        StoreBusy: another publisher committed meanwhile; what was packed is left to `vacuum`.
    """
    parent, limits = newest_snapshot(objects), limits or CompactLimits()
    if parent is None:
        raise BadConfiguration(f"{objects.root} has no snapshot, so there is nothing to pack; `labeling run` publishes one")
    before, packed = read_contents(objects, parent), _Packed([], set(), {}, [])
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compact-", dir=scratch) as folder:
        _pack_masks(objects, before, limits, Path(folder), packed, still_held)
        for table, schema in (("tracks", schemas.TRACKS), ("videos", schemas.VIDEOS)):
            _pack_small(objects, before, table, schema, limits, Path(folder), packed, still_held)
    after = _advance(before, packed)
    # A version that says nothing new would only push older ones out of what `vacuum` keeps.
    if after.same_as(before):
        return None
    snapshot = commit(objects, parent, after, parent.qc, run_id=run_id, note="compacted", still_held=still_held)
    # Not tried again: the winner may hold other rows, and packing them is as much work as this was.
    if snapshot is None:
        raise StoreBusy(f"{objects.root}: another publisher committed meanwhile; compact again")
    num_masks, num_bytes = (sum(row[n] for row in packed.files if row["table"] == "masks") for n in ("rows", "num_bytes"))
    return Compacted(snapshot, len(before.files), len(after.files), num_masks, num_bytes, tuple(packed.passed_over))


def _pack_masks(
    objects: Objects, before: Contents, limits: CompactLimits, scratch: Path, packed: _Packed, still_held: Callable[[], None]
) -> None:
    names = ["video_id", "track_id", "batch", "masks_file", "num_masks"]
    tracks: Sequence[TableRow] = before.tracks.select(names).to_pylist()
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, track in enumerate(tracks):
        rows_of[masks_file(track)].append(row)
    described = {row["file"]: row for row in before.files.filter(pc.equal(before.files["table"], "masks")).to_pylist()}
    packed.replaced |= described.keys() - rows_of.keys()  # older snapshots name them still, this one need not
    for bucket, files in _worth_packing([described[file] for file in rows_of if file in described], limits):
        still_held()
        with Packer(
            objects, "masks", bucket, schema=schemas.MASKS, scratch=scratch, target_bytes=limits.target_bytes
        ) as packer:
            file_numbers: dict[int, int] = {}
            for file, body in _bodies(objects, files, packed.passed_over):
                current = {row: tracks[row] for row in rows_of[file]}
                for row, parts in _tracks_in(body, objects.uri(file), current):
                    file_numbers[row] = packer.add(parts)
                packed.replaced.add(file)
            packer.finish()
            # A file is named by its content, so its key is known once it is full.
            packed.masks_files |= {row: str(packer.files[number]["file"]) for row, number in file_numbers.items()}
            packed.files += packer.files


def _worth_packing(files: Iterable[TableRow], limits: CompactLimits) -> Iterator[tuple[str, list[TableRow]]]:
    """Yield the buckets with enough small files, those with most first, until the bytes to be packed reach their limit."""
    by_bucket: dict[str, list[TableRow]] = defaultdict(list)
    for file in files:
        # Two files of half the target make a full one; what is larger gains too little to be written again.
        if file["num_bytes"] < limits.target_bytes / 2:
            by_bucket[layout.bucket_of(file["file"])].append(file)
    left = limits.at_most_bytes
    for bucket, small in sorted(by_bucket.items(), key=lambda item: (-len(item[1]), item[0])):
        if len(small) < limits.min_files or left <= 0:
            return
        left -= sum(file["num_bytes"] for file in small)
        yield bucket, sorted(small, key=lambda file: str(file["file"]))


def _bodies(objects: Objects, files: Sequence[TableRow], passed_over: list[BadFile]) -> Iterator[tuple[str, bytes]]:
    """Fetch files some at a time and yield those that are as they were written."""

    def fetched(file: TableRow) -> bytes | None:
        try:
            return objects.get(file["file"])
        except FileNotFoundError:
            return None

    for chunk in _chunks(files):
        for file, body in zip(chunk, map_objects(objects, fetched, chunk), strict=True):
            # Checked here, where every byte is at hand: a broken file must not become part of a new one with a sound checksum.
            problem = checksum_problem(file["sha256"], None if body is None else hashlib.sha256(body).hexdigest())
            if body is None or problem:
                log.warning("%s is passed over: %s", objects.uri(file["file"]), problem)
                passed_over.append(BadFile(file["file"], problem))
            else:
                yield file["file"], body


def _chunks(files: Sequence[TableRow]) -> Iterator[list[TableRow]]:
    """Yield files in order, as many together as are fetched at once."""
    chunk: list[TableRow] = []
    for file in files:
        chunk.append(file)
        if len(chunk) == _AHEAD_FILES or sum(row["num_bytes"] for row in chunk) >= _AHEAD_BYTES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _tracks_in(body: bytes, uri: str, tracks: Mapping[int, TableRow]) -> Iterator[tuple[int, Iterator[pa.Table]]]:
    """Yield tracks of one file with their rows, group by group; DamagedStore when a track's rows are not those counted."""
    with open_bytes(body, uri) as opened:
        bounds = bounds_of(opened.metadata)
        for row, track in tracks.items():
            groups = groups_of(bounds, track["video_id"], track["track_id"])
            parts = (conform(of_track(opened.read_row_group(group), track), schemas.MASKS) for group in groups)
            yield row, _counted(parts, track, uri)


def _counted(parts: Iterable[pa.Table], track: TableRow, uri: str) -> Iterator[pa.Table]:
    num_rows = 0
    for part in parts:
        num_rows += len(part)
        yield part
    if num_rows != track["num_masks"]:
        problem = f"{uri} has {num_rows} rows of object {track['track_id']}; expected {track['num_masks']}, as its track says"
        raise DamagedStore(f"{problem}. Nothing was changed: restore an older snapshot or label its video again")


def _pack_small(
    objects: Objects, before: Contents, table: str, schema: pa.Schema, limits: CompactLimits, scratch: Path, packed: _Packed,
    still_held: Callable[[], None],
) -> None:
    """Write the snapshot's own rows of `tracks` or `videos` as the file of each bucket that has enough small ones."""
    described = before.files.filter(pc.equal(before.files["table"], table)).to_pylist()
    current = set(zip(before.tracks["video_id"].to_pylist(), before.tracks["batch"].to_pylist(), strict=True))
    stale = {f["file"] for f in described if f["video_id"] and (f["video_id"], f["batch"]) not in current}
    packed.replaced |= stale
    files = [f["file"] for f in described if f["file"] not in stale]
    rows = conform(getattr(before, table), schema)
    for bucket, count in Counter(layout.bucket_of(file) for file in files).items():
        if count < limits.min_files:
            continue
        still_held()
        in_bucket = rows.filter(pc.starts_with(rows["video_id"], bucket))
        with Packer(objects, table, bucket, schema=schema, scratch=scratch, target_bytes=limits.target_bytes) as packer:
            for start in range(0, len(in_bucket), GROUP_ROWS):
                packer.add([in_bucket.slice(start, GROUP_ROWS)])
            packer.finish()
            packed.replaced |= {file for file in files if layout.bucket_of(file) == bucket}
            packed.files += packer.files


def _advance(before: Contents, packed: _Packed) -> Contents:
    """Return what the next snapshot holds: the same rows, elsewhere."""
    left = before.files.filter(pc.invert(pc.is_in(before.files["file"], pa.array(sorted(packed.replaced), pa.string()))))
    fresh = pa.Table.from_pylist(packed.files, schemas.FILES)
    masks_files = before.tracks["masks_file"].to_pylist()
    for row, file in packed.masks_files.items():
        masks_files[row] = file
    index, field = before.tracks.schema.get_field_index("masks_file"), schemas.SNAPSHOT_TRACKS.field("masks_file")
    files = concat([left, fresh], schemas.FILES).sort_by("file").combine_chunks()
    return replace(before, files=files, tracks=before.tracks.set_column(index, field, pa.array(masks_files, field.type)))
