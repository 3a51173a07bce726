"""Files of runs in the store: resolved configuration, plan, summary of receipts; and the estimate that the next plan draws
from those summaries.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from labeling.errors import BadConfiguration, DamagedStore
from labeling.logs import held_out, redact
from labeling.objects import Objects, ObjectStat, map_objects
from labeling.store import layout
from labeling.store.documents import OnDamage, plain, read_document, typed, warned
from labeling.store.plan import Plan
from labeling.types import JsonObject

T = TypeVar("T")

CONFIG, PLAN, SUMMARY = "config.json", "plan.json", "summary.json"
ASIDE = "restore it from a copy, or move it away: only what is told of that run goes with it"
_RUNS_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What came of a run's jobs. `worker_seconds` adds up over workers; `wall_seconds` is the clock on the wall.

    `labelled_bytes` are the lengths of the video files that were labelled, which is what a plan knows beforehand.
    `failures_by_reason` counts jobs, `dead_objects_by_reason` objects that failed alone in jobs that did not.
    """

    run_id: str
    num_jobs: int
    num_failed: int
    num_objects: int
    num_masks: int
    num_frames: int
    num_workers: int
    video_seconds: float
    labelled_bytes: int
    worker_seconds: float
    wall_seconds: float
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    failures_by_reason: Mapping[str, int] = field(default_factory=dict)
    dead_objects_by_reason: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a plan should take, from `num_jobs` jobs of past runs."""

    seconds: float
    num_workers: int
    num_jobs: int


def write_run_file(objects: Objects, run_id: str, name: str, content: JsonObject) -> str:
    """Put plain values as one JSON file of a run; returns its key."""
    key = f"{layout.run_folder(run_id)}{name}"
    objects.put(key, json.dumps(content, indent=1, sort_keys=True).encode())
    return key


def write_config(objects: Objects, run_id: str, config: JsonObject) -> str:
    """Write a run's resolved configuration to `config.json` of its folder; returns the key."""
    return write_run_file(objects, run_id, CONFIG, config)


def write_plan(objects: Objects, plan: Plan) -> str:
    """Write what a run was to do to `plan.json` of its folder; returns the key.

    Of the videos those that will run, of the others how many there are for each reason, and what was refused.
    """
    will_run = [asdict(entry) for entry in plan.entries if entry.will_run]
    dead = [{"video": held_out(d.video), "reason": d.error.reason, "message": redact(d.error.message)} for d in plan.dead]
    document = {
        "run_id": plan.run_id, "reasons": plan.reasons, "due_bytes": plan.due_bytes, "will_run": will_run, "dead": dead,
    }
    return write_run_file(objects, plan.run_id, PLAN, document)


def write_summary(objects: Objects, summary: RunSummary) -> str:
    """Write what came of a run to `summary.json` of its folder; returns the key."""
    return write_run_file(objects, summary.run_id, SUMMARY, asdict(summary))


def list_runs(objects: Objects) -> list[str]:
    """Return the ids of the runs that left anything, ascending."""
    return sorted({stat.key.split("/")[1] for stat in objects.list("runs/") if layout.is_run_file(stat.key)})


def read_config(objects: Objects, run_id: str) -> JsonObject:
    """Read a run's resolved configuration; BadConfiguration names the latest runs where it left none."""
    return _read(objects, run_id, CONFIG, lambda document: plain(document, dict, CONFIG))


def read_plan(objects: Objects, run_id: str) -> JsonObject:
    """Read what a run was to do, as `write_plan` put it; BadConfiguration names the latest runs where it left no plan."""
    return _read(objects, run_id, PLAN, _plan)


def _plan(document: object) -> JsonObject:
    plan = plain(document, dict, PLAN)
    plain(plan["reasons"], dict[str, int], "reasons")
    plain(plan["will_run"], list, "will_run")
    return plan


def read_summary(objects: Objects, run_id: str) -> RunSummary:
    """Read what came of a run; BadConfiguration names the latest runs where it left no summary."""
    return _read(objects, run_id, SUMMARY, _summary)


def _summary(document: object) -> RunSummary:
    return typed(RunSummary, document)


def seconds_per_byte(summaries: Iterable[RunSummary]) -> float | None:
    """Return how long past runs' workers took for a byte of video; None when no run says anything."""
    useful = [s for s in summaries if s.labelled_bytes > 0 and s.worker_seconds > 0]
    if not useful:
        return None
    # By bytes, because that is all that a plan knows of a video before it is fetched.
    return sum(s.worker_seconds for s in useful) / sum(s.labelled_bytes for s in useful)


def estimate(plan: Plan, summaries: Iterable[RunSummary], *, num_workers: int) -> Estimate | None:
    """Say how long a plan should take, from past runs' seconds per byte of video; None when no run says anything."""
    useful = [s for s in summaries if s.labelled_bytes > 0 and s.worker_seconds > 0]
    per_byte = seconds_per_byte(useful)
    if per_byte is None:
        return None
    # A video is never shared among workers.
    workers = max(1, min(num_workers, len(plan.jobs)))
    num_jobs = sum(s.num_jobs - s.num_failed for s in useful)
    return Estimate(per_byte * plan.due_bytes / workers, workers, num_jobs)


def recent_summaries(objects: Objects, *, at_most: int = _RUNS_LOOKED_AT) -> list[RunSummary]:
    """Return the summaries of the runs that ended last, newest first; a damaged one is left out, and named in the log."""
    return recent_files(objects, SUMMARY, _summary, at_most=at_most)


def recent_files(
    objects: Objects, name: str, make: Callable[[object], T], *, at_most: int, on_damage: OnDamage = warned
) -> list[T]:
    """Return what `make` makes of the files of one name that runs wrote last, newest first.

    `on_damage` is told of a file that is not as it was written; it is left out.
    """

    def read_file(stat: ObjectStat) -> T | None:
        try:
            return read_document(objects, stat.key, make, advice=ASIDE)
        except FileNotFoundError:
            return None
        except DamagedStore as error:
            on_damage(error)
            return None

    # By the store's own clock: ids of runs are chosen by people and need not ascend.
    stats = [stat for stat in objects.list("runs/") if layout.is_run_file(stat.key, name)]
    newest = sorted(stats, key=lambda stat: stat.modified_at, reverse=True)[:at_most]
    return [content for content in map_objects(objects, read_file, newest) if content is not None]


def _read(objects: Objects, run_id: str, name: str, make: Callable[[object], T]) -> T:
    try:
        return read_document(objects, f"{layout.run_folder(run_id)}{name}", make, advice=ASIDE)
    except FileNotFoundError:
        latest = ", ".join(list_runs(objects)[-10:]) or "none"
        raise BadConfiguration(f"run {run_id!r} left no {name} in {objects.root}; its latest runs: {latest}") from None
