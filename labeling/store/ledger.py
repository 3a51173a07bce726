"""The ledger: which results a store holds, by the newest snapshot, and the markers since."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import DamagedStore
from labeling.objects import Objects, map_objects
from labeling.store import layout, schemas
from labeling.store.contents import ledger_of_videos
from labeling.store.documents import plain, problem_of, read_document
from labeling.store.keys import batch_of, held_key
from labeling.store.parquet import concat, newest, read
from labeling.store.snapshots import Snapshot, newest_snapshot
from labeling.types import Cell, TableRow

log = logging.getLogger(__name__)

_VERSIONS = 2**31


@dataclass(frozen=True, slots=True)
class Result:
    """The newest result of one object: its version and key, and a JSON text of the digests of what made it."""

    label_version: int
    key: str
    components: str


def components_of(result: Result) -> Mapping[str, str]:
    """Return the digests of what a result was made of; empty where its marker held none, or none that can be read."""
    try:
        return plain(json.loads(result.components), dict[str, str], "components")
    except ValueError:
        return {}


@dataclass(frozen=True, slots=True)
class Marker:
    """One batch's done marker: its rows for the ledger and for `files`, and the object that it was read from."""

    object_key: str
    video_id: str
    batch: str
    results: tuple[TableRow, ...]
    files: tuple[TableRow, ...]

    def file_of(self, table: str) -> str:
        """The key of the batch's file of one table."""
        return layout.data_file(table, self.video_id, self.batch)


@dataclass(frozen=True, slots=True)
class BadMarker:
    """A marker that is not as it was written, and what is wrong."""

    object_key: str
    problem: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every result that a store holds, current and superseded.

    `table` has the columns of `schemas.LEDGER`; `markers` are those that no snapshot has taken in yet, `bad` those that are
    not as they were written: their objects count as not done. A result that was withdrawn by going back to an older snapshot
    is no object's newest; its version and its key stay taken.
    """

    table: pa.Table
    markers: tuple[Marker, ...] = ()
    snapshot: Snapshot | None = None
    bad: tuple[BadMarker, ...] = ()
    _newest: dict[tuple[str, int], Result] = field(default_factory=dict, repr=False)
    _results: set[tuple[str, int, str]] = field(default_factory=set, repr=False)
    _withdrawn: dict[tuple[str, int], int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.table)

    def newest(self, video_id: str, object_id: int) -> Result | None:
        """The object's newest result, or None."""
        return self._newest.get((video_id, object_id))

    def covers(self, video_id: str, object_id: int, key: str) -> bool:
        """Return whether the object's newest result was made with this key.

        The video is asked for too: two copies of one file have equal keys and are two videos of the dataset.
        """
        result = self._newest.get((video_id, object_id))
        return result is not None and result.key == key

    def awaits_answer(self, video_id: str, object_id: int, key: str) -> bool:
        """Return whether the object's newest result is what is held in place of the one with this key."""
        result = self._newest.get((video_id, object_id))
        return result is not None and result.key == held_key(key)

    def holds(self, video_id: str, object_id: int, key: str) -> bool:
        """Return whether any result of the object, superseded or not, was made with this key."""
        return (video_id, object_id, key) in self._results

    def version_of(self, video_id: str, object_id: int) -> int:
        """The highest label_version that a result of the object has had, 0 when it has none."""
        result = self._newest.get((video_id, object_id))
        return max(result.label_version if result else 0, self._withdrawn.get((video_id, object_id), 0))

    def batch_for(self, video_id: str, keys: Mapping[int, str]) -> str:
        """Name the batch that will hold these objects' next results.

        Where an object had a result, its next version is named too: its key may be that of an older result (a prompt was
        changed and changed back), whose files belong to snapshots and must not be written again.
        """
        versions = {o: self.version_of(video_id, o) + 1 for o in keys}
        return batch_of(f"{key} v{versions[o]}" if versions[o] > 1 else key for o, key in keys.items())

    def videos(self) -> set[str]:
        """The ids of the videos that have a result."""
        return {video_id for video_id, _ in self._newest}


def read_ledger(objects: Objects, video_ids: Iterable[str] | None = None) -> Ledger:
    """Read what a store holds, of some videos where they are given: pending markers, and the newest snapshot's results.

    A store in parts knows of superseded results their versions alone, not their keys.

    A marker that is not as it was written is in `bad`; DamagedStore where the snapshot or its compact ledger is not.
    """
    # Markers first: they are deleted after the snapshot that takes them in, so one that has gone is in what is read next.
    markers, bad = read_markers(objects)
    base = newest_snapshot(objects)
    if base is None:
        published = schemas.LEDGER.empty_table()
    elif base.in_parts:
        published = ledger_of_videos(objects, base.parts["objects"], video_ids)
    else:
        published = read(objects, base.ledger, schemas.LEDGER)
    return ledger_of(_joined(published, markers), markers=markers, snapshot=base, bad=bad)


def ledger_table(published: pa.Table, markers: Sequence[Marker]) -> pa.Table:
    """Join what snapshots hold with what waits, each result once."""
    return _without_twins(_joined(published, markers)) if markers else published


def _joined(published: pa.Table, markers: Sequence[Marker]) -> pa.Table:
    rows = [row for marker in markers for row in marker.results]
    return concat([published, pa.Table.from_pylist(rows, schema=schemas.LEDGER)], schemas.LEDGER)


def ledger_of(
    table: pa.Table, *, markers: tuple[Marker, ...] = (), snapshot: Snapshot | None = None, bad: tuple[BadMarker, ...] = ()
) -> Ledger:
    """Make a ledger from rows of `schemas.LEDGER`; of rows that a snapshot and a marker both have, one stays."""
    rows = _without_twins(table) if markers else table
    withdrawn = pc.fill_null(rows["withdrawn"], False)
    # Of withdrawn results the version alone matters: the object's next one has to be above it.
    current, gone = newest(rows.filter(pc.invert(withdrawn))), newest(rows.filter(withdrawn))
    names = ("video_id", "object_id", "label_version", "key", "components")
    results = {(v, o): Result(n, k, c) for v, o, n, k, c in _zipped(current, *names)}
    highest = {(v, o): n for v, o, n in _zipped(gone, "video_id", "object_id", "label_version")}
    return Ledger(rows, markers, snapshot, bad, results, set(_zipped(rows, "video_id", "object_id", "key")), highest)


def _zipped(table: pa.Table, *names: str) -> Iterator[tuple[Cell, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def read_markers(objects: Objects) -> tuple[tuple[Marker, ...], tuple[BadMarker, ...]]:
    """Read every pending marker, in the order of their keys: those that are whole, and those that are not.

    One that goes away meanwhile was taken in and is left out.
    """
    keys = (stat.key for stat in objects.list(layout.PENDING) if stat.key.endswith(".json"))
    markers = [marker for marker in map_objects(objects, lambda key: _read_marker(objects, key), keys) if marker is not None]
    bad = tuple(marker for marker in markers if isinstance(marker, BadMarker))
    for marker in bad:
        log.warning("%s is no done marker (%s): its video is due", objects.uri(marker.object_key), marker.problem)
    return tuple(marker for marker in markers if isinstance(marker, Marker)), bad


def _read_marker(objects: Objects, key: str) -> Marker | BadMarker | None:
    try:
        return read_document(objects, key, lambda document: _marker(key, document, objects.uri(key)))
    except FileNotFoundError:
        return None
    except DamagedStore as error:
        return BadMarker(key, problem_of(error.__cause__ or error))


def _marker(key: str, content: object, uri: str) -> Marker:
    document = plain(content, dict, "the marker")
    schemas.check_stamp(plain(document["storage_version"], int, "storage_version"), str(document["written_by"]), uri)
    shared = {name: plain(document[name], str, name) for name in ("video_id", "batch", "run_id", "written_at")}
    # A marker that was copied to another key would be taken in twice.
    if key != layout.marker(shared["run_id"], shared["video_id"], shared["batch"]):
        raise ValueError(f"it is of {shared['video_id']}-{shared['batch']}, run {shared['run_id']}; expected what its key says")
    objects = [plain(o, dict, "objects") for o in plain(document["objects"], list, "objects")]
    results = tuple(
        {
            **shared, "object_id": plain(o["object_id"], int, "object_id"), "label_version": _version(o["label_version"]),
            "key": plain(o["key"], str, "key"),
            "components": json.dumps(plain(o["components"], dict[str, str], "components"), sort_keys=True),
        }
        for o in objects
    )
    files = tuple(_file(f, shared) for f in plain(document["files"], list, "files"))
    if not results or {f["table"] for f in files} != set(layout.DATA_TABLES):
        raise ValueError(f"it names {len(results)} objects and {len(files)} files; expected objects and a file of each table")
    return Marker(key, shared["video_id"], shared["batch"], results, files)


def _version(value: object) -> int:
    version = plain(value, int, "label_version")
    if not 1 <= version < _VERSIONS:
        raise ValueError(f"label_version is {version}; expected a version from 1 on")
    return version


def _file(content: object, shared: Mapping[str, str]) -> TableRow:
    values = plain(content, dict, "files")
    file = plain(values["file"], str, "file")
    table = file.partition("/")[0]
    if file != layout.data_file(table, shared["video_id"], shared["batch"]) or not layout.is_data_file(file):
        raise ValueError(f"file is {file!r}; expected one of its batch")
    kinds = {"rows": int, "num_bytes": int, "sha256": str}
    described: dict[str, Cell] = {name: plain(values[name], kind, name) for name, kind in kinds.items()}
    return {"file": file, "table": table, "video_id": shared["video_id"], "batch": shared["batch"], **described}


def _without_twins(table: pa.Table) -> pa.Table:
    # Twins are there while a publisher that was killed after its commit has not deleted the markers that it took in.
    names = ["video_id", "object_id", "label_version", "batch"]
    others = ["key", "run_id", "written_at", "components", "withdrawn"]
    grouped = table.group_by(names, use_threads=False).aggregate([(name, "last") for name in others])
    columns = [*names, *(f"{name}_last" for name in others)]
    arrays = dict(zip([*names, *others], (grouped[c] for c in columns), strict=True))
    return pa.Table.from_arrays([arrays[f.name].cast(f.type) for f in schemas.LEDGER], schema=schemas.LEDGER)
