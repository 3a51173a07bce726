"""`labeling export`: a snapshot in the formats that others read, a command for each."""

import tempfile
from collections import Counter
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
from labeling.export.splits import SHARES, read_splits, split_snapshot
from labeling.objects import open_objects
from labeling.store.snapshots import read_snapshot

commands = typer.Typer(rich_markup_mode="markdown")
exports = typer.Typer(no_args_is_help=True, help="Export a snapshot in another format.")
commands.add_typer(exports, name="export")

Out = Annotated[Path, typer.Option("-o", "--out", help="Where it goes; an earlier export there is replaced")]
Verdicts = Annotated[list[str], typer.Option("--verdict", help="Masklets of this verdict; may be given more than once")]
OfVersion = Annotated[str | None, typer.Option(help="A version such as v000003; the newest without")]
Categories = Annotated[list[str], typer.Option("--category", help="Masklets of this category; may be given more than once")]
Frames = Annotated[str, typer.Option("--frames", help="What goes along: none, jpg (tracked frames) or video")]
Side = Annotated[str | None, typer.Option("--split", help="Videos on this side of the split, as `labeling split` made it")]
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
        category: Categories = [], split: Side = None, frames: Frames = "none",  # noqa: B006
    ) -> None:
        with as_configuration():
            root = _root(where)
            objects = open_objects(root)
            splits = read_splits(objects, read_snapshot(objects, snapshot))
            told = form.write(root, out, Choice(verdict, snapshot, category, split, splits, frames=frames))
        names = [name for name in ("tracks", "videos", "frames", "masks") if name in told.counts]
        counted = {"tracks": 0} | {name: told.counts[name] for name in names}
        _say(f"{told.out}: {', '.join(f'{count} {name}' for name, count in counted.items())} of {told.snapshot}")
        if told.lost:
            lost = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told.lost.items())
            _say(f"not kept as it was: {lost}")
        _say_left_out(told.left_out, verdict)

    return write


for _name, _form in FOLDERS.items():
    _frames = f" Frames: {', '.join(_form.frames)}." if len(_form.frames) > 1 else ""
    exports.command(_name, help=f"Write {_form.says}: `labeling export {_name} labels -o FOLDER`.{_frames}")(_command(_form))


@commands.command()
def split(
    where: Root,
    snapshot: OfVersion = None,
    val: Annotated[float, typer.Option(min=0, max=1, help="The share of validation")] = SHARES["val"],
    test: Annotated[float, typer.Option(min=0, max=1, help="The share of test")] = SHARES["test"],
    prefix: Annotated[int, typer.Option(min=0, help="Keep keys together that agree in so many folders")] = 0,
    look: Annotated[bool, typer.Option(help="Keep videos together whose pictures are nearly the same")] = True,
) -> None:
    """Divide a snapshot's videos into training, validation and test.

    `labeling split labels --val 0.2 --test 0` leaves out a test. Each category is spread by the shares. A video that has a side
    keeps it, so that additions move nothing.
    """
    objects = open_objects(_root(where))
    with as_configuration(), tempfile.TemporaryDirectory(prefix="labeling-split-") as scratch:
        version = read_snapshot(objects, snapshot)
        shares = {side: share for side, share in {"train": 1 - val - test, "val": val, "test": test}.items() if share}
        sides = split_snapshot(objects, version, shares=shares, prefix_parts=prefix, look=look, scratch=Path(scratch))
    counts = Counter(sides.values())
    _say(f"{version.name}: " + ", ".join(f"{counts[side]} videos for {side}" for side in shares))


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
