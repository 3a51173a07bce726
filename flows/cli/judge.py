"""`labeling judge`: fit a judge, show what it is and how good, and set which one judges a store."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli.arguments import AsJson, Root, store_at
from flows.cli.console import console, escape
from flows.quality.judge_card import draw_calibration, rows_of_card
from flows.run.out_folder import written_over
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.qc.judge import Judge
from labeling.qc.judge_json import document_of, to_json
from labeling.store.judges import AUTO, NONE, choose, judge_at
from labeling.store.snapshots import read_snapshot

commands = typer.Typer(rich_markup_mode="markdown")
app = typer.Typer(no_args_is_help=True, help="Fit, show and choose the judge, which gives each masklet its risk.")
commands.add_typer(app, name="judge")

Out = Annotated[Path, typer.Option("-o", "--out", help="The file to write it to")]


@app.command()
def fit(
    out: Out,
    where: Annotated[list[str] | None, typer.Argument(metavar="ROOT", help="A store whose masklets people have judged")] = None,
    truth: Annotated[Path | None, typer.Option(help="A folder of tracks with truth, that `labeling quality make` made")] = None,
    base: Annotated[str, typer.Option(help="The judge to calibrate on a store's reviews: a name or a file")] = "nano",
    name: Annotated[str, typer.Option(help="What to call it")] = "own",
) -> None:
    """Fit a judge to tracks with truth (`--truth FOLDER`), or calibrate one on what people said of a store (`ROOT`).

    From a store, audits count for what they stand for, and the trees stay those of --base: fifty answers are enough to begin
    with, two hundred are better. The judge is set for a store by `labeling judge use`.
    """
    if bool(where) == (truth is not None):
        raise BadConfiguration("expected a store's ROOT or --truth FOLDER, one of them")
    if not name.strip() or len(name) > 60:
        raise BadConfiguration(f"--name is {name[:60]!r}; expected a word or two")
    from flows.quality.judging import fit_to_store, fit_to_truth

    with written_over(out, begins='{"accept_below":') as writer:
        judge = fit_to_truth(truth, name) if truth is not None else fit_to_store(store_at(where or []), judge_at(base), name)
        writer.write(to_json(document_of(judge)))
    _print_card(judge)
    console.print(escape(f"{out}: set it by `labeling judge use {out} ROOT`, or try it by qc.judge={out}"), soft_wrap=True)


@app.command()
def show(
    judge: Annotated[str, typer.Argument(help="A name (nano) or a file")] = "nano",
    plot: Annotated[Path | None, typer.Option(help="Also draw its calibration on held-out tracks into this PNG")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a judge's card: what it was trained on, what it reaches on tracks that it has not seen, which signals matter."""
    chosen = judge_at(judge)
    if as_json:
        document = document_of(chosen)
        console.print_json(json.dumps({"digest": chosen.digest, **{k: v for k, v in document.items() if k != "trees"}}))
    else:
        _print_card(chosen)
    if plot is not None:
        draw_calibration(chosen, plot)
        console.print(escape(str(plot)), soft_wrap=True)


@app.command()
def use(
    judge: Annotated[str, typer.Argument(help="A name (nano), a file, `none` for rules alone, `auto` for what is shipped")],
    where: Root,
) -> None:
    """Set which judge `qc.judge=auto` means for a store: `labeling judge use own.json labels`; `labeling qc` judges by it."""
    objects = open_objects(store_at(where).store.root)
    read_snapshot(objects)      # so that nothing is written where no store is
    chosen = choose(objects, judge)
    what = f"{chosen.name} {chosen.digest[:12]}" if chosen else {NONE: "the rules alone", AUTO: "what is shipped"}[judge]
    console.print(escape(f"{objects.root} is judged by {what} from the next run on; `labeling qc {objects.root}` does it now"))


def _print_card(judge: Judge) -> None:
    table = Table(box=None, show_header=False)
    for label, text in rows_of_card(judge):
        table.add_row(escape(label), escape(text))
    console.print(table)
