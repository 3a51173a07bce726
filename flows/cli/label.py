"""Commands that label: what is due, a backfill part by part, and dead letters tried again."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.cli.arguments import AsJson, Root, store_at, with_root
from flows.cli.console import DEAD_LETTERS, OK, console, escape
from flows.configure import as_configuration, config_from_dict, load_config, require_settings
from flows.run.open_run import open_run
from flows.run.outcome import Outcome, print_outcome
from flows.run.plan import check_inputs
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.objects import Objects, open_objects
from labeling.store.dead_letters import DeadLetter, read_dead_letters, runs_with_letters, still_open
from labeling.store.ledger import read_ledger
from labeling.store.run_state import looked_at_since, recent_scopes
from labeling.store.runs import list_runs, read_config

if TYPE_CHECKING:
    from flows.backfill import Days, Forecast, Part
    from flows.run.outcome import Outcome

def label_due(config: LabelConfig, only: list[str] | None = None) -> Outcome:
    """Label what is due under one root; Prefect and Ray are loaded and started only where something is.

    `only` names videos by key. Raises StoreBusy, and what the flow `label_dataset` raises.
    """
    with open_run(config) as run:
        run.make_plan(only)
        if run.unchanged is not None:
            return run.end_unchanged()
        from flows.label_dataset import label_dataset

        return label_dataset(config, only, run)


def end_with(outcome: Outcome, config: LabelConfig) -> typer.Exit:
    """Print what a run came to and return the exit that means it."""
    print_outcome(outcome, config, console)
    return typer.Exit(DEAD_LETTERS if outcome.dead_letters else OK)


# What was there before is seldom looked at one by one: a fifth of it failing is a reason to look first.
SHARE = "run.max_dead_letter_share=0.2"
SHOWN = 40

EXAMPLES = """
Examples:

    labeling backfill source.uri=s3://videos/raw prompts.uri=s3://videos/prompts.jsonl store.root=s3://labels/cars \\
        --from 2026-01-01 --to 2026-01-31 --pattern 'cam*/%Y/%m/%d/**' --dry-run

    labeling backfill ... --prefix site-a --prefix site-b run.max_dead_letter_share=0.1

    labeling backfill ... source.manifest=s3://videos/chosen.jsonl
"""


def backfill(
    overrides: Annotated[list[str], typer.Argument(help="Hydra overrides, as `run` takes them")],
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day")] = None,
    pattern: Annotated[str | None, typer.Option(help="A glob with a day's date in it, as `cam*/%Y/%m/%d/**`")] = None,
    prefix: Annotated[list[str] | None, typer.Option(help="Part of the source, below source.uri; may be repeated")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due and how long it should take")] = False,
) -> None:
    """Label what is there already, part by part, and stop when too much of it fails; called again, it goes on.

    Parts are days (`--from`, `--to`, `--pattern`), prefixes, or one manifest (`source.manifest=...`). Where more
    than `run.max_dead_letter_share` (0.2 here) of the videos tried fail it ends, and publishes what is done. Exit code 1: dead
    letters.
    """
    config = load_config([SHARE, *with_root(overrides)])
    require_settings(config, "source.uri", "prompts.uri", "store.root")
    days = days_of(first, last, pattern)
    from flows.backfill import backfill as label_parts
    from flows.backfill import globs_of, look_ahead

    globs = globs_of(config, days=days, prefixes=prefix or ())
    check_inputs(config)
    forecast = look_ahead(config, globs)
    print_forecast(forecast)
    if dry_run:
        return
    done = label_parts(config, forecast, print_part)
    if done.stopped:
        console.print(f"[red]stopped:[/] {escape(done.stopped)}. See "
                      f"`labeling dead-letters list store.root={escape(config.store.root)}`; "
                      "the same command goes on from here", soft_wrap=True)
    raise typer.Exit(1 if any(outcome.dead_letters for outcome in done.outcomes) else 0)


def days_of(first: datetime | None, last: datetime | None, pattern: str | None) -> "Days | None":
    """Return the range that was asked for, None where none was; BadConfiguration where it is not whole."""
    from flows.backfill import Days

    given = [name for name, it in (("--from", first), ("--to", last), ("--pattern", pattern)) if it is not None]
    if not given:
        return None
    if first is None or last is None or pattern is None:
        raise BadConfiguration(f"given: {', '.join(given)}; a range of days needs --from, --to and --pattern")
    return Days(first.date(), last.date(), pattern)


def print_forecast(forecast: "Forecast") -> None:
    """Print what is due in each part and in all, and about how long it should take."""
    table = Table("part", "videos", "due", "due MB", box=None)
    held = [part for part in forecast.parts if part.num_videos]
    for part in held[:SHOWN]:
        table.add_row(escape(part.glob), str(part.num_videos), str(part.num_due), f"{part.due_bytes / 1e6:.1f}")
    console.print(table)
    if len(held) > SHOWN:
        console.print(f"... and {len(held) - SHOWN} more")
    if empty := len(forecast.parts) - len(held):
        console.print(f"{empty} parts of {len(forecast.parts)} have no videos")
    console.print(f"{forecast.num_due} of {sum(part.num_videos for part in forecast.parts)} videos are due")
    if forecast.video_hours is None or forecast.wall_hours is None:
        console.print("no past run says how long that takes")
    elif forecast.num_due:
        console.print(
            f"about {forecast.video_hours:.2f} hours of video and {forecast.wall_hours:.2f} hours with "
            f"{forecast.num_workers} workers, by past runs"
        )


def print_part(part: "Part", outcome: "Outcome") -> None:
    """Say in a line what one part came to."""
    dead = ", ".join(f"{count} {reason}" for reason, count in outcome.dead_letters.items())
    done = outcome.summary
    told = f"{done.num_jobs - done.num_failed} of {part.num_due} videos labelled" + (f", dead letters: {dead}" if dead else "")
    console.print(f"{part.glob}: {told} -> {outcome.snapshot}", markup=False)


dead_letters = typer.Typer(no_args_is_help=True, help="List videos that failed, show why, and retry them.")

Run = Annotated[str | None, typer.Option("--run", help="One run's letters; for replay the latest run that left any")]
Reason = Annotated[str | None, typer.Option(help="Only letters with this reason")]


@dead_letters.command("list")
def list_letters(
    where: Root,
    run: Run = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were mended since")] = False,
    trace: Annotated[bool, typer.Option(help="With tracebacks")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what could not be labelled: `labeling dead-letters list labels`."""
    objects, _ = _opened(where)
    letters = chosen_letters(objects, run=run, reason=reason, everything=everything)
    if as_json:
        typer.echo(json.dumps([_plain(letter) for letter in letters], indent=1))
        return
    table = Table("run", "video", "reason", "attempts", "message", box=None)
    for letter in letters:
        error = letter.error
        told = error.traceback if trace and error.traceback else error.message
        table.add_row(escape(letter.run_id), escape(letter.video), escape(error.reason), str(error.attempts), escape(told))
    console.print(table if letters else "no dead letters")


@dead_letters.command()
def replay(where: Root, run: Run = None, reason: Reason = None) -> None:
    """Try a run's dead letters again, with that run's configuration and the videos and prompts as they are now."""
    objects, overrides = _opened(where)
    run_id = run or next(reversed(runs_with_letters(objects)), None)
    if run_id is None:
        console.print("no dead letters")
        return
    videos = {letter.video for letter in chosen_letters(objects, run=run_id, reason=reason, everything=False)}
    if not videos:
        console.print(f"nothing of run {escape(run_id)} is left to do")
        return
    config = config_of_run(objects, run_id, overrides)
    check_inputs(config)
    raise end_with(label_due(config, only=sorted(videos)), config)


def chosen_letters(objects: Objects, *, run: str | None, reason: str | None, everything: bool) -> list[DeadLetter]:
    """Return the letters of one run or all, by reason, without those that have been mended unless `everything`.

    Raises BadConfiguration for a run that is not there.
    """
    if run is not None and run not in (runs := list_runs(objects)):
        raise BadConfiguration(f"--run is {run!r}; expected one of those in {objects.root}: {', '.join(runs[-10:]) or 'none'}")
    ledger, scopes = read_ledger(objects), recent_scopes(objects)
    return [
        letter
        for letter in read_dead_letters(objects, run)
        if (reason is None or letter.error.reason == reason)
        and (everything or (still_open(letter, ledger) and not looked_at_since(letter, scopes)))
    ]


def config_of_run(objects: Objects, run_id: str, overrides: LabelConfig) -> LabelConfig:
    """Return a past run's configuration for a new run at the same root."""
    with as_configuration():
        config = config_from_dict(read_config(objects, run_id))
    config.run.id = None
    config.store.root, config.run.review_url = overrides.store.root, overrides.run.review_url
    return config


def _opened(where: list[str]) -> tuple[Objects, LabelConfig]:
    config = store_at(where)
    return open_objects(config.store.root), config


def _plain(letter: DeadLetter) -> dict[str, Any]:
    error = letter.error
    said = {"reason": error.reason, "message": error.message, "attempts": error.attempts, "traceback": error.traceback}
    return {"run": letter.run_id, "video": letter.video, **said}
