"""Snapshots: immutable versions of a dataset, each committed by one conditional write of `snapshots/vNNNNNN.json`.

Its tables are named by that object and count for nothing without it: parts in storage version 3, whole tables that lie beside
it in version 2. Its data files are checked against the checksums that were noted when they were written.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import BadConfiguration
from labeling.objects import Objects, map_objects
from labeling.store import layout, schemas
from labeling.store.contents import (
    PART_TABLES,
    Contents,
    ReadRows,
    contents_between,
    files_in,
    ranges_of,
    tracks_in,
    verdicts_in,
    videos_in,
)
from labeling.store.documents import document_of, plain, typed
from labeling.store.parquet import read, sha256_of_object
from labeling.store.parts import Part, Parts, part_from_json, rows_between, rows_of
from labeling.types import Decision, JsonObject

WHOLE_TABLES = ("ledger", "files", "tracks", "videos", "verdicts")  # beside a snapshot of storage version 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version: which ledger, files and verdicts make it up, its parent, what it counts and how it was judged.

    `parts` are those of each table in storage version 3, and `queue` counts what is doubted, and what is in review because it
    is novel. In version 2 there are none, and `ledger`, `files`, `tracks`, `videos` and `verdicts` are keys of whole tables.
    `counts` has videos, tracks, masks, decided, and one entry for each verdict. `note` says what made it when that was no
    labelling.
    """

    version: int
    parent: int | None
    run_id: str
    created_at: str
    ledger: str
    files: str
    tracks: str
    videos: str
    verdicts: str
    counts: Mapping[str, int]
    qc: JsonObject
    note: str = ""
    storage_version: int = schemas.FILES_VERSION
    written_by: str = field(default_factory=lambda: f"samurai-labeling {schemas.code_version()}")
    parts: Parts = field(default_factory=dict)
    queue: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people call it."""
        return f"v{self.version:06d}"

    def to_json(self) -> bytes:
        """Return the object that commits it."""
        document = asdict(self)
        for name in WHOLE_TABLES if self.in_parts else ("parts", "queue"):
            del document[name]
        return json.dumps(document, indent=1, sort_keys=True).encode()

    @property
    def in_parts(self) -> bool:
        """Whether its tables are kept in parts."""
        return self.storage_version > schemas.FILES_VERSION

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its tables."""
        if self.in_parts:
            return tuple(part.file for parts in self.parts.values() for part in parts)
        return tuple(getattr(self, name) for name in WHOLE_TABLES)


def snapshot_from_json(body: bytes, name: str) -> Snapshot:
    """Read a snapshot; NewerStore when a newer version of this project wrote it, DamagedStore when it is not as written."""
    advice = "restore it from a copy, or move it away: then the version before is the newest, and what came since is due"
    return document_of(body, name, lambda document: _checked(document, name), advice=advice)


def _checked(content: object, name: str) -> Snapshot:
    document = plain(content, dict, "the snapshot")
    storage_version = plain(document["storage_version"], int, "storage_version")
    schemas.check_stamp(storage_version, str(document["written_by"]), name)
    parts: Parts = {}
    if storage_version > schemas.FILES_VERSION:
        parts = _parts(document["parts"])
        document = {**document, **dict.fromkeys(WHOLE_TABLES, "")}
    snapshot = replace(typed(Snapshot, {name: value for name, value in document.items() if name != "parts"}), parts=parts)
    if not name.endswith(f"/{layout.snapshot(snapshot.version)}"):
        raise ValueError(f"version is {snapshot.version}; expected that of its name")
    # Readers follow these keys wherever they lead, so each has to be a table of this version's own.
    for part in () if snapshot.in_parts else WHOLE_TABLES:
        if layout.staged_version(getattr(snapshot, part)) != snapshot.version:
            raise ValueError(f"{part} is {getattr(snapshot, part)!r}; expected the key of a table of this version")
    for count in ("videos", "tracks", "masks", "visible_masks", "decided", *Decision):
        if snapshot.counts[count] < 0:
            raise ValueError(f"counts.{count} is {snapshot.counts[count]}; expected 0 or more")
    datetime.fromisoformat(snapshot.created_at)
    plain(snapshot.qc.get("name", ""), str, "qc.name")
    for rule in plain(snapshot.qc.get("rules", []), list[dict], "qc.rules"):  # type: ignore[type-arg]
        if not {"reason", "signal", "bound", "review", "reject"} <= rule.keys():
            raise ValueError(f"qc.rules holds {rule!r}, which is no rule")
    return snapshot


def list_versions(objects: Objects) -> list[int]:
    """Return the committed versions, ascending."""
    versions = (layout.snapshot_version(stat.key) for stat in objects.list(f"{layout.SNAPSHOTS}v"))
    return sorted(version for version in versions if version is not None)


def newest_snapshot(objects: Objects) -> Snapshot | None:
    """Return the newest committed version, or None in a store that was never published."""
    versions = list_versions(objects)
    return read_snapshot(objects, versions[-1]) if versions else None


def read_snapshot(objects: Objects, version: int | str | None = None) -> Snapshot:
    """Return a version by number or name ("v000003"), the newest without one.

    Raises:
        ValueError: no such version; the message lists those that are there.
    """
    number = _number(version) if version is not None else None
    if number is None:
        versions = list_versions(objects)
        if not versions:
            raise BadConfiguration(f"{objects.root} has no snapshot; `labeling run` publishes the first one")
        number = versions[-1]
    key = layout.snapshot(number)
    try:
        return snapshot_from_json(objects.get(key), objects.uri(key))
    except FileNotFoundError:
        names = ", ".join(f"v{v:06d}" for v in list_versions(objects)) or "none"
        raise BadConfiguration(f"snapshot is {version!r}; {objects.root} has {names}") from None


def _number(version: int | str) -> int:
    digits = str(version).removeprefix("v")
    if not (digits.isascii() and digits.isdigit()):
        raise BadConfiguration(f"snapshot is {version!r}; expected a number or a name like v000003")
    return int(digits)


def _parts(document: object) -> Parts:
    tables = plain(document, dict[str, list], "parts")  # type: ignore[type-arg]
    return {table.name: tuple(_part(part) for part in tables[table.name]) for table in PART_TABLES}


def _part(document: object) -> Part:
    values = plain(document, dict, "a part")
    for name in ("rows", "num_bytes"):
        plain(values[name], int, name)
    return part_from_json(values)


def read_verdicts(objects: Objects, snapshot: Snapshot, video_ids: Iterable[str] | None = None) -> pa.Table:
    """Return a snapshot's verdicts as an Arrow table, a row per masklet, by (video_id, object_id); of some videos if given."""
    if snapshot.in_parts:
        return verdicts_in(objects, snapshot.parts, _reading(video_ids))
    return _of_videos(read(objects, snapshot.verdicts, schemas.VERDICTS), video_ids)


def read_tracks(objects: Objects, snapshot: Snapshot, video_ids: Iterable[str] | None = None) -> pa.Table:
    """Return a snapshot's current rows of `tracks` as an Arrow table, in the order of its verdicts; of some videos if given."""
    if snapshot.in_parts:
        return tracks_in(objects, snapshot.parts, _reading(video_ids))
    return _of_videos(read(objects, snapshot.tracks, schemas.SNAPSHOT_TRACKS), video_ids)


def read_videos(objects: Objects, snapshot: Snapshot, video_ids: Iterable[str] | None = None) -> pa.Table:
    """Return a snapshot's rows of `videos` as an Arrow table, one for each current video and batch; of some videos if given."""
    if snapshot.in_parts:
        return videos_in(objects, snapshot.parts, _reading(video_ids))
    return _of_videos(read(objects, snapshot.videos, schemas.VIDEOS), video_ids)


def _reading(video_ids: Iterable[str] | None) -> ReadRows:
    return rows_between if video_ids is None else partial(rows_of, video_ids=list(video_ids))


def _of_videos(rows: pa.Table, video_ids: Iterable[str] | None) -> pa.Table:
    return rows if video_ids is None else rows.filter(pc.is_in(rows["video_id"], pa.array(list(video_ids), pa.string())))


@dataclass(frozen=True, slots=True)
class Slice:
    """The tracks, verdicts and videos of some whole videos of a snapshot; `tracks` and `verdicts` in one order."""

    tracks: pa.Table
    verdicts: pa.Table
    videos: pa.Table


def slices_of(objects: Objects, snapshot: Snapshot, video_ids: Iterable[str] | None = None) -> Iterator[Slice]:
    """Yield a snapshot's rows by (video_id, object_id), those of about a leaf at a time; of some videos alone if given.

    Of a store of version 2 all come at once.
    """
    if not snapshot.in_parts or video_ids is not None:
        ids = None if video_ids is None else list(video_ids)
        yield Slice(*(read(objects, snapshot, ids) for read in (read_tracks, read_verdicts, read_videos)))
        return
    for first, stop in ranges_of(snapshot.parts):
        reading = partial(rows_between, first=first, stop=stop)
        yield Slice(*(read(objects, snapshot.parts, reading) for read in (tracks_in, verdicts_in, videos_in)))


def read_files(objects: Objects, snapshot: Snapshot) -> pa.Table:
    """Return a snapshot's files with rows and checksums as an Arrow table."""
    if snapshot.in_parts:
        return files_in(objects, snapshot.parts)
    return read(objects, snapshot.files, schemas.FILES)


def read_contents(objects: Objects, snapshot: Snapshot | None) -> Contents:
    """Read everything beside a snapshot; empty tables without one."""
    if snapshot is None:
        return Contents.none()
    if snapshot.in_parts:
        return contents_between(objects, snapshot.parts)
    return Contents(
        ledger=read(objects, snapshot.ledger, schemas.LEDGER),
        files=read_files(objects, snapshot),
        tracks=read_tracks(objects, snapshot),
        videos=read_videos(objects, snapshot),
        verdicts=read_verdicts(objects, snapshot),
    )


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is not as it was written: its key and what is wrong."""

    file: str
    problem: str


def verify_files(
    objects: Objects, snapshot: Snapshot, *, at_most_bytes: int | None = None, seed: str = ""
) -> Iterator[BadFile]:
    """Read every data file of a snapshot and yield those that are gone or changed.

    With `at_most_bytes`, a sample of about that many bytes is read: another one for each `seed`.
    """
    rows = read_files(objects, snapshot).select(["file", "num_bytes", "sha256"]).to_pylist()
    if at_most_bytes is not None:
        # Another order for each seed, so that the samples of many runs come to cover every file.
        random.Random(seed).shuffle(rows)
        before = accumulate((row["num_bytes"] for row in rows), initial=0)
        rows = [row for row, read in zip(rows, before, strict=False) if read < at_most_bytes]
    yield from filter(None, map_objects(objects, lambda row: _check(objects, row["file"], row["sha256"]), rows))


def checksum_problem(noted: str, sha256: str | None) -> str:
    """Say what is wrong with a file by its SHA-256, None where it is gone; "" where nothing is."""
    if sha256 is None:
        return "it is gone"
    return "" if sha256 == noted else f"its SHA-256 is {sha256[:12]}..., noted was {noted[:12]}..."


def _check(objects: Objects, file: str, noted: str) -> BadFile | None:
    try:
        sha256: str | None = sha256_of_object(objects, file)
    except FileNotFoundError:
        sha256 = None
    problem = checksum_problem(noted, sha256)
    return BadFile(file, problem) if problem else None
