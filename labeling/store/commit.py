"""Commits a version: what it names is staged beside, then one conditional write of `snapshots/vNNNNNN.json` makes it so."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labeling.objects import Objects, map_objects
from labeling.store import layout
from labeling.store.parquet import to_bytes
from labeling.store.snapshots import Contents, Snapshot
from labeling.store.versions.card import write_card
from labeling.types import Decision

log = logging.getLogger(__name__)


def commit(
    objects: Objects,
    parent: Snapshot | None,
    after: Contents,
    qc: Mapping[str, Any],
    *,
    run_id: str,
    note: str = "",
    still_held: Callable[[], None] = lambda: None,
) -> Snapshot | None:
    """Stage and commit the version after `parent`; None when another publisher committed it first.

    `still_held` is called right before the commit (a `RunLock.check`).
    """
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
        counts=_counts(after),
        qc=qc,
        note=note,
    )
    still_held()
    # From this write on the version is there, whole: readers find it by this object alone.
    won = objects.put_if_absent(layout.snapshot(version), snapshot.to_json())
    _tidy(objects, version)
    if not won:
        log.info("%s was committed by another publisher; starting over from it", snapshot.name)
        return None
    write_card(objects, snapshot, after)
    return snapshot


def _stage(objects: Objects, key: str, table: pa.Table) -> str:
    """Put a table where no reader looks yet and return its key: `key`, or a name by content where that one is taken.

    What lies there may belong to a publisher that is about to commit, so it is never written over.
    """
    body = to_bytes(table)
    if objects.put_if_absent(key, body) or objects.get(key) == body:
        return key
    own_key = key.replace(".parquet", f"-{hashlib.sha256(body).hexdigest()[:8]}.parquet")
    objects.put(own_key, body)
    return own_key


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


def _counts(after: Contents) -> dict[str, int]:
    verdicts = after.verdicts["verdict"].to_pylist()
    return {
        "videos": pc.count_distinct(after.tracks["video_id"]).as_py(),
        "tracks": len(after.tracks),
        "masks": pc.sum(after.tracks["num_masks"]).as_py() or 0,
        "visible_masks": pc.sum(after.tracks["num_visible"]).as_py() or 0,
        "decided": len(verdicts) - after.verdicts["decided_by"].null_count,
        **{decision.value: verdicts.count(decision.value) for decision in Decision},
    }
