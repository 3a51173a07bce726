"""`labeling demo`: the main job on clips whose true masks are known, from a local S3 bucket to judged masklets."""

import logging
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from flows.cli.console import escape
from flows.configure import load_config
from flows.demo.clips import DemoTruth, render_demo
from flows.label_dataset import label_dataset
from flows.run.outcome import Outcome, print_outcome
from flows.run.report import write_run_report
from flows.run.review_queue import open_queue
from flows.stack.local_s3 import local_s3
from labeling import rle
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.export.records import TruthRow
from labeling.geometry import j_and_f
from labeling.objects import open_objects
from labeling.review.commands import render_list
from labeling.store.dead_letters import read_dead_letters
from labeling.store.reader import StoredMasklet, read_masklets
from labeling.store.snapshots import read_snapshot
from labeling.types import Decision, QCFlag

log = logging.getLogger(__name__)

BUCKET = "demo"
MARKER = ".labeling-demo"  # says that a folder is a demo's
_MADE = ("clips", "seeds", "dataset", "scratch")
SEED_EVERY_S = 0.25
_SAME_IOU = 0.5     # of a found object's first mask with the true one


def run_demo(out: str, console: Console, *, seeds: bool = False) -> Outcome:
    """Draw clips, serve them from a local S3 endpoint, label them, and print how well it went.

    With `seeds` objects are found by the small detector, not told: their table and sheet lie in `seeds/`.
    """
    folder = cleared(Path(out).expanduser().resolve())
    console.print("[bold]1. drawing clips[/] with known true masks")
    truth = render_demo(folder / "clips")
    prompts = find_seeds(folder, console) if seeds else truth.prompts
    with local_s3():
        upload(truth, prompts)
        bucket = f"s3://{BUCKET} at {os.environ['AWS_ENDPOINT_URL']}"
        console.print(f"[bold]2. serving[/] {len(truth.videos)} videos and a broken one from {bucket}")
        config = demo_config(folder)
        console.print("[bold]3. labelling[/] through Prefect and Ray")
        outcome = label_dataset(config)
        rows = compare(truth, config, seeds=seeds)
        report = write_run_report(
            config, open_objects(config.store.root), outcome.run_id, read_snapshot(open_objects(config.store.root)), truth=rows
        )
    console.print("[bold]4. what came of it[/]")
    print_outcome(outcome, config, console)
    print_masklets(config, rows, console)
    print_rejections(config, outcome.run_id, console)
    with open_queue(config) as queue:
        console.print(render_list(queue))
    console.print(f"[bold]open {escape(report)}[/]", soft_wrap=True)
    # the bucket is gone with its server
    words = [f"store.root={config.store.root}", f"source.uri={folder / 'clips'}"]
    command = escape(shlex.join(["labeling", "review", "serve", *words]))
    console.print(f"[bold]{command}[/]  settles what waits", soft_wrap=True)
    return outcome


def cleared(folder: Path) -> Path:
    """Make the demo's folder, without what an earlier demo made in it; BadConfiguration where other files are."""
    try:
        ours = (folder / MARKER).is_file()
        if folder.exists() and not ours and any(folder.iterdir()):
            raise BadConfiguration(
                f"--out is {str(folder)!r}, a folder with other files in it (no {MARKER}); expected a new or empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("`labeling demo` made clips, dataset and scratch here; run again, it removes them\n")
        for name in _MADE if ours else ():
            shutil.rmtree(folder / name, ignore_errors=True)
    except OSError as error:
        raise BadConfiguration(f"--out is {str(folder)!r} ({error}); expected a folder that can be written to") from error
    return folder


def find_seeds(folder: Path, console: Console) -> Path:
    """Find the clips' objects with the small detector; return the prompt table."""
    from flows.run.seed_finders import seed_detector

    config = load_config([f"source.uri={folder / 'clips'}", "model=nano", "tracker=samurai"])
    console.print("[bold]   finding objects[/] with the small detector, without prompts")
    seed_detector(config, out=str(folder / "seeds"), every_s=SEED_EVERY_S, console=console)
    return folder / "seeds" / "prompts.jsonl"


def upload(truth: DemoTruth, prompts: Path) -> None:
    """Put the clips and a prompt table into the bucket."""
    import boto3

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    bucket = open_objects(f"s3://{BUCKET}")
    for name in truth.files:
        bucket.put_file(f"clips/{name}", truth.folder / name)
    bucket.put_file("prompts.jsonl", prompts)


def demo_config(folder: Path) -> LabelConfig:
    """Return the demo's configuration: what a user would write on a command line."""
    return load_config([
        f"source.uri=s3://{BUCKET}/clips", f"prompts.uri=s3://{BUCKET}/prompts.jsonl", f"store.root={folder / 'dataset'}",
        f"run.scratch={folder / 'scratch'}", "model=nano", "tracker=samurai", "qc=default",
        "cluster=laptop", "run.previews=4",
    ])


def compare(truth: DemoTruth, config: LabelConfig, *, seeds: bool = False) -> list[TruthRow]:
    """Measure J and F of every masklet against its true masks, from the frame after its prompt on.

    Of found objects (`seeds`) the true one is the one that their first mask covers; one of none has no row.
    """
    rows = []
    for stored in read_masklets(config.store.root):
        key, object_id = stored.video.ref.key, stored.masklet.object_id
        number = covered(truth, stored) if seeds else object_id
        if number is None:
            continue
        first = stored.frames[0].frame_idx if seeds else truth.first_frame[key][object_id]
        frames = [frame for frame in stored.frames if frame.frame_idx > first]
        if not frames:
            continue
        tracked_THW = np.stack([rle.decode(frame.rle) for frame in frames])
        true_THW = np.stack([rle.decode(truth.masks[key][number][frame.frame_idx]) for frame in frames])
        measured = j_and_f(tracked_THW, true_THW)
        rows.append(TruthRow(key, object_id, measured.j, measured.f))
    return rows


def covered(truth: DemoTruth, stored: StoredMasklet) -> int | None:
    """Return the number of the true object that a masklet's first mask covers; None of what is no object."""
    first = next((frame for frame in stored.frames if frame.visible), None)
    if first is None:
        return None
    objects = truth.masks[stored.video.ref.key]
    shares = {number: rle.iou(first.rle, masks[first.frame_idx]) for number, masks in objects.items()}
    best = max(shares, key=lambda number: shares[number])
    return best if shares[best] >= _SAME_IOU else None


def print_masklets(config: LabelConfig, rows: list[TruthRow], console: Console) -> None:
    """Print each masklet's verdict, reasons and J&F, and the mean of all and of those that the judge accepted."""
    measured = {(row.video_key, row.object_id): row for row in rows}
    accepted = []
    table = Table("video", "object", "verdict", "risk", "why", "J", "F", "J&F", title="masklets", title_justify="left")
    for stored in read_masklets(config.store.root):
        row = measured.get((stored.video.ref.key, stored.masklet.object_id))
        scores = (f"{row.region_j:.2f}", f"{row.boundary_f:.2f}", f"{row.mean:.2f}") if row else ("no object", "", "")
        table.add_row(
            escape(stored.video.ref.key), escape(f"{stored.track_id} ({stored.masklet.category})"),
            stored.verdict.decision.value, f"{stored.verdict.risk:.2f}", _why(stored),
            *scores,
        )
        if row and stored.verdict.decision is Decision.ACCEPT:
            accepted.append(row)
    console.print(table)
    console.print(f"mean J&F {_mean(rows)} masklets; of those the judge accepted: {_mean(accepted)}")


def _mean(rows: list[TruthRow]) -> str:
    return f"{np.mean([row.mean for row in rows]):.3f} over {len(rows)}" if rows else "none"


def _why(stored: StoredMasklet) -> str:
    """The first two reasons, each with the first signal that gave it."""
    first: dict[str, QCFlag] = {}
    for flag in stored.verdict.flags:
        first.setdefault(flag.reason, flag)
    return ", ".join(f"{f.reason} ({f.signal} {f.value:.3g}, bound {f.threshold:.3g})" for f in list(first.values())[:2])


def print_rejections(config: LabelConfig, run_id: str, console: Console) -> None:
    """Print what could not be labelled and why."""
    for letter in read_dead_letters(open_objects(config.store.root), run_id):
        told = escape(f"{letter.video}: {letter.error.reason}: {letter.error.message}")
        console.print(f"[red]dead letter[/] {told}", soft_wrap=True)
