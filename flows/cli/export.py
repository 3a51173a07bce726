"""`labeling export`: a snapshot in the formats that others read, a command for each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import Root, store_at
from flows.cli.console import console
from flows.configure import as_configuration
from labeling.export.coco import export_coco
from labeling.export.davis import export_davis
from labeling.export.folder import Choice
from labeling.export.formats import FOLDERS, Format

commands = typer.Typer(rich_markup_mode="markdown")
exports = typer.Typer(no_args_is_help=True, help="Export a snapshot in another format.")
commands.add_typer(exports, name="export")

Out = Annotated[Path, typer.Option("-o", "--out", help="Where it goes; an earlier export there is replaced")]
Verdicts = Annotated[list[str], typer.Option("--verdict", help="Masklets of this verdict; may be given more than once")]
OfVersion = Annotated[str | None, typer.Option(help="A version such as v000003; the newest without")]
Categories = Annotated[list[str], typer.Option("--category", help="Masklets of this category; may be given more than once")]
Frames = Annotated[str, typer.Option("--frames", help="What goes along: none, jpg (tracked frames) or video")]
MEANING = {"accept": "are accepted", "review": "wait for review", "reject": "are rejected"}


@exports.command()
def coco(
    where: Root, out: Out, verdict: Verdicts = ["accept"], snapshot: OfVersion = None, category: Categories = []  # noqa: B006
) -> None:
    """Write COCO JSON with videos, tracks and RLE masks: `labeling export coco labels -o labels.json`."""
    with as_configuration():
        told = export_coco(_root(where), out, verdicts=verdict, snapshot=snapshot, categories=category)
    _say(f"{told.path}: {told.num_tracks} tracks, {told.num_annotations} masks of {told.snapshot}")
    _say_left_out(told.left_out, verdict)


@exports.command()
def davis(
    where: Root, out: Out, verdict: Verdicts = ["accept"], snapshot: OfVersion = None, category: Categories = []  # noqa: B006
) -> None:
    """Write a DAVIS folder of palette PNGs: `labeling export davis labels -o davis`."""
    with as_configuration():
        told = export_davis(_root(where), out, verdicts=verdict, snapshot=snapshot, categories=category)
    counted = f"{told.num_videos} videos, {told.num_objects} objects, {told.num_frames} frames"
    _say(f"{told.folder}: {counted} of {told.snapshot}")
    _say_left_out(told.left_out, verdict)


def _command(form: Format) -> Callable[..., None]:
    def write(
        where: Root, out: Out, verdict: Verdicts = ["accept"], snapshot: OfVersion = None,  # noqa: B006
        category: Categories = [], frames: Frames = "none",  # noqa: B006
    ) -> None:
        with as_configuration():
            told = form.write(_root(where), out, Choice(verdict, snapshot, category, frames=frames))
        tracks, *others = (f"{told.counts.get(name, 0)} {name}" for name in ("tracks", "videos", "frames", "masks"))
        _say(f"{told.out}: {tracks}, {', '.join(others)} of {told.snapshot}")
        if told.lost:
            counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told.lost.items())
            _say(f"not kept as it was: {counted}")
        _say_left_out(told.left_out, verdict)

    return write


for _name, _form in FOLDERS.items():
    _frames = f" Frames: {', '.join(_form.frames)}." if len(_form.frames) > 1 else ""
    exports.command(_name, help=f"Write {_form.says}: `labeling export {_name} labels -o FOLDER`.{_frames}")(_command(_form))


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
