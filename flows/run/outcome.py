"""What a run came to, the lines that say so, and past runs side by side: settings, pace, verdicts."""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
from rich.console import Console

from flows.cli.console import escape
from flows.run.progress import overspent
from flows.run.review_queue import queue_shown
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.objects import Objects, open_objects
from labeling.store.dead_videos import DEAD
from labeling.store.judges import judged_by
from labeling.store.lock import holder_of
from labeling.store.plan import Plan
from labeling.store.run_state import Doing, RunState, read_state, recent_states
from labeling.store.runs import RunSummary, list_runs, read_config, read_summary
from labeling.store.snapshots import Snapshot, read_snapshot, slices_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; `dead_letters` counts this run's by reason, `stopped` says why it ended before its plan did.

    `report` is its page's URI, "" for a run with nothing due, which has none; `judged` says what gave the risks.
    `dead_before` counts videos that were left out, in whole or in part, since their unchanged inputs failed before.
    """

    run_id: str
    snapshot: str
    summary: RunSummary
    skipped: int
    dead_letters: Mapping[str, int]
    counts: Mapping[str, int]
    report: str
    stopped: str = ""
    judged: str = ""
    dead_before: int = 0


def outcome_of(config: LabelConfig, plan: Plan, summary: RunSummary, snapshot: Snapshot, *, report: str = "") -> Outcome:
    """Say what a run came to, from its plan, the summary of its jobs and the snapshot after it."""
    skipped = len(plan.entries) - len(plan.jobs)
    stopped = overspent(summary.num_jobs, summary.failures_by_reason, config.run.max_dead_letter_share)
    dead = dead_by_reason(plan, summary)
    judged = judged_by(open_objects(config.store.root), snapshot)
    dead_before = sum(DEAD in entry.why for entry in plan.entries)
    return Outcome(plan.run_id, snapshot.name, summary, skipped, dead, snapshot.counts, report, stopped, judged, dead_before)


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
    if outcome.judged:
        console.print(f"  {escape(outcome.judged)}", soft_wrap=True)
    for reason, count in outcome.dead_letters.items():
        console.print(f"  [red]dead letters: {count} {escape(reason)}[/]  (labeling dead-letters list {root})", soft_wrap=True)
    if outcome.dead_before:
        console.print(
            f"  {outcome.dead_before} videos failed before and are as they were: not tried again  "
            f"(labeling dead-letters list {root}; `replay` tries)", soft_wrap=True,
        )
    if outcome.stopped:
        console.print(f"  [red]stopped before its end:[/] {escape(outcome.stopped)}. Mend that, then run again for the rest")
    if waiting := counts.get("review", 0):
        console.print(
            f"  {waiting} of {counts.get('tracks', waiting)} masklets wait for review, in {escape(queue_shown(config))}. "
            f"Next: labeling review serve {root}; exports leave them out without --verdict review", soft_wrap=True,
        )
    if outcome.report:
        console.print(f"  report: {escape(outcome.report)}", soft_wrap=True)


# Names a run and changes nothing about it.
_IDENTITY = frozenset({"run.id"})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run: its state and settings, and the verdicts of the masklets that it made, as its snapshot has them.

    `how` is what became of it; `seconds_by_stage` add up over its workers.
    """

    state: RunState
    how: str
    config: Mapping[str, Any]
    seconds_by_stage: Mapping[str, float]
    verdicts: Mapping[str, int]


def how_it_went(objects: Objects, state: RunState) -> str:
    """Say in a word what became of a run: done, failed, interrupted, or what it is at."""
    if state.over:
        return state.doing.value
    holder = holder_of(objects)
    return state.doing.value if holder is not None and holder.name == state.run_id else "interrupted"


def facts_of(objects: Objects, run_id: str) -> RunFacts:
    """Gather a run's facts; `latest` names the newest. BadConfiguration lists the runs that are there."""
    state = _state_of(objects, run_id)
    config = flat(read_config(objects, state.run_id))
    stages = read_summary(objects, state.run_id).seconds_by_stage if state.doing is not Doing.LABEL and state.snapshot else {}
    verdicts = verdicts_made(objects, read_snapshot(objects, state.snapshot), state.run_id) if state.snapshot else {}
    return RunFacts(state, how_it_went(objects, state), config, stages, verdicts)


def _state_of(objects: Objects, run_id: str) -> RunState:
    newest = recent_states(objects, at_most=1) if run_id == "latest" else []
    found = newest[0] if newest else read_state(objects, run_id)
    if found is None:
        there = ", ".join(list_runs(objects)[-10:]) or "none"
        raise BadConfiguration(f"run is {run_id!r}; expected `latest` or one of those in {objects.root}: {there}")
    return found


def verdicts_made(objects: Objects, snapshot: Snapshot, run_id: str) -> Mapping[str, int]:
    """Count the verdicts of the masklets that a run made, in one of the snapshots that hold them."""
    verdicts: Counter[str] = Counter()
    for rows in slices_of(objects, snapshot):
        of_run = pc.equal(rows.tracks["run_id"], run_id)
        verdicts.update(rows.verdicts.filter(of_run)["verdict"].to_pylist())
    return verdicts


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested settings as `group.name: value`."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        inner = isinstance(value, Mapping) and bool(value)
        found |= flat(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two configurations differ, with both values."""
    names = sorted((a.keys() | b.keys()) - _IDENTITY)
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}
