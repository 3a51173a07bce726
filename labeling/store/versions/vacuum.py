"""Removes what no kept snapshot needs: old snapshots and what lies beside them, parts and data files that no other names.

The newest snapshot is always kept. What is younger than the age guard stays, whoever wrote it: a job puts its files before
the marker that names them. Files whose names are not this project's are never touched.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from labeling.errors import require
from labeling.objects import Objects, ObjectStat, map_objects
from labeling.store import layout
from labeling.store.commit import delete_all
from labeling.store.ledger import read_markers
from labeling.store.snapshots import Snapshot, list_versions, read_files, read_snapshot
from labeling.store.versions.card import CARD, README

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_FILES = rf"{re.escape(CARD)}|{re.escape(README)}|certificate\.(?:json|html)|splits\.parquet"
_BESIDE = re.compile(rf"snapshots/v(\d{{6,}})(?:\.json|/(?:{_FILES}))")


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: the last `keep_last` snapshots, those replaced less than `keep_days` ago, and those in `keep` by name.

    `min_age_hours` is the age guard: a snapshot replaced, or a file written, less than so long ago stays in any case.
    """

    keep_last: int = 10
    keep_days: float = 30.0
    keep: tuple[str, ...] = ()
    min_age_hours: float = 24.0

    def __post_init__(self) -> None:
        require(self.keep_last >= 1, "keep_last", self.keep_last, "1 snapshot or more")
        require(self.keep_days >= 0, "keep_days", self.keep_days, "days from 0 on")
        require(self.min_age_hours >= 0, "min_age_hours", self.min_age_hours, "hours from 0 on")


@dataclass(frozen=True, slots=True)
class Vacuum:
    """What may go: names of snapshots kept and dropped, and the objects, snapshots first."""

    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    objects: tuple[ObjectStat, ...]

    @property
    def num_bytes(self) -> int:
        """The bytes that would be free."""
        return sum(stat.num_bytes for stat in self.objects)


def plan_vacuum(objects: Objects, retention: Retention, *, now: float | None = None) -> Vacuum:
    """Say what may go; nothing is removed. `now` is in seconds since the epoch.

    Raises:
        ValueError: `keep` names a snapshot that is not there.
    """
    now = time.time() if now is None else now
    # Markers first: a publisher deletes them after its snapshot is there, so what they name is in one or the other.
    markers, bad = read_markers(objects)
    needed = {str(file["file"]) for marker in markers for file in marker.files}
    needed |= {file for marker in bad for file in layout.files_of_marker(marker.object_key)}
    versions = list_versions(objects)
    snapshots = list(map_objects(objects, lambda version: read_snapshot(objects, version), versions))
    retained = _retained(snapshots, retention, now)
    for snapshot in retained:
        needed |= _needed_by(snapshot)
    # Snapshots in parts mostly share their files.
    for of_files in {snapshot.parts.get("files") or snapshot.files: snapshot for snapshot in retained}.values():
        needed |= set(read_files(objects, of_files)["file"].to_pylist())
    # Later snapshots take their sides from the newest table, whatever snapshot it was made for.
    tables = [version for stat in objects.list(layout.SNAPSHOTS) if (version := layout.splits_version(stat.key)) is not None]
    needed |= {layout.splits(version) for version in sorted(tables)[-1:]}
    dropped = {s.version for s in snapshots} - {s.version for s in retained}
    before = now - retention.min_age_hours * _HOUR_S
    beside = [stat for stat in _beside(objects) if stat.key not in needed]
    removable = [stat for stat in beside if _version_of(stat.key) in dropped or stat.modified_at < before]
    commits = {layout.snapshot(version) for version in dropped}
    # Commits first: stopped half-way, there is no snapshot left that names what is gone.
    removable.sort(key=lambda stat: stat.key not in commits)
    removable += [stat for stat in _content(objects) if stat.key not in needed and stat.modified_at < before]
    names = tuple(s.name for s in snapshots if s.version in dropped)
    return Vacuum(tuple(s.name for s in retained), names, tuple(removable))


def vacuum(objects: Objects, planned: Vacuum) -> None:
    """Remove what a plan names, the snapshots before what they need; call it under the lock that the plan was made under.

    Stopped at any step it leaves whole snapshots, and files for the next one to find.
    """
    for stat in planned.objects:
        if layout.snapshot_version(stat.key) is not None:
            objects.delete(stat.key)
    delete_all(objects, (stat.key for stat in planned.objects if layout.snapshot_version(stat.key) is None))
    objects.sweep()


def _retained(snapshots: Sequence[Snapshot], retention: Retention, now: float) -> list[Snapshot]:
    by_name = {snapshot.name: snapshot for snapshot in snapshots}
    unknown = sorted(set(retention.keep) - by_name.keys())
    if unknown:
        raise ValueError(f"keep names {unknown[0]!r}; expected names among {', '.join(by_name) or 'none'}")
    patience_s = max(retention.keep_days * _DAY_S, retention.min_age_hours * _HOUR_S)
    retained = []
    for index, snapshot in enumerate(snapshots):
        after = snapshots[index + 1] if index + 1 < len(snapshots) else None
        last = index >= len(snapshots) - retention.keep_last
        # Whoever opened it while it was the newest has so long to read it.
        young = after is None or now - datetime.fromisoformat(after.created_at).timestamp() < patience_s
        if last or young or snapshot.name in retention.keep:
            retained.append(snapshot)
    return retained


def _needed_by(snapshot: Snapshot) -> set[str]:
    beside = layout.snapshot_folder(snapshot.version)
    keys = {layout.snapshot(snapshot.version), f"{beside}{CARD}", f"{beside}{README}"}
    keys |= {layout.certificate(snapshot.version, ending) for ending in ("json", "html")}
    keys.add(layout.splits(snapshot.version))
    return keys | set(snapshot.keys)


def _beside(objects: Objects) -> Iterator[ObjectStat]:
    for prefix in (layout.SNAPSHOTS, "ledger/compact-"):
        yield from (stat for stat in objects.list(prefix) if _version_of(stat.key) is not None)


def _version_of(key: str) -> int | None:
    match = _BESIDE.fullmatch(key)
    return int(match[1]) if match else layout.staged_version(key)


def _content(objects: Objects) -> Iterator[ObjectStat]:
    yield from (stat for stat in objects.list(layout.PARTS) if layout.is_part(stat.key))
    for table in layout.DATA_TABLES:
        yield from (stat for stat in objects.list(f"{table}/") if layout.is_data_file(stat.key))
