"""What a run came to, and the few lines that say so."""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console

from flows.cli.console import escape
from flows.run.progress import overspent
from flows.run.review_queue import queue_shown
from labeling.config import LabelConfig
from labeling.store.plan import Plan
from labeling.store.runs import RunSummary
from labeling.store.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; `dead_letters` counts this run's by reason, `stopped` says why it ended before its plan did.

    `report` is its page's URI, "" for a run with nothing due, which has none.
    """

    run_id: str
    snapshot: str
    summary: RunSummary
    skipped: int
    dead_letters: Mapping[str, int]
    counts: Mapping[str, int]
    report: str
    stopped: str = ""


def outcome_of(config: LabelConfig, plan: Plan, summary: RunSummary, snapshot: Snapshot, *, report: str = "") -> Outcome:
    """Say what a run came to, from its plan, the summary of its jobs and the snapshot after it."""
    skipped = len(plan.entries) - len(plan.jobs)
    stopped = overspent(summary.num_jobs, summary.failures_by_reason, config.run.max_dead_letter_share)
    dead = dead_by_reason(plan, summary)
    return Outcome(plan.run_id, snapshot.name, summary, skipped, dead, snapshot.counts, report, stopped)


def dead_by_reason(plan: Plan, summary: RunSummary) -> dict[str, int]:
    """Count a run's dead letters: what the plan found and what the jobs left."""
    counted = Counter(letter.error.reason for letter in plan.dead)
    counted.update(summary.failures_by_reason)
    counted.update(summary.dead_objects_by_reason)
    return dict(counted.most_common())


def print_outcome(outcome: Outcome, config: LabelConfig, console: Console) -> None:
    """Say what a run came to in a few lines, and what to do next."""
    done, counts, root = outcome.summary, outcome.counts, escape(shlex.quote(f"store.root={config.store.root}"))
    rate = done.num_frames / done.wall_seconds if done.wall_seconds else 0.0
    console.print(f"[bold]run {outcome.run_id}[/] -> snapshot {outcome.snapshot} of {escape(config.store.root)}")
    console.print(
        f"  labelled {done.num_jobs - done.num_failed} videos ({done.num_objects} objects, {done.num_masks} masks, "
        f"{rate:.1f} frames/s with {done.num_workers} workers); {outcome.skipped} had nothing due"
    )
    verdicts = ", ".join(f"{name} {counts.get(name, 0)}" for name in ("accept", "review", "reject"))
    console.print(f"  verdicts of the whole dataset: {verdicts}")
    for reason, count in outcome.dead_letters.items():
        console.print(f"  [red]dead letters: {count} {escape(reason)}[/]  (labeling dead-letters list {root})", soft_wrap=True)
    if outcome.stopped:
        console.print(f"  [red]stopped before its end:[/] {escape(outcome.stopped)}. Mend that, then run again for the rest")
    if waiting := counts.get("review", 0):
        console.print(
            f"  {waiting} of {counts.get('tracks', waiting)} masklets wait for review, in {escape(queue_shown(config))}. "
            f"Next: labeling review serve {root}; exports leave them out without --verdict review", soft_wrap=True,
        )
    if outcome.report:
        console.print(f"  report: {escape(outcome.report)}", soft_wrap=True)
