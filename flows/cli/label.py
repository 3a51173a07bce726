"""Commands that label and what belongs to a run: the demo, run, plan, qc, track and report."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import AsJson, ConfigFile, require_store, with_file, with_root
from flows.cli.console import DEAD_LETTERS, OK, console, escape
from flows.configure import as_configuration, load_config, require_settings
from flows.run.open_run import open_run
from flows.run.outcome import Outcome, print_outcome
from flows.run.plan import check_inputs, print_plan
from labeling import logs
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.store.snapshots import read_snapshot

commands = typer.Typer(rich_markup_mode="markdown")
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="The store's root as it is, and Hydra overrides, e.g. `s3://labels/cars source.uri=clips model=tiny`"),
]


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


@commands.command()
def demo(out: Annotated[str, typer.Option(help="Where clips, store and report go")] = "outputs/demo") -> None:
    """Label six drawn clips through S3, Prefect and Ray on this machine, and score the result."""
    from flows.demo.demo import run_demo

    run_demo(out, console)


RUN_EXAMPLES = """
Examples:

    labeling run source.uri=clips prompts.uri=prompts.jsonl store.root=labels model=nano

    labeling run source.uri=s3://videos/raw prompts.uri=s3://videos/prompts.jsonl store.root=s3://labels/cars \\
        model=base_plus model.checkpoint=/weights/sam2.1_hiera_base_plus.pt tracker=samurai qc=default cluster=laptop

    labeling run --config labeling.yaml model=tiny model.checkpoint=/weights/sam2.1_hiera_tiny.pt

    labeling run ... track.direction=both source.time_range=[0,60] source.frame_stride=2 precision=bf16
"""


@commands.command(epilog=RUN_EXAMPLES)
def run(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be labelled, as `plan` does")] = False,
) -> None:
    """Label videos that are due, judge their masklets, publish a snapshot, open reviews and write the report."""
    config = load_config(with_file(with_root(overrides or []), config_file))
    require_settings(config, "source.uri", "prompts.uri", "store.root")
    if dry_run:
        print_plan(config, console)
        return
    logs.use(config.logging.format)
    check_inputs(config)        # before a server and a cluster are started for nothing
    raise end_with(label_due(config), config)


@commands.command(epilog=RUN_EXAMPLES.replace("labeling run", "labeling plan"))
def plan(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
    prompts: Annotated[bool, typer.Option("--prompts", help="Open prompted frames and say which prompts are doubted")] = False,
    sheet: Annotated[Path | None, typer.Option(help="With --prompts: write a page of all first masks into this file")] = None,
) -> None:
    """Show which videos `run` would label, why, and about how long it would take; write nothing.

    Nothing is downloaded either, but with `--prompts`: then each video that is due is fetched, the network is asked for the
    first mask of each object, and what stands against a prompt is said: a mask that fills its box badly, other masks when the
    box is moved a little, another object with the same mask. Hours of tracking show none of it.
    """
    config = load_config(with_file(with_root(overrides or []), config_file))
    require_settings(config, "source.uri", "prompts.uri", "store.root")
    if sheet is not None and not prompts:
        raise BadConfiguration("--sheet is given without --prompts, which makes what it shows")
    recipe, due = print_plan(config, console, as_json=as_json)
    if prompts:
        from flows.run.prompt_audit import audit_prompts, print_audit

        print_audit(audit_prompts(config, recipe, due), sheet, console, as_json=as_json)


@commands.command()
def qc(overrides: Overrides = None) -> None:
    """Judge stored masklets again, without tracking, and publish a new snapshot.

    `labeling qc labels qc=strict` judges by the strict rules, from the signals that are stored.
    """
    config = load_config(with_root(overrides or []))
    require_store(config)
    from flows.judge_again import judge_again

    with as_configuration():
        read_snapshot(open_objects(config.store.root))      # before the root's lock is taken for nothing
        judge_again(config, console)


@commands.command()
def track(
    video: Annotated[str, typer.Argument(help="A video file, or an s3:// URI")],
    box: Annotated[str, typer.Option(help="The object on its first frame: X0,Y0,X1,Y1 in pixels")],
    out: Annotated[str, typer.Option("-o", "--out", help="A folder: masks, overlay video, plot of scores")],
    frame: Annotated[int, typer.Option(help="The frame that the box is on")] = 0,
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, e.g. `model=tiny`")] = None,
) -> None:
    """Track one box through one video; write masks, an overlay video and a plot of scores."""
    from flows.run.track_one import track_one

    track_one(load_config(overrides or []), video=video, box=box, frame_idx=frame, out=out, console=console)


@commands.command()
def report(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or `latest`")],
    overrides: Overrides = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser; of a store in a folder")] = False,
) -> None:
    """Write a run's report again and print its path.

    `labeling report latest labels --open` opens the newest run's.
    """
    config = load_config(with_root(overrides or []))
    require_store(config)
    from flows.run.report import report_again

    path = report_again(config, run_id)
    console.print(escape(path), soft_wrap=True)
    if show and path.startswith("s3://"):
        raise BadConfiguration(f"--open opens a file of this machine; fetch {path} and what lies beside it first")
    if show:
        typer.launch(path)
