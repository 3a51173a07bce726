"""From a configuration to a plan: listing, prompts and corrections joined with what the store holds."""

import json
import os
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.cli.console import escape
from flows.run import review_queue as reviewing
from flows.run.metrics import check_textfile
from flows.run.out_folder import check_folder
from labeling.config import LabelConfig, SeedCheck, SourceConfig, default_scratch
from labeling.ingest.listing import list_videos, why_not_listed
from labeling.ingest.prompts import PromptTable, merge_prompts, read_prompts
from labeling.ingest.tables import read_rows
from labeling.objects import Objects, open_objects
from labeling.store.dead_videos import leave_dead_out
from labeling.store.keys import canonical_json, digest, recipe_for
from labeling.store.ledger import read_ledger
from labeling.store.plan import Plan, limit_to_corrected_spans, make_plan
from labeling.store.runs import Estimate, estimate, recent_summaries
from labeling.track.predictor import TrackerRecipe, check_checkpoint, recipe_of

SHOWN = 40


def new_run_id() -> str:
    """Name a run by its start in UTC, so that runs sort by time; the tail keeps two in one second apart."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def plan_run(
    config: LabelConfig, objects: Objects, run_id: str, *, corrections: PromptTable, only: Collection[str] | None = None
) -> tuple[TrackerRecipe, Plan]:
    """Return the recipe, and the plan: a job for each video with something due, an entry for each video, letters for bad input.

    Only the listing, the prompt table and the ledger are read; nothing is downloaded or written. `only` names videos by key;
    named ones are tried again even where their inputs have failed with a verdict on themselves.

    Raises:
        BadConfiguration: a source, prompt table or checkpoint that cannot be read.
        Unavailable: a server does not answer.
    """
    recipe = recipe_of(config.model, config.precision, config.tracker)
    refs = list(list_videos(config.source))
    given = read_prompts(config.prompts.uri).spelled_as([name for ref in refs for name in (ref.key, ref.uri)])
    table = merge_prompts(given, corrections)
    whole = not part_of(config.source)
    ledger = read_ledger(objects, [ref.video_id for ref in refs])
    plan = make_plan(
        (ref for ref in refs if only is None or ref.key in only or ref.uri in only),
        table,
        ledger,
        recipe_for(recipe, config.source, config.track, config.prompts),
        run_id,
        whole_source=whole and only is None,
        asking=config.qc.seeds is SeedCheck.ask,
        why_not_listed=partial(why_not_listed, config.source),
    )
    plan = limit_to_corrected_spans(objects, ledger, plan)
    return recipe, plan if only is not None else leave_dead_out(objects, plan)


def part_of(source: SourceConfig) -> str:
    """Return what tells the part of the source that a run looks at from others; "" for all of it."""
    part = [source.limit, source.glob, source.manifest]
    return "" if part == [None, "**", None] else digest(canonical_json([source.uri, *part]))[:16]


def check_inputs(config: LabelConfig) -> None:
    """Refuse what a run cannot begin with: no source, an unreadable prompt table, a network that cannot be built.

    Nothing is written and nothing started. Raises BadConfiguration, BadInput for weights of another network, or Unavailable.
    """
    open_objects(config.store.root)
    check_textfile(config)
    if not (config.cluster.address or os.environ.get("RAY_ADDRESS")):   # elsewhere only the nodes have it
        check_folder(Path(config.run.scratch or default_scratch()), "run.scratch")
    recipe = recipe_of(config.model, config.precision, config.tracker)
    next(read_rows(config.prompts.uri, what="prompt table", columns=("video", "object_id", "frame_idx")), None)
    next(list_videos(config.source), None)
    if config.model.checkpoint:
        check_checkpoint(recipe, config.model.checkpoint)


def print_plan(config: LabelConfig, console: Console, *, as_json: bool = False) -> tuple[TrackerRecipe, Plan]:
    """Print what a run would do and why, and about how long it would take, and return it; nothing is written."""
    objects = open_objects(config.store.root)
    recipe, plan = plan_run(config, objects, new_run_id(), corrections=reviewing.corrections_now(config, objects))
    from labeling.pool.cluster import usable_cpus  # brings Ray along, which a run with nothing due does without

    guess = estimate(plan, recent_summaries(objects), num_workers=config.cluster.actors or usable_cpus())
    if as_json:
        print(json.dumps(plain(plan, guess), indent=1))
        return recipe, plan
    table = Table("video", "runs", "why", "objects", box=None)
    for entry in sorted(plan.entries, key=lambda e: not e.will_run)[:SHOWN]:
        objects_due = ", ".join(map(str, entry.due_objects))
        table.add_row(escape(entry.key), "yes" if entry.will_run else "no", escape(entry.why), objects_due)
    console.print(table)
    if len(plan.entries) > SHOWN:
        console.print(f"... and {len(plan.entries) - SHOWN} more")
    for letter in plan.dead:
        message = escape(f"{letter.video}: {letter.error.message}")
        console.print(f"[red]{escape(letter.error.reason)}[/] {message}", soft_wrap=True)
    console.print(f"{len(plan.jobs)} of {len(plan.entries)} videos are due: " + _told(plan.reasons))
    if plan.jobs and guess:
        console.print(f"about {guess.seconds:.0f} s with {guess.num_workers} workers, from {guess.num_jobs} jobs of past runs")
    return recipe, plan


def plain(plan: Plan, guess: Estimate | None) -> dict[str, Any]:
    """Return a plan as plain values, for programs."""
    entries = [
        {"video": entry.key, "will_run": entry.will_run, "why": entry.why, "due_objects": list(entry.due_objects)}
        for entry in plan.entries
    ]
    dead = [{"video": letter.video, "reason": letter.error.reason, "message": letter.error.message} for letter in plan.dead]
    return {
        "due": len(plan.jobs), "videos": len(plan.entries), "reasons": dict(plan.reasons), "due_bytes": plan.due_bytes,
        "seconds": guess.seconds if guess else None, "entries": entries, "dead": dead,
    }


def _told(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {why}" for why, count in reasons.items()) or "nothing listed"
