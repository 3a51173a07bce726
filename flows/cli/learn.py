"""Commands for networks: evaluate, bench, train, and the released weights."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from flows.cli.arguments import AsJson, ConfigFile, with_file
from flows.cli.console import DEAD_LETTERS, INTERRUPTED, OK, console, plain_console
from flows.configure import load_bench, load_evaluation, load_training
from labeling.errors import BadConfiguration
from labeling.track.checkpoints import fetch_checkpoint, find_checkpoint, list_checkpoints, verify_checkpoint

commands = typer.Typer(rich_markup_mode="markdown")
Overrides = Annotated[list[str] | None, typer.Argument(help="Hydra overrides, e.g. `model=tiny data=scenes`")]


EVALUATE_EXAMPLES = """
Examples:

    labeling evaluate model=nano tracker=samurai data=scenes data.first=0 data.count=200 prompt=box

    labeling evaluate model=nano tracker=sam2 data=lookalikes data.count=50 num_frames=240

    labeling evaluate model=tiny model.checkpoint=/weights/sam2.1_hiera_tiny.pt data=davis data.root=DAVIS data.split=val

    labeling evaluate data=davis data.root=DAVIS data.split=val predictions=results out=outputs/evaluation
"""


@commands.command(epilog=EVALUATE_EXAMPLES)
def evaluate(overrides: Overrides = None, config_file: ConfigFile = None) -> None:
    """Measure J, F, presence and predicted IoU on clips with true masks.

    Clips are those of `data=scenes|lookalikes|solids|davis|sav|store`. Every object is prompted with the truth of its first
    visible frame (`prompt=box|click|mask`) and followed as `run` follows it; with `predictions=FOLDER`, results in the DAVIS
    layout are compared instead. Tracks of J below 0.5 are counted by what the wrong mask covers. Exit code 1: a clip failed.
    """
    config = load_evaluation(with_file(overrides or [], config_file))
    from flows.learn.run_evaluation import run_evaluation

    evaluation = run_evaluation(config, console)
    raise typer.Exit(DEAD_LETTERS if evaluation.failed else OK)


BENCH_EXAMPLES = """
Examples:

    labeling bench model=nano objects=[1,4,16] lengths=[100]

    labeling bench model=base_plus model.checkpoint=/weights/sam2.1_hiera_base_plus.pt precision=bf16 -o outputs/bench

    labeling bench model=tiny model.allow_untrained=true model.image_size=256 lengths=[20] --peer ../sam2 -o outputs/peer
"""


@commands.command(epilog=BENCH_EXAMPLES)
def bench(
    overrides: Overrides = None,
    peer: Annotated[str | None, typer.Option(help="A checkout of the released `sam2` package to run beside")] = None,
    out: Annotated[str | None, typer.Option("-o", "--out", help="A folder for bench.json and bench.png")] = None,
) -> None:
    """Measure frames/s, memory and time by stage on this machine, for each pair of `objects` and `lengths`.

    Clips are drawn. They are followed from memory, then from a local S3 to Parquet, as an actor does it. With `--peer`
    the released package follows the same frames with the same weights, in turns with this one.
    """
    given = {"peer": peer, "out": out}
    asked = [*(overrides or []), *(f"{name}={value}" for name, value in given.items() if value is not None)]
    config = load_bench(asked)
    from flows.bench.bench import run_bench

    run_bench(config, console, command=shlex.join(["labeling", "bench", *asked]))


TRAIN_EXAMPLES = """
Examples:

    labeling train out=outputs/try

    labeling train model=nano model.image_size=256 recipe=nano data=scenes out=outputs/nano workers=2

    labeling train model=tiny model.checkpoint=/weights/sam2.1_hiera_tiny.pt recipe=finetune precision=bf16 \\
        data=store data.root=s3://labels/cars out=outputs/tuned

    labeling train ... data=davis data.root=/data/DAVIS recipe.stages.clips8.steps=500 stage.clips=2 replicas=2
"""


@commands.command(epilog=TRAIN_EXAMPLES)
def train(overrides: Overrides = None, config_file: ConfigFile = None) -> None:
    """Train or fine-tune a network on labelled clips; the same command resumes it."""
    config = load_training(with_file(overrides or [], config_file))
    from flows.learn.train import train_network

    raise typer.Exit(OK if train_network(config, console) else INTERRUPTED)


checkpoints = typer.Typer(no_args_is_help=True, help="List, fetch and verify the released SAM 2 weights.")
commands.add_typer(checkpoints, name="checkpoints")

Folder = Annotated[Path, typer.Option(help="Where checkpoints lie")]
DEFAULT_FOLDER = Path("checkpoints")


@checkpoints.command("list")
def list_known(folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """List the released checkpoints and which of them are here."""
    if as_json:
        known = [{**asdict(checkpoint), "here": (folder / checkpoint.file).exists()} for checkpoint in list_checkpoints()]
        typer.echo(json.dumps(known, indent=1))
        return
    table = Table("name", "network", "file", "here", box=None)
    for checkpoint in list_checkpoints():
        here = "yes" if (folder / checkpoint.file).exists() else ""
        table.add_row(checkpoint.name, checkpoint.variant, checkpoint.file, here)
    console.print(table)


@checkpoints.command()
def fetch(
    name: Annotated[str, typer.Argument(help="As `labeling checkpoints list` names it, e.g. base_plus")],
    folder: Folder = DEFAULT_FOLDER,
    mirror: Annotated[str | None, typer.Option(help="http(s) folder that holds the file, instead of its publisher's")] = None,
) -> None:
    """Bring a checkpoint; a broken line is continued, and what is here already is checked."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=plain_console(stderr=True)) as bar:
        task = bar.add_task(find_checkpoint(name).file, total=None)
        path = fetch_checkpoint(
            name, folder, mirror_url=mirror, progress=lambda have, total: bar.update(task, completed=have, total=total)
        )
    console.print(f"{path}  (model.checkpoint={path})", markup=False, soft_wrap=True)


@checkpoints.command()
def verify(paths: Annotated[list[Path], typer.Argument(help="Checkpoint files")]) -> None:
    """Compare files with the SHA-256 that was recorded at first use; a file without a record gets one."""
    for path in paths:
        if not path.expanduser().is_file():
            raise BadConfiguration(f"{path} does not exist, or is no file; expected a checkpoint file")
        console.print(f"{verify_checkpoint(path)}  {path}", soft_wrap=True, markup=False)
