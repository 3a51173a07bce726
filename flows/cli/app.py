"""The `labeling` command; what its exit codes mean stands in `flows.cli.console`."""

import functools
import importlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from flows.cli.console import OK, exit_code_of, interrupted
from labeling import logs


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command or a group of commands: the module of `flows.cli` that has it, and its line of the help."""

    module: str
    help: str


# The help is printed from here: the modules load what takes a second, and only the one that is called for is imported.
PANELS = {
    "Label": {
        "doctor": CommandLine("doctor", "Check this machine and name the fix for what does not work."),
        "demo": CommandLine(
            "label", "Label six drawn clips through S3, Prefect and Ray on this machine, and score the result."
        ),
        "run": CommandLine(
            "label", "Label videos that are due, judge their masklets, publish a snapshot, open reviews and write the report."
        ),
        "init": CommandLine("settings", "Ask for the settings of a run and write them into a file for `run --config`."),
        "config": CommandLine("settings", "List settings with their help: those that differ from the defaults, or `--all`."),
        "plan": CommandLine(
            "label", "Show which videos `run` would label, why, and about how long it would take; write nothing."
        ),
        "qc": CommandLine("label", "Judge stored masklets again, without tracking, and publish a new snapshot."),
        "track": CommandLine("label", "Track one box through one video; write masks, an overlay video and a plot of scores."),
        "report": CommandLine("label", "Write a run's report again and print its path."),
        "backfill": CommandLine("backfill", "Label an archive part by part, and stop when too many of its videos fail."),
        "seed": CommandLine("seed", "Make a prompt table from the videos alone."),
        "dead-letters": CommandLine("dead_letters", "List videos that failed, show why, and retry them."),
    },
    "Networks": {
        "evaluate": CommandLine("learn", "Measure J, F, presence and predicted IoU on clips with true masks."),
        "bench": CommandLine(
            "learn", "Measure frames/s, memory and time by stage on this machine, for each pair of `objects` and `lengths`."
        ),
        "train": CommandLine("learn", "Train or fine-tune a network on labelled clips; the same command resumes it."),
        "checkpoints": CommandLine("learn", "List, fetch and verify the released SAM 2 weights."),
        "quality": CommandLine("quality", "Make tracks with known truth and measure verdicts by them."),
    },
    "Review and export": {
        "certify": CommandLine(
            "certify", "Certify the share of bad masklets among those accepted, by a random audit that people answered."
        ),
        "review": CommandLine("review", "List, claim and decide masklets in doubt; serve the review page."),
        "judge": CommandLine("judge", "Fit, show and choose the judge, which gives each masklet its risk."),
        "export": CommandLine("export", "Export a snapshot in another format."),
        "split": CommandLine("export", "Divide a snapshot's videos into training, validation and test."),
    },
    "Versions and upkeep": {
        "restore": CommandLine("dataset", "Publish a new snapshot that is equal to an old one."),
        "upgrade": CommandLine("dataset", "Bring a store to the newest storage version."),
        "card": CommandLine("dataset", "Write a snapshot's card again: counts and checksums, as Markdown and JSON."),
        "compact": CommandLine("dataset", "Pack a snapshot's small files into large ones; the rows stay the same."),
        "vacuum": CommandLine("dataset", "Delete old snapshots and the files that no other one needs; only with `--apply`."),
        "versions": CommandLine("dataset", "List snapshots, show one, compare two."),
    },
    "Operate": {
        "status": CommandLine(
            "operate", "Show what runs, what is done, due and failed, what waits for review, and the last snapshot."
        ),
        "runs": CommandLine("operate", "List past runs, show one, compare two."),
        "metrics": CommandLine("operate", "Serve figures for Prometheus."),
        "stack": CommandLine(
            "stack", "Start and stop PostgreSQL, S3, Prefect, Ray, the review page and Prometheus on this machine."
        ),
    },
}
COMMANDS = {name: line for lines in PANELS.values() for name, line in lines.items()}


@functools.cache
def command_named(name: str) -> Any:
    """Import a command's module and return the command."""
    module = importlib.import_module(f"flows.cli.{COMMANDS[name].module}")
    return typer.main.get_group(module.commands).commands[name]


class LazyGroup(TyperGroup):
    """The commands as the help shows them; the one that is called is imported then."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, lines in PANELS.items():
            for name, line in lines.items():
                self.add_command(TyperCommand(name, help=line.help, rich_help_panel=panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command itself, and the words behind its name."""
        name, outline, rest = super().resolve_command(ctx, args)
        return name, outline and command_named(str(name)), rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Turn buckets of video into masklet datasets: SAM 2 in SAMURAI mode on Ray, judged, kept as RLE in Parquet.",
    epilog="Start with `labeling doctor`, then `labeling demo`. Exit codes: 0 all labelled, 1 some dead letters, "
    "2 bad configuration or input, 3 interrupted, 4 the cluster, server or store failed.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"samurai-labeling {version('samurai-labeling')}")
        raise typer.Exit


@app.callback()
def every_command(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which version this is")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log more")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Log warnings and errors alone, and show no progress")] = False,
) -> None:
    """What every command takes, before its name or after it."""
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    for name in ("flows", "labeling"):
        logging.getLogger(name).setLevel(level)
    if verbose or quiet:
        os.environ["PREFECT_LOGGING_LEVEL"] = logging.getLevelName(level)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as Ctrl+C while the block runs, so that a stopped service leaves no actor behind."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Run the command line and turn errors into messages and exit codes."""
    logs.start()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")       # a name that this terminal cannot write is no failure
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code; whatever goes wrong is said in a few lines."""
    try:
        with termination_as_interrupt():
            code = int(app(_verbosity_first(arguments), standalone_mode=False) or OK)
        # Typer makes 130 of Ctrl+C, Ray 143 of SIGTERM.
        return interrupted() if code in (130, 143) else code
    except (Exception, KeyboardInterrupt) as error:
        return exit_code_of(error)


def _verbosity_first(arguments: list[str]) -> list[str]:
    """Put -v and -q before the command's name, where the options of every command are read."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    asked = [word for word in arguments[:end] if word in ("-v", "--verbose", "-q", "--quiet")]
    return [*asked, *(word for word in arguments[:end] if word not in asked), *arguments[end:]]
