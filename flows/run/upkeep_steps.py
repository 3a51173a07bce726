"""The steps that keep a dataset in order: packing small files, removing what no kept snapshot needs, comparing checksums,
going back.

Each holds the root's lock while it writes, as a run does, and can be repeated after it was stopped at any point.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flows.run import review_queue as reviewing
from flows.run.plan import new_run_id
from labeling.certify.page import carry_along
from labeling.config import LabelConfig, default_scratch
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.store.commit import restore
from labeling.store.lock import run_lock
from labeling.store.snapshots import BadFile, Snapshot, read_snapshot, verify_files
from labeling.store.versions.compact import Compacted, CompactLimits, compact
from labeling.store.versions.upgrade import upgrade
from labeling.store.versions.vacuum import Retention, Vacuum, plan_vacuum, vacuum

T = TypeVar("T")

MIB, GIB = 1 << 20, 1 << 30


def compact_store(config: LabelConfig) -> Compacted | None:
    """Pack small files into a new snapshot; None when there are too few. Raises StoreBusy, or BadConfiguration without one."""
    objects, run_id, bounds = open_objects(config.store.root), new_run_id(), config.upkeep
    limits = _checked(lambda: CompactLimits(int(bounds.target_mib * MIB), bounds.min_files, int(bounds.compact_gib * GIB)))
    scratch = Path(config.run.scratch or default_scratch())
    with run_lock(objects, f"compact {run_id}", config.run.lock_stale_s) as lock:
        done = _checked(lambda: compact(objects, run_id=run_id, scratch=scratch, limits=limits, still_held=lock.check))
        if done is not None:
            carry_along(objects, done.snapshot)
        return done


def vacuum_store(config: LabelConfig, apply: bool = False) -> Vacuum:
    """Say what no kept snapshot needs and, with `apply`, remove it. Raises StoreBusy."""
    objects, bounds = open_objects(config.store.root), config.upkeep
    kept = _checked(lambda: Retention(bounds.keep_last, bounds.keep_days, tuple(bounds.keep), bounds.min_age_hours))
    if not apply:
        return _checked(lambda: plan_vacuum(objects, kept))
    with run_lock(objects, f"vacuum {new_run_id()}", config.run.lock_stale_s) as lock:
        planned = _checked(lambda: plan_vacuum(objects, kept))
        lock.check()
        vacuum(objects, planned)
        return planned


def verify_store(config: LabelConfig) -> list[BadFile]:
    """Compare the newest snapshot's files with their checksums: all, or another sample each time where they are too many."""
    objects = open_objects(config.store.root)
    snapshot = _checked(lambda: read_snapshot(objects))
    at_most = int(config.upkeep.verify_gib * GIB)
    return list(verify_files(objects, snapshot, at_most_bytes=at_most, seed=new_run_id()))


def restore_version(config: LabelConfig, version: str) -> tuple[Snapshot, int]:
    """Commit a snapshot equal to `version`, take waiting decisions in and let the review queue follow.

    Returns the snapshot and how many items are new.
    """
    objects, run_id = open_objects(config.store.root), new_run_id()
    with run_lock(objects, f"restore {run_id}", config.run.lock_stale_s) as lock, reviewing.open_queue(config) as queue:
        decisions = queue.pending_decisions()
        snapshot = _checked(lambda: restore(objects, version, run_id=run_id, decisions=decisions, still_held=lock.check))
        carry_along(objects, snapshot)
        return snapshot, reviewing.open_items(objects, queue, snapshot, run_id, config.run)


def upgrade_store(config: LabelConfig) -> tuple[Snapshot, bool]:
    """Bring a store to the newest storage version; returns the newest snapshot, and whether it was made now."""
    objects, run_id = open_objects(config.store.root), new_run_id()
    with run_lock(objects, f"upgrade {run_id}", config.run.lock_stale_s) as lock:
        snapshot = _checked(lambda: upgrade(objects, run_id=run_id, still_held=lock.check))
        carry_along(objects, snapshot)
    return snapshot, snapshot.run_id == run_id


def told_compacted(done: Compacted | None) -> str:
    """Say in a line what compacting came to."""
    if done is None:
        return "nothing to pack"
    over = f", {len(done.passed_over)} bad files passed over" if done.passed_over else ""
    return f"{done.snapshot.name}: {done.files_before} -> {done.files_after} files, {done.masks_packed} masks packed{over}"


def told_vacuum(done: Vacuum, *, applied: bool) -> str:
    """Say in a line what vacuuming came to, or would come to."""
    verb = "removed" if applied else "would remove"
    snapshots = f"{len(done.dropped)} snapshots, {len(done.kept)} stay"
    return f"{verb} {len(done.objects)} objects of {done.num_bytes / MIB:.1f} MiB ({snapshots})"


def _checked(work: Callable[[], T]) -> T:
    """Do `work`; a value that it refuses is the configuration's or the command line's."""
    try:
        return work()
    except ValueError as error:
        raise BadConfiguration(str(error)) from error
