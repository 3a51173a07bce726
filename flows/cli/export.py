"""`labeling export`: a snapshot in a format that other tools read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import Root, store_at
from flows.cli.console import console
from flows.configure import as_configuration
from labeling.export.coco import export_coco
from labeling.export.davis import export_davis

app = typer.Typer(no_args_is_help=True, help="Write a snapshot in another format: coco, davis.")

Out = Annotated[Path, typer.Option("-o", "--out", help="Where it goes; an earlier export there is replaced")]
Verdicts = Annotated[list[str], typer.Option("--verdict", help="Masklets of this verdict; may be given more than once")]
Snapshot = Annotated[str | None, typer.Option(help="A version such as v000003; the newest without")]
MEANING = {"accept": "are accepted", "review": "wait for review", "reject": "are rejected"}


@app.command()
def coco(where: Root, out: Out, verdict: Verdicts = ["accept"], snapshot: Snapshot = None) -> None:  # noqa: B006
    """COCO JSON with videos, tracks and RLE masks: `labeling export coco labels -o labels.json`."""
    with as_configuration():
        told = export_coco(_root(where), out, verdicts=verdict, snapshot=snapshot)
    _say(f"{told.path}: {told.num_tracks} tracks, {told.num_annotations} masks of {told.snapshot}")
    _say_left_out(told.left_out, verdict)


@app.command()
def davis(where: Root, out: Out, verdict: Verdicts = ["accept"], snapshot: Snapshot = None) -> None:  # noqa: B006
    """A DAVIS folder of palette PNGs: `labeling export davis labels -o davis`."""
    with as_configuration():
        told = export_davis(_root(where), out, verdicts=verdict, snapshot=snapshot)
    counted = f"{told.num_videos} videos, {told.num_objects} objects, {told.num_frames} frames"
    _say(f"{told.folder}: {counted} of {told.snapshot}")
    _say_left_out(told.left_out, verdict)


def _say_left_out(left_out: Mapping[str, int], verdicts: Sequence[str]) -> None:
    """Say which masklets the export is without, and by which option it has them."""
    if left_out:
        counted = " and ".join(f"{count} that {MEANING[verdict]}" for verdict, count in left_out.items())
        options = " ".join(f"--verdict {verdict}" for verdict in (*dict.fromkeys(verdicts), *left_out))
        _say(f"left out: {counted}; {options} takes them too")


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _root(where: list[str]) -> str:
    return store_at(where).store.root
