"""`labeling quality`: make tracks whose truth is known, and measure by them how well masklets are judged."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import console
from flows.quality.truth import DEFAULT_ROOT, FIT, HELD
from flows.run.out_folder import check_folder
from labeling.errors import BadConfiguration

commands = typer.Typer(rich_markup_mode="markdown")
app = typer.Typer(no_args_is_help=True, help="Make tracks with known truth and measure verdicts by them.")
commands.add_typer(app, name="quality")

ALL = "all"
Folder = Annotated[Path, typer.Option("--root", help="Where pieces lie")]


@app.command()
def make(
    root: Folder = Path(DEFAULT_ROOT),
    pieces: Annotated[int, typer.Option(help="How many of the fixed order there are to be; about four tracks each")] = 60,
    share: Annotated[str, typer.Option(help="K/N: the K-th of every N pieces alone, for N processes")] = "0/1",
) -> None:
    """Draw clips, follow their objects with nano, and keep tracks with truth; what is there is not made again.

    A piece is a clip with one tracker, some seconds of one processor. Kill it at any time: the next call goes on.
    """
    first, _, every = share.partition("/")
    if not (first.isdigit() and every.isdigit() and int(first) < int(every)) or pieces < 1:
        raise BadConfiguration(f"--pieces {pieces} --share {share!r}; expected 1 or more, and K/N with K below N, as 0/2")
    root = root.expanduser()
    check_folder(root, "--root")
    from flows.quality.make import Piece, Progress
    from flows.quality.make import make as make_pieces

    def seen(progress: Progress, piece: Piece) -> None:
        console.print(f"{piece.name}: {progress.tracks} tracks in {progress.made} pieces", markup=False, soft_wrap=True)

    progress = make_pieces(root, pieces, seen=seen, share=(int(first), int(every)))
    failed = f", {len(progress.failed)} failed" if progress.failed else ""
    console.print(f"{root}: {progress.tracks} tracks made in {progress.made} pieces{failed}", markup=False, soft_wrap=True)
    raise typer.Exit(1 if progress.failed else 0)


@app.command()
def bench(
    root: Folder = Path(DEFAULT_ROOT),
    split: Annotated[str, typer.Option(help="held (clips that judges are not fitted to), fit, or all")] = HELD,
    judge: Annotated[str, typer.Option(help="auto, none, a shipped judge's name, or a file")] = "auto",
    fit: Annotated[bool, typer.Option(help="Also fit trees here, out of fold, to say what columns are worth")] = True,
    wrong_seeds: Annotated[bool, typer.Option(help="Rank tracks from wrong prompts as well")] = False,
    out: Annotated[str | None, typer.Option("-o", "--out", help="A folder for quality.json and quality.md")] = None,
) -> None:
    """Compare rules, judge, single signals and fitted trees on tracks with truth, as one table with intervals."""
    if split not in (HELD, FIT, ALL):
        raise BadConfiguration(f"--split is {split!r}; expected {HELD}, {FIT} or {ALL}")
    from flows.quality.bench import run_bench

    run_bench(root.expanduser(), console, split=split, judge=judge, fit=fit, wrong_seeds=wrong_seeds, out=out)
