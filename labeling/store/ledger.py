"""The ledger: which results a store holds. One compact Parquet file up to the newest snapshot, and the markers since."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labeling.objects import Objects
from labeling.store import layout, schemas
from labeling.store.each import each
from labeling.store.keys import batch_of
from labeling.store.parquet import concat, newest, read
from labeling.store.snapshots import Snapshot, newest_snapshot


@dataclass(frozen=True, slots=True)
class Done:
    """The newest result of one object: its version and key, and a JSON text of the digests of what made it."""

    label_version: int
    key: str
    components: str


def components_of(done: Done) -> Mapping[str, str]:
    """Return the digests of what a result was made of; empty where its marker said nothing."""
    parts: dict[str, str] = json.loads(done.components)
    return parts


@dataclass(frozen=True, slots=True)
class Marker:
    """One batch's done marker: its rows for the ledger and for `files`, and the object that it was read from."""

    object_key: str
    video_id: str
    batch: str
    results: tuple[Mapping[str, Any], ...]
    files: tuple[Mapping[str, Any], ...]

    def file_of(self, table: str) -> str:
        """The key of the batch's file of one table."""
        return layout.data_file(table, self.video_id, self.batch)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every result that a store holds, current and superseded.

    `table` has the columns of `schemas.LEDGER`; `markers` are those that no snapshot has taken in yet. A result that was
    withdrawn by going back to an older snapshot is no object's newest; its version and its key stay taken.
    """

    table: Any
    markers: tuple[Marker, ...] = ()
    snapshot: Snapshot | None = None
    _newest: dict[tuple[str, int], Done] = field(default_factory=dict, repr=False)
    _results: set[tuple[str, int, str]] = field(default_factory=set, repr=False)
    _withdrawn: dict[tuple[str, int], int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.table)

    def newest(self, video_id: str, object_id: int) -> Done | None:
        """The object's newest result, or None."""
        return self._newest.get((video_id, object_id))

    def covers(self, video_id: str, object_id: int, key: str) -> bool:
        """Whether the object's newest result was made with this key.

        The video is asked for too: two copies of one file have equal keys and are two videos of the dataset.
        """
        done = self._newest.get((video_id, object_id))
        return done is not None and done.key == key

    def holds(self, video_id: str, object_id: int, key: str) -> bool:
        """Whether any result of the object, superseded or not, was made with this key."""
        return (video_id, object_id, key) in self._results

    def version_of(self, video_id: str, object_id: int) -> int:
        """The highest label_version that a result of the object has had, 0 when it has none."""
        done = self._newest.get((video_id, object_id))
        return max(done.label_version if done else 0, self._withdrawn.get((video_id, object_id), 0))

    def batch_for(self, video_id: str, keys: Mapping[int, str]) -> str:
        """Name the batch that will hold these objects' next results.

        Where a key has a result that was superseded since (a prompt was changed and changed back), its next version is
        named too: the files of the old result belong to snapshots and must not be written again.
        """
        named = (
            f"{key} v{self.version_of(video_id, o) + 1}" if self.holds(video_id, o, key) else key for o, key in keys.items()
        )
        return batch_of(named)

    def videos(self) -> set[str]:
        """The ids of the videos that have a result."""
        return {video_id for video_id, _ in self._newest}


def read_ledger(objects: Objects) -> Ledger:
    """Read what a store holds: every pending marker and the compact ledger of the newest snapshot."""
    # Markers first: they are deleted after the snapshot that takes them in, so one that has gone is in what is read next.
    markers = tuple(read_markers(objects))
    base = newest_snapshot(objects)
    compacted = [read(objects, base.ledger, schemas.LEDGER)] if base else []
    rows = [row for marker in markers for row in marker.results]
    joined = concat([*compacted, pa.Table.from_pylist(rows, schema=schemas.LEDGER)], schemas.LEDGER)
    return ledger_of(joined, markers=markers, snapshot=base)


def ledger_of(table: Any, *, markers: tuple[Marker, ...] = (), snapshot: Snapshot | None = None) -> Ledger:
    """Make a ledger from rows of `schemas.LEDGER`; of rows that a snapshot and a marker both have, one stays."""
    rows = _without_twins(table) if markers else table
    withdrawn = pc.fill_null(rows["withdrawn"], False)
    current, gone = newest(rows.filter(pc.invert(withdrawn))), newest(rows.filter(withdrawn))
    names = ("video_id", "object_id", "label_version", "key", "components")
    done = {(v, o): Done(n, k, c) for v, o, n, k, c in _zipped(current, *names)}
    highest = {(v, o): n for v, o, n in _zipped(gone, "video_id", "object_id", "label_version")}
    return Ledger(rows, markers, snapshot, done, set(_zipped(rows, "video_id", "object_id", "key")), highest)


def _zipped(table: Any, *names: str) -> Iterator[Any]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def read_markers(objects: Objects) -> Iterator[Marker]:
    """Read every pending marker, in the order of their keys; one that goes away meanwhile was taken in and is left out."""
    keys = (stat.key for stat in objects.list(layout.PENDING) if stat.key.endswith(".json"))
    yield from filter(None, each(objects, lambda key: _read_marker(objects, key), keys))


def _read_marker(objects: Objects, key: str) -> Marker | None:
    try:
        body = objects.get(key)
    except FileNotFoundError:
        return None
    try:
        said = json.loads(body)
        schemas.check_stamp(said["storage_version"], said["written_by"], objects.uri(key))
        return _marker(key, said)
    except schemas.NewerStore:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{objects.uri(key)} is no done marker ({error!r}); delete it, and the next run labels its video again"
        ) from error


def _marker(key: str, said: Mapping[str, Any]) -> Marker:
    shared = {name: said[name] for name in ("video_id", "batch", "run_id", "written_at")}
    results = tuple(
        {
            **shared, "object_id": o["object_id"], "label_version": o["label_version"], "key": o["key"],
            "components": json.dumps(o["components"], sort_keys=True),
        }
        for o in said["objects"]
    )
    files = tuple(
        {"video_id": said["video_id"], "batch": said["batch"], "table": str(f["file"]).partition("/")[0], **f}
        for f in said["files"]
    )
    return Marker(key, said["video_id"], said["batch"], results, files)


def _without_twins(table: Any) -> Any:
    names = ["video_id", "object_id", "label_version", "batch"]
    kept = ["key", "run_id", "written_at", "components", "withdrawn"]
    grouped = table.group_by(names, use_threads=False).aggregate([(name, "last") for name in kept])
    columns = [*names, *(f"{name}_last" for name in kept)]
    arrays = dict(zip([*names, *kept], (grouped[c] for c in columns), strict=True))
    return pa.Table.from_arrays([arrays[f.name].cast(f.type) for f in schemas.LEDGER], schema=schemas.LEDGER)
