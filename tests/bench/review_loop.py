"""What a review is worth: the demo is labelled, doubted tracks are corrected by clicks, and those are tracked again.

`python -m tests.bench.review_loop [FOLDER [all|span]]` draws and labels the demo in FOLDER unless it is there, then corrects
a frame amid the worst of each waiting item as a reviewer would: with at most four clicks, each set where the shown mask is
most wrong, for all frames or for the wrong stretch around it. Prints J&F before and after, and whether anything else changed.
"""

import hashlib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from flows.apply_reviews import plan_corrections
from flows.configure import load_config
from flows.demo.clips import DemoTruth, read_demo, render_demo
from flows.demo.demo import compare
from flows.label_video import LabelVideo
from flows.run.plan import plan_run
from flows.run.review_queue import collect_corrections, open_queue
from labeling import rle
from labeling.config import LabelConfig, PromptScope
from labeling.errors import BadInput
from labeling.ingest.decode import FrameReader
from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.ingest.prompts import PromptTable, merge_prompts, read_prompts
from labeling.objects import Objects, open_objects
from labeling.review.items import QueuedItem
from labeling.review.queue import ReviewQueue
from labeling.store.plan import Plan
from labeling.store.publish import publish
from labeling.store.reader import StoredMasklet, read_masklets
from labeling.store.snapshots import read_snapshot
from labeling.track.correction import click, take_frame
from labeling.track.predictor import Predictor, TrackerRecipe, build_predictor, recipe_of
from labeling.types import RLE, Point, Prompt, PromptSource

Bools = npt.NDArray[np.bool_]
Track = tuple[str, int]
MOST_CLICKS, GOOD_ENOUGH, WRONG, MUCH_ALIKE = 4, 0.9, 0.8, 0.05


@dataclass(frozen=True, slots=True)
class Corrected:
    """One correction: where, with how many clicks, and the span that it may change."""

    frame_idx: int
    clicks: int
    span: tuple[int, int] | None


def iou(first_HW: Bools, second_HW: Bools) -> float:
    """J of two masks; 1 where both are empty."""
    union = (first_HW | second_HW).sum()
    return 1.0 if not union else float((first_HW & second_HW).sum() / union)


def innermost(wrong_HW: Bools) -> tuple[int, int]:
    """The pixel (x, y) that survives erosion longest: deep inside the largest wrong part."""
    left = wrong_HW
    while True:
        padded = np.pad(left, 1)
        smaller = left & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        if not smaller.any():
            y, x = np.argwhere(left)[0]
            return int(x), int(y)
        left = smaller


def clicked(predictor: Predictor, rgb_HW3: npt.NDArray[np.uint8], mask: RLE, true_HW: Bools) -> Prompt | None:
    """The best mask that a few clicks make of a frame; None where none is better than the one that is there."""
    frame, seen_HW = take_frame(predictor, rgb_HW3), rle.decode(mask)
    best, found = iou(seen_HW, true_HW), None
    points: list[Point] = []
    labels: list[int] = []
    while len(points) < MOST_CLICKS and iou(seen_HW, true_HW) < GOOD_ENOUGH:
        missing, spilled = true_HW & ~seen_HW, seen_HW & ~true_HW
        wrong_HW = max(missing, spilled, key=np.count_nonzero)
        points.append(innermost(wrong_HW))
        labels.append(int(wrong_HW is missing))
        answer = click(predictor, frame, points_xy=points, labels=labels, mask=mask)
        seen_HW = rle.decode(answer.mask)
        if iou(seen_HW, true_HW) > best:
            best = iou(seen_HW, true_HW)
            found = Prompt(
                1, 0, points_xy=tuple(points), labels=tuple(labels), mask=answer.mask, source=PromptSource.CORRECTION
            )
    return found


def correct(
    queue: ReviewQueue, predictor: Predictor, item: QueuedItem, stored: StoredMasklet, truth: DemoTruth, *, spanned: bool
) -> Corrected | None:
    """Correct a frame amid the worst on which the object is seen; None where clicks make nothing better."""
    key, object_id = stored.video.ref.key, stored.masklet.object_id
    true = truth.masks[key][object_id]
    found = {f.frame_idx: iou(rle.decode(f.rle), rle.decode(true[f.frame_idx])) for f in stored.frames}
    seen = [f for f in stored.frames if rle.area(true[f.frame_idx])]
    lowest = min(found[f.frame_idx] for f in seen)
    bad = [f for f in seen if found[f.frame_idx] <= lowest + MUCH_ALIKE]
    worst = bad[len(bad) // 2]          # amid them: where two have crossed, they have parted again
    rgb_HW3 = read_frame(truth.folder / key, worst.frame_idx)
    made = clicked(predictor, rgb_HW3, worst.rle, rle.decode(true[worst.frame_idx]))
    if made is None:
        return None
    first = last = worst.frame_idx
    while found.get(first - 1, 1.0) < WRONG:
        first -= 1
    while found.get(last + 1, 1.0) < WRONG:
        last += 1
    span = (first, last + 1) if spanned else None
    # Marked as the review page marks it.
    prompt = Prompt(
        object_id, worst.frame_idx, made.points_xy, made.labels, mask=made.mask, source=made.source, span=span,
        scope=PromptScope.stretch,
    )
    queue.decide(item.item_id, "correct", prompts=[prompt], reviewer="bench", clicks=len(made.points_xy))
    return Corrected(worst.frame_idx, len(made.points_xy), span)


def read_frame(path: Path, frame_idx: int) -> npt.NDArray[np.uint8]:
    """One frame of a clip, upright."""
    with FrameReader(path, probe(ref_of(str(path)), path), [frame_idx]) as reader:
        return reader[0]


def digests(config: LabelConfig) -> dict[str, str]:
    """What each file of masks holds."""
    files = (Path(config.store.root) / "masks").rglob("*.parquet")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_of(config: LabelConfig) -> Mapping[Track, StoredMasklet]:
    """The current masklets."""
    return {(m.video.ref.key, m.masklet.object_id): m for m in read_masklets(config.store.root)}


def unchanged(before: StoredMasklet, after: StoredMasklet, span: tuple[int, int] | None) -> tuple[int, int]:
    """How many frames lie outside a span, and how many of those have the mask that they had."""
    first, end = span or (0, len(before.frames) + before.frames[0].frame_idx)
    pairs = zip(before.frames, after.frames, strict=True)
    outside = [(a, b) for a, b in pairs if not first <= a.frame_idx < end]
    return len(outside), sum(a == b for a, b in outside)


def agreement(truth: DemoTruth, config: LabelConfig) -> Mapping[Track, float]:
    """J&F of each current masklet."""
    return {(row.video_key, row.object_id): row.mean for row in compare(truth, config)}


def carry_out(config: LabelConfig, objects: Objects, recipe: TrackerRecipe, plan: Plan) -> None:
    """What a run does between plan and report, in this process: without a cluster, a server and a report."""
    work = LabelVideo(config, recipe, plan.run_id)
    work.setup("cpu")
    for job in plan.jobs:
        try:
            work(job, deadline=math.inf)
        except BadInput as error:       # the demo's broken clip
            print(f"{job.video.key}: {error}")
    publish(objects, config.qc, run_id=plan.run_id)


def label(folder: Path) -> LabelConfig:
    """Draw and label the demo's clips, unless that is done; how it was done."""
    config = load_config([
        f"source.uri={folder / 'clips'}", "source.glob=*.mp4", f"prompts.uri={folder / 'clips' / 'prompts.jsonl'}",
        "model=nano", f"store.root={folder / 'dataset'}", f"run.scratch={folder / 'scratch'}", "tracker=samurai", "qc=default",
    ])
    if not (folder / "dataset" / "snapshots").is_dir():
        render_demo(folder / "clips")
        objects = open_objects(config.store.root)
        carry_out(config, objects, *plan_run(config, objects, "run-1", corrections=PromptTable({})))
    return config


def main(folder: Path, kind: str) -> None:
    """Label, correct, apply, print."""
    config = label(folder)
    truth, objects = read_demo(folder / "clips"), open_objects(config.store.root)
    before, files, jf = rows_of(config), digests(config), agreement(truth, config)
    recipe = recipe_of(config.model, config.precision, config.tracker)
    predictor = build_predictor(recipe, config.model.checkpoint, device="cpu")
    done: dict[Track, Corrected] = {}
    with open_queue(config) as queue:
        queue.open_from_snapshot(objects, read_snapshot(objects))
        for item in queue.list():
            track = (item.video_key, int(item.key.track_id))
            made = correct(queue, predictor, item, before[track], truth, spanned=kind == "span")
            if made is not None:
                done[track] = made
        table = merge_prompts(read_prompts(config.prompts.uri), collect_corrections(objects, queue))
        carry_out(config, objects, *plan_corrections(config, objects, f"apply-{kind}", queue.corrections(), table))
    report(Changed(before, rows_of(config), jf, agreement(truth, config), done), files, digests(config))


@dataclass(frozen=True, slots=True)
class Changed:
    """The masklets and their J&F before and after, and what was corrected."""

    before: Mapping[Track, StoredMasklet]
    after: Mapping[Track, StoredMasklet]
    jf_before: Mapping[Track, float]
    jf_after: Mapping[Track, float]
    done: Mapping[Track, Corrected]


def report(changed: Changed, files: Mapping[str, str], kept: Mapping[str, str]) -> None:
    """Print each corrected track, and whether anything else is other than it was."""
    console = Console(width=140)
    table = Table("track", "frame", "clicks", "span", "J&F before", "after", "frames outside, as they were", box=None)
    for track, made in changed.done.items():
        outside, same = unchanged(changed.before[track], changed.after[track], made.span)
        table.add_row(
            f"{track[0]} {track[1]}", str(made.frame_idx), str(made.clicks), str(made.span or "all"),
            f"{changed.jf_before[track]:.3f}", f"{changed.jf_after[track]:.3f}", f"{same} of {outside}",
        )
    console.print(table)
    if changed.done:
        means = (np.mean([jf[track] for track in changed.done]) for jf in (changed.jf_before, changed.jf_after))
        console.print("mean J&F of corrected tracks: {:.3f} before, {:.3f} after".format(*means))
    same_files = sum(kept.get(name) == digest for name, digest in files.items())
    more = len(kept) - len(files)
    console.print(f"{same_files} of {len(files)} files of masks are byte for byte what they were, {more} are new")
    others = [track for track in changed.before if track not in changed.done]
    whole = sum(changed.before[track].frames == changed.after[track].frames for track in others)
    console.print(f"{whole} of {len(others)} tracks that nobody corrected have the masks and scores that they had")


if __name__ == "__main__":
    given = sys.argv[1:]
    folder, span = given + ["outputs/review-loop", "all"][len(given):]
    main(Path(folder).resolve(), span)
