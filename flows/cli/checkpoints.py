"""`labeling checkpoints`: the released weights, fetched and checked."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from flows.cli.console import console, plain_console
from labeling.errors import BadConfiguration
from labeling.track.checkpoints import fetch_checkpoint, find_checkpoint, list_checkpoints, verify_checkpoint

app = typer.Typer(no_args_is_help=True, help="The released SAM 2 weights: list, fetch, verify.")

Folder = Annotated[Path, typer.Option(help="Where checkpoints lie")]
DEFAULT_FOLDER = Path("checkpoints")


@app.command("list")
def list_known(folder: Folder = DEFAULT_FOLDER) -> None:
    """Show the released checkpoints and which of them are here."""
    table = Table("name", "network", "file", "here", box=None)
    for checkpoint in list_checkpoints():
        here = "yes" if (folder / checkpoint.file).exists() else ""
        table.add_row(checkpoint.name, checkpoint.variant, checkpoint.file, here)
    console.print(table)


@app.command()
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


@app.command()
def verify(paths: Annotated[list[Path], typer.Argument(help="Checkpoint files")]) -> None:
    """Compare files with the SHA-256 that was recorded at first use; a file without a record gets one."""
    for path in paths:
        if not path.expanduser().is_file():
            raise BadConfiguration(f"{path} does not exist, or is no file; expected a checkpoint file")
        console.print(f"{verify_checkpoint(path)}  {path}", soft_wrap=True, markup=False)
