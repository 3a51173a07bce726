"""Judge a dataset again by other rules, from stored signals; nothing is tracked."""

from rich.console import Console

from flows.cli.console import escape
from flows.run import review_queue as reviewing
from flows.run.certified import draw_configured, publish_accepting
from flows.run.plan import new_run_id
from labeling.config import LabelConfig
from labeling.objects import open_objects
from labeling.store.judges import judged_by
from labeling.store.lock import run_lock
from labeling.store.publish import recompute
from labeling.store.snapshots import Snapshot, newest_snapshot


def judge_again(config: LabelConfig, console: Console) -> Snapshot:
    """Make a snapshot whose verdicts follow `qc`, open and withdraw review items to fit, and say what changed."""
    objects, run_id = open_objects(config.store.root), new_run_id()
    with run_lock(objects, run_id, config.run.lock_stale_s) as lock, reviewing.open_queue(config) as queue:
        before = newest_snapshot(objects)
        decisions = queue.pending_decisions()
        snapshot = publish_accepting(
            objects, config.qc, run_id=run_id, decisions=decisions, still_held=lock.check, judging=recompute
        )
        opened = reviewing.open_items(objects, queue, snapshot, run_id, config.run)
        draw_configured(config, objects, queue, snapshot)
    was = before.counts if before else {}
    moved = ", ".join(f"{name} {was.get(name, 0)} -> {snapshot.counts[name]}" for name in ("accept", "review", "reject"))
    console.print(f"snapshot {snapshot.name} judged by qc={config.qc.name}: {moved}; {opened} new review items")
    console.print(escape(judged_by(objects, snapshot)), soft_wrap=True)
    return snapshot
