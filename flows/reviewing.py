"""Between the store and the review queue: what is in doubt goes there, what people said comes back."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labeling.config import LabelConfig
from labeling.ingest.prompts import PromptTable, merge_prompts, read_prompts, write_prompts
from labeling.objects import Objects, open_objects
from labeling.review.from_snapshot import open_from_snapshot
from labeling.review.items import Correction
from labeling.review.queue import ReviewQueue
from labeling.review.standing import undone_corrections
from labeling.store.records import prompts_from_json
from labeling.store.snapshots import Snapshot, read_tracks
from labeling.types import PromptSource

# Reviewers' corrections as a prompt table of the dataset: the loop closes through data.
CORRECTIONS = "corrections.jsonl"


def queue_url(config: LabelConfig) -> str:
    """Return where the queue is: as configured, else $LABELING_REVIEW_URL, else an SQLite file for this store."""
    configured = config.run.review_url or os.environ.get("LABELING_REVIEW_URL")
    if configured:
        return configured
    root = open_objects(config.store.root).root
    if root.startswith("s3://"):
        return f"review-{hashlib.sha256(root.encode()).hexdigest()[:8]}.sqlite"
    Path(root).mkdir(parents=True, exist_ok=True)
    return str(Path(root) / "review.sqlite")


@contextmanager
def open_queue(config: LabelConfig) -> Iterator[ReviewQueue]:
    """Open the dataset's queue for the block."""
    with ReviewQueue(queue_url(config)) as queue:
        yield queue


@contextmanager
def queue_at_hand(config: LabelConfig) -> Iterator[ReviewQueue | None]:
    """Open the dataset's queue for the block where there is one; None where nobody has made it yet."""
    url = queue_url(config)
    path = url.removeprefix("sqlite:///")
    if "://" not in path and not Path(path).is_file():
        yield None
        return
    with ReviewQueue(url) as queue:
        yield queue


def collect_corrections(objects: Objects, queue: ReviewQueue) -> PromptTable:
    """Bring the queue's corrections into the dataset's own table, without those taken back since, and return what it holds."""
    kept = read_corrections(objects)
    undone = {(c.video_key, prompt) for c in undone_corrections(queue) for prompt in c.prompts}
    decided = queue.corrections(unapplied_only=False)
    fresh = PromptTable({})
    for correction in decided:
        fresh = merge_prompts(fresh, PromptTable({correction.video_key: tuple(correction.prompts)}))
    left = {video: tuple(p for p in prompts if (video, p) not in undone) for video, prompts in kept.by_video.items()}
    merged = merge_prompts(PromptTable({video: prompts for video, prompts in left.items() if prompts}), fresh)
    if dict(merged.by_video) != dict(kept.by_video):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / CORRECTIONS
            write_prompts(path, ((video, prompt) for video, prompts in merged.by_video.items() for prompt in prompts))
            objects.put_file(CORRECTIONS, path)
    return merged


def read_corrections(objects: Objects) -> PromptTable:
    """Read the dataset's table of corrections; empty where nobody has corrected anything."""
    if objects.stat(CORRECTIONS) is None:
        return PromptTable({})
    return read_prompts(objects.uri(CORRECTIONS))


def open_items(objects: Objects, queue: ReviewQueue, snapshot: Snapshot, run_id: str, *, reviewers: int = 1) -> int:
    """Open an item for each masklet in doubt, close those that no longer are, and note which corrections were tracked.

    Returns how many items are new.
    """
    opened = open_from_snapshot(queue, objects, snapshot, reviewers=reviewers).opened
    # Last, so that whoever is killed before this finds the corrections waiting and does the rest.
    queue.mark_applied(tracked_from(objects, queue, snapshot), run_id=run_id)
    return opened


def tracked_from(objects: Objects, queue: ReviewQueue, snapshot: Snapshot) -> list[Correction]:
    """Return the waiting corrections that a newer version was tracked from: not one that was decided while a run went on."""
    waiting = queue.corrections()
    if not waiting:
        return []
    columns = ["video_id", "track_id", "label_version", "prompts"]
    rows = read_tracks(objects, snapshot).select(columns).to_pylist()
    current = {(row["video_id"], row["track_id"]): row for row in rows}
    return [c for c in waiting if (row := current.get(c.key[:2])) and _newer_with(row, c)]


def _newer_with(track: Mapping[str, Any], correction: Correction) -> bool:
    """Whether a row of `tracks` is a newer version that has a correction on each of the correction's frames."""
    told = {p.frame_idx for p in prompts_from_json(track["prompts"]) if p.source is PromptSource.CORRECTION}
    newer: bool = track["label_version"] > correction.key.label_version
    return newer and {p.frame_idx for p in correction.prompts} <= told
