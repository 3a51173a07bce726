"""`labeling dead-letters`: videos that failed, listed and tried again."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from flows.cli.arguments import AsJson, Root, store_at
from flows.cli.console import console, escape
from flows.cli.label import end_with, label_due
from flows.configure import as_configuration, config_from_dict
from flows.run.plan import check_inputs
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.objects import Objects, open_objects
from labeling.store.dead_letters import DeadLetter, read_dead_letters, runs_with_letters, still_open
from labeling.store.ledger import read_ledger
from labeling.store.run_state import looked_at_since, recent_scopes
from labeling.store.runs import list_runs, read_config

commands = typer.Typer(rich_markup_mode="markdown")
letters = typer.Typer(no_args_is_help=True, help="List videos that failed, show why, and retry them.")
commands.add_typer(letters, name="dead-letters")

Run = Annotated[str | None, typer.Option("--run", help="One run's letters; for replay the latest run that left any")]
Reason = Annotated[str | None, typer.Option(help="Only letters with this reason")]


@letters.command("list")
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


@letters.command()
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
