"""The `labeling` command; what its exit codes mean stands in `flows.cli.console`."""

import io
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from flows.cli import certify, checkpoints, dataset, judge, label, operate, quality, review, seed, stack
from flows.cli.arguments import AsJson, require_store, with_root
from flows.cli.console import DEAD_LETTERS, INTERRUPTED, OK, console, escape, exit_code_of, interrupted
from flows.configure import as_configuration, load_bench, load_config, load_evaluation, load_training, require_settings
from labeling import logs
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.store.snapshots import read_snapshot

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Turn buckets of video into masklet datasets: SAM 2 in SAMURAI mode on Ray, judged, kept as RLE in Parquet.",
    epilog="Start with `labeling doctor`, then `labeling demo`. Exit codes: 0 all labelled, 1 some dead letters, "
    "2 bad configuration or input, 3 interrupted, 4 the cluster, server or store failed.",
)
LABEL, REVIEW, DATASET, OPERATE, LEARN = "Label", "Review and hand on", "Versions and upkeep", "Operate", "Networks"
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="The store's root as it is, and Hydra overrides, e.g. `s3://labels/cars source.uri=clips model=tiny`"),
]


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


@app.command(rich_help_panel=LABEL)
def doctor(
    store: Annotated[str | None, typer.Option(help="A store root to try: a folder or s3://...")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what works on this machine, and the fix for what does not."""
    from flows.cli.doctor import examine, render

    raise typer.Exit(render(examine(store), console, as_json=as_json))


@app.command(rich_help_panel=LABEL)
def demo(out: Annotated[str, typer.Option(help="Where clips, store and report go")] = "outputs/demo") -> None:
    """Label six drawn clips from a local S3 bucket, through Prefect and Ray, and say how well it went."""
    from flows.demo.demo import run_demo

    run_demo(out, console)


RUN_EXAMPLES = """
Examples:

    labeling run source.uri=clips prompts.uri=prompts.jsonl store.root=labels model=nano

    labeling run source.uri=s3://videos/raw prompts.uri=s3://videos/prompts.jsonl store.root=s3://labels/cars \\
        model=base_plus model.checkpoint=/weights/sam2.1_hiera_base_plus.pt tracker=samurai qc=default cluster=laptop

    labeling run ... track.direction=both source.time_range=[0,60] source.frame_stride=2 precision=bf16
"""


@app.command(epilog=RUN_EXAMPLES, rich_help_panel=LABEL)
def run(overrides: Overrides = None) -> None:
    """Label what is due, judge it, publish a snapshot, open reviews and write the report."""
    config = load_config(with_root(overrides or []))
    require_settings(config, "source.uri", "prompts.uri", "store.root")
    logs.use(config.logging.format)
    from flows.run.plan import check_inputs

    check_inputs(config)        # before a server and a cluster are started for nothing
    raise label.end_with(label.label_due(config), config)


@app.command(epilog=RUN_EXAMPLES.replace("labeling run", "labeling plan"), rich_help_panel=LABEL)
def plan(
    overrides: Overrides = None,
    as_json: AsJson = False,
    prompts: Annotated[bool, typer.Option("--prompts", help="Open prompted frames and say which prompts are doubted")] = False,
    sheet: Annotated[Path | None, typer.Option(help="With --prompts: write a page of all first masks into this file")] = None,
) -> None:
    """Say for each video whether `run` would label it, why, and about how long that would take; nothing is written.

    Nothing is downloaded either, but with `--prompts`: then each video that is due is fetched, the network is asked for the
    first mask of each object, and what stands against a prompt is said: a mask that fills its box badly, other masks when the
    box is moved a little, another object with the same mask. Hours of tracking show none of it.
    """
    config = load_config(with_root(overrides or []))
    require_settings(config, "source.uri", "prompts.uri", "store.root")
    if sheet is not None and not prompts:
        raise BadConfiguration("--sheet is given without --prompts, which makes what it shows")
    from flows.run.plan import print_plan

    recipe, due = print_plan(config, console, as_json=as_json)
    if prompts:
        from flows.run.prompt_audit import audit_prompts, print_audit

        print_audit(audit_prompts(config, recipe, due), sheet, console, as_json=as_json)


@app.command(rich_help_panel=LABEL)
def qc(overrides: Overrides = None) -> None:
    """Judge again from stored signals, without tracking: `labeling qc store.root=... qc=strict` makes a new snapshot."""
    config = load_config(with_root(overrides or []))
    require_store(config)
    from flows.judge_again import judge_again

    with as_configuration():
        read_snapshot(open_objects(config.store.root))      # before the root's lock is taken for nothing
        judge_again(config, console)


@app.command(rich_help_panel=LABEL)
def track(
    video: Annotated[str, typer.Argument(help="A video file, or an s3:// URI")],
    box: Annotated[str, typer.Option(help="The object on its first frame: X0,Y0,X1,Y1 in pixels")],
    out: Annotated[str, typer.Option("-o", "--out", help="A folder: masks, overlay video, plot of scores")],
    frame: Annotated[int, typer.Option(help="The frame that the box is on")] = 0,
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, e.g. `model=tiny`")] = None,
) -> None:
    """Follow one box through one video: masks, an overlay video and a plot of scores; no store."""
    from flows.run.track_one import track_one

    track_one(load_config(overrides or []), video=video, box=box, frame_idx=frame, out=out, console=console)


EVALUATE_EXAMPLES = """
Examples:

    labeling evaluate model=nano tracker=samurai data=scenes data.first=0 data.count=200 prompt=box

    labeling evaluate model=nano tracker=sam2 data=lookalikes data.count=50 num_frames=240

    labeling evaluate model=tiny model.checkpoint=/weights/sam2.1_hiera_tiny.pt data=davis data.root=DAVIS data.split=val

    labeling evaluate data=davis data.root=DAVIS data.split=val predictions=results out=outputs/evaluation
"""


@app.command(epilog=EVALUATE_EXAMPLES, rich_help_panel=LEARN)
def evaluate(overrides: Overrides = None) -> None:
    """Measure J, F, presence and predicted IoU on clips with true masks (`data=scenes|lookalikes|solids|davis|sav|store`).

    Every object is prompted with the truth of its first visible frame (`prompt=box|click|mask`) and followed as `run`
    follows it; with `predictions=FOLDER`, results in the DAVIS layout are compared instead. Tracks of J below 0.5 are counted
    by what the wrong mask covers. Exit code 1: a clip failed.
    """
    config = load_evaluation(overrides or [])
    from flows.learn.run_evaluation import run_evaluation

    evaluation = run_evaluation(config, console)
    raise typer.Exit(DEAD_LETTERS if evaluation.failed else OK)


BENCH_EXAMPLES = """
Examples:

    labeling bench model=nano objects=[1,4,16] lengths=[100]

    labeling bench model=base_plus model.checkpoint=/weights/sam2.1_hiera_base_plus.pt precision=bf16 -o outputs/bench

    labeling bench model=tiny model.allow_untrained=true model.image_size=256 lengths=[20] --peer ../sam2 -o outputs/peer
"""


@app.command(epilog=BENCH_EXAMPLES, rich_help_panel=LEARN)
def bench(
    overrides: Overrides = None,
    peer: Annotated[str | None, typer.Option(help="A checkout of the released `sam2` package to run beside")] = None,
    out: Annotated[str | None, typer.Option("-o", "--out", help="A folder for bench.json and bench.png")] = None,
) -> None:
    """Measure this machine: frames/s, memory and each stage's time, for every pair of `objects` and `lengths`.

    Clips are drawn. They are followed from memory, then from a local S3 to Parquet, as an actor does it. With `--peer`
    the released package follows the same frames with the same weights, in turns with this one.
    """
    given = {"peer": peer, "out": out}
    asked = [*(overrides or []), *(f"{name}={value}" for name, value in given.items() if value is not None)]
    config = load_bench(asked)
    from flows.bench.bench import run_bench

    run_bench(config, console, command=shlex.join(["labeling", "bench", *asked]))


@app.command(rich_help_panel=LABEL)
def report(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or `latest`")],
    overrides: Overrides = None,
) -> None:
    """Write a run's report again and print where it is: `labeling report RUN store.root=...`."""
    config = load_config(with_root(overrides or []))
    require_store(config)
    from flows.run.report import report_again

    console.print(escape(report_again(config, run_id)), soft_wrap=True)


TRAIN_EXAMPLES = """
Examples:

    labeling train out=outputs/try

    labeling train model=nano model.image_size=256 recipe=nano data=scenes out=outputs/nano workers=2

    labeling train model=tiny model.checkpoint=/weights/sam2.1_hiera_tiny.pt recipe=finetune precision=bf16 \\
        data=store data.root=s3://labels/cars out=outputs/tuned

    labeling train ... data=davis data.root=/data/DAVIS recipe.stages.clips8.steps=500 stage.clips=2 replicas=2
"""


@app.command(epilog=TRAIN_EXAMPLES, rich_help_panel=LEARN)
def train(overrides: Overrides = None) -> None:
    """Train a network, or tune one, on labelled clips; the same command goes on where it was stopped or killed."""
    config = load_training(overrides or [])
    from flows.learn.train import train_network

    raise typer.Exit(OK if train_network(config, console) else INTERRUPTED)


# after the functions above, so that `--help` begins with what one begins with
app.command(epilog=label.EXAMPLES, rich_help_panel=LABEL)(label.backfill)
app.add_typer(seed.app, name="seed", rich_help_panel=LABEL)
app.add_typer(label.dead_letters, name="dead-letters", rich_help_panel=LABEL)
for name, group in {"review": review.app, "judge": judge.app, "export": dataset.exports}.items():
    app.add_typer(group, name=name, rich_help_panel=REVIEW)
app.command(epilog=certify.EXAMPLES, rich_help_panel=REVIEW)(certify.certify)
app.add_typer(dataset.versions, name="versions", rich_help_panel=DATASET)
for command in (dataset.restore, dataset.card, dataset.compact, dataset.vacuum):
    app.command(rich_help_panel=DATASET)(command)
app.command(rich_help_panel=OPERATE)(operate.status)
for name, group in {"runs": operate.runs, "metrics": operate.figures, "stack": stack.app}.items():
    app.add_typer(group, name=name, rich_help_panel=OPERATE)
app.add_typer(checkpoints.app, name="checkpoints", rich_help_panel=LEARN)
app.add_typer(quality.app, name="quality", rich_help_panel=LEARN)


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
