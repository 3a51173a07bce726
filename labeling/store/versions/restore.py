"""Goes back to an older snapshot by committing a new one that is equal to it; nothing is deleted.

Results that the older one does not have are withdrawn in the ledger: a later run labels anew what its prompts, model or
videos then differ in, under versions and file names that were never used. What people said of a version that is current again
stands in the new snapshot too, as it would in the next one that a run publishes.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import BadConfiguration, StoreBusy
from labeling.objects import Objects
from labeling.store import schemas
from labeling.store.commit import commit
from labeling.store.ledger import read_ledger
from labeling.store.snapshots import Snapshot, read_contents, read_snapshot
from labeling.store.verdicts import human_verdicts_of, with_human_verdicts
from labeling.types import ReviewDecision

_RESULT = ["video_id", "object_id", "label_version", "batch"]


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
    valid = then.filter(pc.invert(pc.fill_null(then["withdrawn"], False))).select(_RESULT)
    still_valid, gone = now.join(valid, _RESULT, join_type="left semi"), now.join(valid, _RESULT, join_type="left anti")
    parts = [
        _with(still_valid, pa.nulls(len(still_valid), pa.bool_())), _with(gone, pa.array([True] * len(gone), pa.bool_())),
    ]
    return pa.concat_tables(parts).sort_by([(name, "ascending") for name in _RESULT]).combine_chunks()


def _with(rows: pa.Table, withdrawn: pa.Array) -> pa.Table:
    arrays = [withdrawn if f.name == "withdrawn" else rows[f.name].cast(f.type) for f in schemas.LEDGER]
    return pa.Table.from_arrays(arrays, schema=schemas.LEDGER)
