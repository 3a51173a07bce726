"""From a configuration to a plan: listing, prompts and corrections joined with what the store holds."""

import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from flows import reviewing
from labeling.config import LabelConfig
from labeling.ingest.listing import list_videos
from labeling.ingest.prompts import PromptTable, merge_prompts, read_prompts
from labeling.objects import Objects, open_objects
from labeling.pool.cluster import usable_cpus
from labeling.store.kept import keep_what_is_not_corrected
from labeling.store.keys import recipe_for
from labeling.store.ledger import read_ledger
from labeling.store.plan import Plan, make_plan
from labeling.store.runs import estimate, recent_summaries
from labeling.track.predictor import TrackerRecipe, recipe_of

SHOWN = 40


def new_run_id() -> str:
    """Name a run by its start in UTC, so that runs sort by time; the tail keeps two in one second apart."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def plan_run(
    config: LabelConfig, objects: Objects, run_id: str, *, corrections: PromptTable, only: Collection[str] | None = None
) -> tuple[TrackerRecipe, Plan]:
    """Say what is due, and by which recipe. Only the listing and the tables are read; `only` names videos by key."""
    recipe = recipe_of(config.model, config.precision, config.tracker)
    table = merge_prompts(read_prompts(config.prompts.uri), corrections)
    whole = config.source.limit is None and config.source.glob == "**" and not config.source.manifest
    ledger = read_ledger(objects)
    plan = make_plan(
        (ref for ref in list_videos(config.source) if only is None or ref.key in only),
        table,
        ledger,
        recipe_for(recipe, config.source, config.track),
        run_id,
        whole_source=whole and only is None,
    )
    return recipe, keep_what_is_not_corrected(objects, ledger, plan)


def print_plan(config: LabelConfig, console: Console) -> None:
    """Print what a run would do and why, and about how long it would take."""
    objects = open_objects(config.store.root)
    _, plan = plan_run(config, objects, new_run_id(), corrections=reviewing.corrections_now(config, objects))
    table = Table("video", "runs", "why", "objects", box=None)
    for entry in sorted(plan.entries, key=lambda e: not e.will_run)[:SHOWN]:
        objects_due = ", ".join(map(str, entry.due_objects))
        table.add_row(entry.key, "yes" if entry.will_run else "no", entry.why, objects_due)
    console.print(table)
    if len(plan.entries) > SHOWN:
        console.print(f"... and {len(plan.entries) - SHOWN} more")
    for letter in plan.dead:
        console.print(f"[red]{letter.error.reason}[/] {letter.video}: {letter.error.message}")
    console.print(f"{len(plan.jobs)} of {len(plan.entries)} videos are due: " + _told(plan.reasons))
    guess = estimate(plan, recent_summaries(objects), num_workers=config.cluster.actors or usable_cpus())
    if plan.jobs and guess:
        console.print(f"about {guess.seconds:.0f} s with {guess.num_workers} workers, from {guess.num_jobs} jobs of past runs")


def _told(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {why}" for why, count in reasons.items()) or "nothing listed"
