"""Commits a version: what it names is staged beside, then one conditional write of `snapshots/vNNNNNN.json` makes it so.

To go back to an older version is to commit one that is equal to it; nothing is deleted. Results that the older one does not
have are withdrawn in the ledger: a later run labels anew what its prompts, model or videos then differ in, under versions and
file names that were never used. What people said of a version that is current again stands in the new snapshot too, as it
would in the next one that a run publishes.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import BadConfiguration, StoreBusy
from labeling.objects import Objects, map_objects
from labeling.store import layout, schemas
from labeling.store.changes import Changes
from labeling.store.contents import Contents
from labeling.store.ledger import read_ledger
from labeling.store.parquet import to_bytes
from labeling.store.snapshots import Snapshot, read_contents, read_snapshot
from labeling.store.verdicts import human_verdicts_of, with_human_verdicts
from labeling.store.versions.card import facts_of, write_card
from labeling.types import JsonObject, ReviewDecision

log = logging.getLogger(__name__)

# Version 3 is entered by `labeling upgrade` alone, until every reader of a whole table goes leaf by leaf.
NEW_STORES = schemas.FILES_VERSION
_RESULT = ["video_id", "object_id", "label_version", "batch"]


def commit(
    objects: Objects,
    parent: Snapshot | None,
    after: Contents,
    qc: JsonObject,
    *,
    run_id: str,
    note: str = "",
    still_held: Callable[[], None] = lambda: None,
) -> Snapshot | None:
    """Stage and commit the version after `parent`; None when another publisher committed it first.

    Written are what differs from `parent` as new parts, or in a store of version 2 the tables of `after`, then
    `snapshots/vNNNNNN.json` and its card. `still_held` is called right before the commit (a `RunLock.check`); what it raises
    leaves staged tables that the next commit of that version, or `vacuum`, removes.
    """
    if keeps_parts(parent):
        changes = Changes(objects, parent)
        changes.add(read_contents(objects, parent), after)
        return changes.commit(qc, run_id=run_id, note=note, still_held=still_held)
    version = parent.version + 1 if parent else 1
    beside = layout.snapshot_folder(version)
    snapshot = Snapshot(
        version=version,
        parent=parent.version if parent else None,
        run_id=run_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ledger=_stage(objects, layout.compact(version), after.ledger),
        files=_stage(objects, f"{beside}files.parquet", after.files),
        tracks=_stage(objects, f"{beside}tracks.parquet", after.tracks),
        videos=_stage(objects, f"{beside}videos.parquet", after.videos),
        verdicts=_stage(objects, f"{beside}verdicts/part-0.parquet", after.verdicts),
        counts=after.counts(),
        qc=qc,
        note=note,
    )
    # As late as can be: staging takes long, and a lock that was lost meanwhile is another run's.
    still_held()
    # From this write on the version is there, whole: readers find it by this object alone.
    won = objects.put_if_absent(layout.snapshot(version), snapshot.to_json())
    _tidy(objects, version)
    if not won:
        log.info("%s was committed by another publisher; starting over from it", snapshot.name)
        return None
    write_card(objects, snapshot, facts_of(after))
    return snapshot


def keeps_parts(parent: Snapshot | None) -> bool:
    """Return whether the next version is kept in parts: as the one before, and in a new store by what this code writes."""
    return parent.in_parts if parent else NEW_STORES > schemas.FILES_VERSION


def _stage(objects: Objects, key: str, table: pa.Table) -> str:
    """Put a table where no reader looks yet and return its key: `key`, or a name by content where that one is taken.

    What lies there may belong to a publisher that is about to commit, so it is never written over.
    """
    body = to_bytes(table)
    if objects.put_if_absent(key, body) or objects.get(key) == body:
        return key
    key_by_content = key.replace(".parquet", f"-{hashlib.sha256(body).hexdigest()[:8]}.parquet")
    objects.put(key_by_content, body)
    return key_by_content


def _tidy(objects: Objects, version: int) -> None:
    """Remove what was staged for a version by others than the one that committed it: no reader will ever be sent there."""
    committed = json.loads(objects.get(layout.snapshot(version)))
    named = {committed[part] for part in ("ledger", "files", "tracks", "videos", "verdicts")}
    listed = (*objects.list(layout.snapshot_folder(version)), *objects.list(layout.compact(version).removesuffix(".parquet")))
    staged = [stat.key for stat in listed if layout.staged_version(stat.key) == version]
    delete_all(objects, [key for key in staged if key not in named])


def delete_all(objects: Objects, keys: Iterable[str]) -> None:
    """Remove objects, many at a time."""
    for _ in map_objects(objects, objects.delete, keys):
        pass


def restore(
    objects: Objects,
    version: int | str,
    *,
    run_id: str,
    decisions: Iterable[ReviewDecision] = (),
    still_held: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Commit a snapshot equal to `version` but for `decisions`, and return it; the newest is returned where nothing differs.

    Call it under the run lock.

    Raises:
        ValueError: there is no such version.
        BadConfiguration: a run left results that no snapshot has.
        StoreBusy: another publisher committed meanwhile.
    """
    old, ledger = read_snapshot(objects, version), read_ledger(objects)
    # A pending marker would be taken in by the next publish, and its results would stand above those restored.
    if ledger.markers:
        raise BadConfiguration(
            f"{objects.root} has {len(ledger.markers)} results that no snapshot has, left by a run that was interrupted; "
            f"publish them first (`labeling qc store.root={objects.root}`, or run again), then restore {old.name}"
        )
    assert ledger.snapshot
    contents = read_contents(objects, old)
    verdicts = with_human_verdicts(contents.verdicts, human_verdicts_of(decisions))
    if old.version == ledger.snapshot.version and verdicts.equals(contents.verdicts):
        return old
    after = replace(contents, ledger=_withdrawn_but(ledger.table, contents.ledger), verdicts=verdicts)
    note = f"restored from {old.name}"
    snapshot = commit(objects, ledger.snapshot, after, old.qc, run_id=run_id, note=note, still_held=still_held)
    if snapshot is None:
        raise StoreBusy(f"{objects.root}: another publisher committed meanwhile; restore again")
    return snapshot


def _withdrawn_but(now: pa.Table, then: pa.Table) -> pa.Table:
    """Return the ledger of now with every result withdrawn but those that were not withdrawn in that of then."""
    # Withdrawn, not removed: a version and a batch name stay taken, so that no file of another snapshot is written again.
    still_valid = then.filter(pc.invert(pc.fill_null(then["withdrawn"], False)))
    gone = now.join(still_valid.select(_RESULT), _RESULT, join_type="left anti")
    parts = [
        _with(still_valid, pa.nulls(len(still_valid), pa.bool_())), _with(gone, pa.array([True] * len(gone), pa.bool_())),
    ]
    return pa.concat_tables(parts).sort_by([(name, "ascending") for name in _RESULT]).combine_chunks()


def _with(rows: pa.Table, withdrawn: pa.Array) -> pa.Table:
    arrays = [withdrawn if f.name == "withdrawn" else rows[f.name].cast(f.type) for f in schemas.LEDGER]
    return pa.Table.from_arrays(arrays, schema=schemas.LEDGER)
