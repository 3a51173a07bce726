"""`labeling backfill`: what is there already, labelled part by part."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.cli.arguments import ConfigFile, with_file, with_root
from flows.cli.console import console, escape
from flows.configure import load_config, require_settings
from flows.run.outcome import Outcome
from flows.run.plan import check_inputs
from labeling.errors import BadConfiguration

if TYPE_CHECKING:
    from flows.backfill import Days, Forecast, Part

commands = typer.Typer(rich_markup_mode="markdown")

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


@commands.command(epilog=EXAMPLES)
def backfill(
    overrides: Annotated[list[str], typer.Argument(help="Hydra overrides, as `run` takes them")],
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day")] = None,
    pattern: Annotated[str | None, typer.Option(help="A glob with a day's date in it, as `cam*/%Y/%m/%d/**`")] = None,
    prefix: Annotated[list[str] | None, typer.Option(help="Part of the source, below source.uri; may be repeated")] = None,
    config_file: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due and how long it should take")] = False,
) -> None:
    """Label an archive part by part, and stop when too many of its videos fail.

    Parts are days (`--from`, `--to`, `--pattern`), prefixes, or one manifest (`source.manifest=...`). Where more
    than `run.max_dead_letter_share` (0.2 here) of the videos tried fail it ends, and publishes what is done. Exit code 1: dead
    letters.
    """
    config = load_config(with_file([SHARE, *with_root(overrides)], config_file))
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
