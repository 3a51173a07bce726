"""Between the store and the review queue: what is in doubt goes there, what people said comes back."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labeling.config import LabelConfig
from labeling.ingest.prompts import PromptTable, merge_prompts, read_prompts, write_prompts
from labeling.objects import Objects, open_objects
from labeling.review.from_snapshot import open_from_snapshot
from labeling.review.queue import ReviewQueue
from labeling.store.snapshots import Snapshot, read_tracks

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


def collect_corrections(objects: Objects, queue: ReviewQueue) -> PromptTable:
    """Bring the queue's corrections into the dataset's own table and return all that it holds."""
    kept = read_corrections(objects)
    decided = queue.corrections(unapplied_only=False)
    fresh = PromptTable({})
    for correction in decided:
        fresh = merge_prompts(fresh, PromptTable({correction.video_key: tuple(correction.prompts)}))
    merged = merge_prompts(kept, fresh)
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


def open_items(objects: Objects, queue: ReviewQueue, snapshot: Snapshot, run_id: str) -> int:
    """Open an item for each masklet in doubt, close those that no longer are, and note which corrections were tracked.

    Returns how many items are new.
    """
    tracks = read_tracks(objects, snapshot).select(["video_id", "track_id", "label_version"]).to_pylist()
    current = {(row["video_id"], row["track_id"]): row["label_version"] for row in tracks}
    applied = [c for c in queue.corrections() if current.get(c.key[:2], 0) > c.key.label_version]
    queue.mark_applied(applied, run_id=run_id)
    return open_from_snapshot(queue, objects, snapshot).opened
