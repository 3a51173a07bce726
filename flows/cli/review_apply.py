"""`labeling review apply`: corrected objects are tracked again; what that came to, and what the reviewing cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.cli.arguments import require_store, with_root
from flows.cli.console import console, escape
from flows.cli.dead_letters import config_of_run
from flows.cli.label import end_with
from flows.configure import load_config, require_settings
from flows.run.plan import check_inputs
from flows.run.review_queue import queue_at_hand
from labeling.config import LabelConfig, QCConfig, RuleConfig
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.store.judges import choice_of
from labeling.store.runs import list_runs
from labeling.store.snapshots import newest_snapshot

if TYPE_CHECKING:
    from flows.apply_reviews import Applied, AppliedItem

# Settings that say where things are and not how objects are tracked.
PLACES = frozenset({"store.root", "run.review_url"})

Overrides = Annotated[
    list[str],
    typer.Argument(
        metavar="ROOT",
        help="A root alone takes the newest run's settings; any other override asks for all that `run` asks for",
    ),
]


def apply(overrides: Overrides) -> None:
    """Track corrected objects again, and nothing else that is due: `labeling review apply labels`.

    Each gets its next version, which is judged and, where it is in doubt, waits in the queue to be verified. Called again it
    finishes what a killed call began. Exit code 1: a correction could not be tracked.
    """
    config = config_for(overrides)
    with queue_at_hand(config) as queue:
        waits = queue is not None and bool(queue.corrections())
    if not waits:       # so no server is started
        console.print("no correction waits: nothing to do")
        return
    check_inputs(config)
    from flows.apply_reviews import apply_reviews

    applied = apply_reviews(config)
    print_applied(applied)
    if applied.outcome is not None:
        raise end_with(applied.outcome, config)


def config_for(overrides: Sequence[str]) -> LabelConfig:
    """Return the given configuration or, where only places are given, the newest run's, judged as the newest snapshot was.

    Raises BadConfiguration when something is missing, or the store has no run to take settings from.
    """
    overrides = with_root(overrides)
    config = load_config(overrides)
    require_store(config)
    if any(override.partition("=")[0] not in PLACES for override in overrides):
        require_settings(config, "source.uri", "prompts.uri")
        return config
    objects = open_objects(config.store.root)
    runs, snapshot = list_runs(objects), newest_snapshot(objects)
    if not runs or snapshot is None:
        raise BadConfiguration(f"{objects.root} has no run to take settings from; expected a root that `labeling run` wrote")
    of_run = config_of_run(objects, runs[-1], config)
    # `labeling qc` may have judged by other rules since.
    rules = [RuleConfig(**rule) for rule in snapshot.qc["rules"]]
    judge = choice_of(objects, snapshot.qc.get("judges", {}))
    of_run.qc = QCConfig(
        snapshot.qc["name"], rules, judge, seeds=of_run.qc.seeds, accept_risk=snapshot.qc.get("accept_risk")
    )
    return of_run


def print_applied(applied: "Applied") -> None:
    """Print what was tracked again, from what, and the figures of the review."""
    if applied.outcome is None:
        console.print("no correction waits: nothing to do")
        return
    table = Table("video", "object", "version", "from", "clicks", "masks", "review s", "verdict", box=None)
    for item in applied.items:
        version = f"{item.key.label_version} -> {item.label_version}" if item.tracked else f"{item.key.label_version}"
        table.add_row(
            escape(item.video_key), item.key.track_id, version, _made_of(item), str(item.clicks), str(item.masks),
            f"{item.review_seconds:.1f}", item.verdict,
        )
    console.print(table)
    console.print(figures_of(applied.items))


def figures_of(items: "Sequence[AppliedItem]") -> str:
    """Return what the reviewing cost, in a line: means over items and over corrected frames."""
    done = [item for item in items if item.tracked]
    edited, frames = sum(len(item.corrected_frames) for item in done), sum(item.num_frames for item in done)
    told = f"{len(done)} of {len(items)} corrected objects tracked again"
    if not edited:
        return told
    seconds, clicks = sum(item.review_seconds for item in done), sum(item.clicks for item in done)
    return (
        f"{told}: {seconds / len(done):.1f} s and {clicks / len(done):.1f} clicks each; {edited / frames:.1%} of frames "
        f"corrected, {seconds / edited:.1f} s and {clicks / edited:.2f} clicks for each"
    )


def _made_of(item: "AppliedItem") -> str:
    if not item.tracked:
        return "not tracked"
    frames = ", ".join(map(str, item.corrected_frames[:6])) + (", ..." if len(item.corrected_frames) > 6 else "")
    plural = "" if item.num_seeds == 1 else "s"
    return f"{item.num_seeds} seed{plural}, corrections on {len(item.corrected_frames)} frames ({frames})"
