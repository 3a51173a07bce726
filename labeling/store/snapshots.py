"""Snapshots: immutable versions of a dataset, each committed by one conditional write of `snapshots/vNNNNNN.json`.

What lies beside a snapshot (files, tracks, videos, verdicts) is named by that object and counts for nothing without it. Its
data files are checked against the checksums that were noted when they were written.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from itertools import accumulate

import pyarrow as pa

from labeling.errors import BadConfiguration
from labeling.objects import Objects, map_objects
from labeling.store import layout, schemas
from labeling.store.documents import document_of, plain, typed
from labeling.store.parquet import read, sha256_of_object
from labeling.types import Decision, JsonObject


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version: which ledger, files and verdicts make it up, its parent, what it counts and how it was judged.

    `ledger`, `files`, `tracks`, `videos` and `verdicts` are keys under the root. `counts` has videos, tracks, masks,
    decided, and one entry for each verdict. `note` says what made it when that was no labelling.
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
    storage_version: int = schemas.STORAGE_VERSION
    written_by: str = field(default_factory=lambda: f"samurai-labeling {schemas.code_version()}")

    @property
    def name(self) -> str:
        """What people call it."""
        return f"v{self.version:06d}"

    def to_json(self) -> bytes:
        """Return the object that commits it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()


def snapshot_from_json(body: bytes, name: str) -> Snapshot:
    """Read a snapshot; NewerStore when a newer version of this project wrote it, DamagedStore when it is not as written."""
    advice = "restore it from a copy, or move it away: then the version before is the newest, and what came since is due"
    return document_of(body, name, lambda document: _checked(document, name), advice=advice)


def _checked(content: object, name: str) -> Snapshot:
    document = plain(content, dict, "the snapshot")
    schemas.check_stamp(plain(document["storage_version"], int, "storage_version"), str(document["written_by"]), name)
    snapshot = typed(Snapshot, document)
    if not name.endswith(f"/{layout.snapshot(snapshot.version)}"):
        raise ValueError(f"version is {snapshot.version}; expected that of its name")
    # Readers follow these keys wherever they lead, so each has to be a table of this version's own.
    for part in ("ledger", "files", "tracks", "videos", "verdicts"):
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


def read_verdicts(objects: Objects, snapshot: Snapshot) -> pa.Table:
    """Return a snapshot's verdicts as an Arrow table, one row per masklet, by (video_id, object_id)."""
    return read(objects, snapshot.verdicts, schemas.VERDICTS)


def read_tracks(objects: Objects, snapshot: Snapshot) -> pa.Table:
    """Return a snapshot's current rows of `tracks` as an Arrow table, in the order of its verdicts."""
    return read(objects, snapshot.tracks, schemas.SNAPSHOT_TRACKS)


def read_videos(objects: Objects, snapshot: Snapshot) -> pa.Table:
    """Return a snapshot's rows of `videos` as an Arrow table, one for each video and batch that is current."""
    return read(objects, snapshot.videos, schemas.VIDEOS)


def read_files(objects: Objects, snapshot: Snapshot) -> pa.Table:
    """Return a snapshot's files with rows and checksums as an Arrow table."""
    return read(objects, snapshot.files, schemas.FILES)


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies beside one snapshot, as Arrow tables, and the whole ledger's rows."""

    ledger: pa.Table
    files: pa.Table
    tracks: pa.Table
    videos: pa.Table
    verdicts: pa.Table

    def same_as(self, other: "Contents") -> bool:
        """Return whether every row is the same."""
        return all(getattr(self, f.name).equals(getattr(other, f.name)) for f in fields(self))


def read_contents(objects: Objects, snapshot: Snapshot | None) -> Contents:
    """Read everything beside a snapshot; empty tables without one."""
    if snapshot is None:
        empty = (schemas.LEDGER, schemas.FILES, schemas.SNAPSHOT_TRACKS, schemas.VIDEOS, schemas.VERDICTS)
        return Contents(*(schema.empty_table() for schema in empty))
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
