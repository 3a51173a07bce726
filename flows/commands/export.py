"""`labeling export`: a snapshot in a format that other tools read."""

from pathlib import Path
from typing import Annotated

import typer

from flows.configure import load_config, require_settings
from flows.screen import console
from labeling.errors import BadConfiguration
from labeling.export.coco import export_coco
from labeling.export.davis import export_davis

app = typer.Typer(no_args_is_help=True, help="Write a snapshot in another format: coco, davis.")

Where = Annotated[list[str], typer.Argument(metavar="store.root=...", help="`store.root=...`")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where it goes; an earlier export there is replaced")]
Verdicts = Annotated[list[str], typer.Option("--verdict", help="Masklets of this verdict; may be given more than once")]
Snapshot = Annotated[str | None, typer.Option(help="A version such as v000003; the newest without")]


def _root(where: list[str]) -> str:
    config = load_config(where)
    require_settings(config, "store.root")
    return config.store.root


@app.command()
def coco(where: Where, out: Out, verdict: Verdicts = ["accept"], snapshot: Snapshot = None) -> None:  # noqa: B006
    """COCO JSON with videos, tracks and RLE masks: `labeling export coco store.root=labels -o labels.json`."""
    try:
        told = export_coco(_root(where), out, verdicts=verdict, snapshot=snapshot)
    except ValueError as error:
        raise BadConfiguration(str(error)) from error
    console.print(f"{told.path}: {told.num_tracks} tracks, {told.num_annotations} masks of {told.snapshot}")


@app.command()
def davis(where: Where, out: Out, verdict: Verdicts = ["accept"], snapshot: Snapshot = None) -> None:  # noqa: B006
    """A DAVIS folder of palette PNGs: `labeling export davis store.root=labels -o davis`."""
    try:
        told = export_davis(_root(where), out, verdicts=verdict, snapshot=snapshot)
    except ValueError as error:
        raise BadConfiguration(str(error)) from error
    counted = f"{told.num_videos} videos, {told.num_objects} objects, {told.num_frames} frames"
    console.print(f"{told.folder}: {counted} of {told.snapshot}")
