"""Fills the queue from a published snapshot: in with what the judge doubts, out with what it no longer does."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from labeling.objects import Objects
from labeling.review.items import ItemKey, OpenCounts, ReviewItem
from labeling.review.queue import ReviewQueue
from labeling.store.records import verdict_from_row
from labeling.store.snapshots import Snapshot, read_tracks, read_verdicts, read_videos
from labeling.types import Decision


def open_from_snapshot(queue: ReviewQueue, objects: Objects, snapshot: Snapshot, *, reviewers: int = 1) -> OpenCounts:
    """Open an item for each masklet under review, close those of older versions, withdraw those now judged clear.

    New items ask for so many `reviewers`. Repeatable. What people have decided is left alone, in the queue and in the snapshot.
    """
    verdicts, tracks = (read(objects, snapshot).to_pylist() for read in (read_verdicts, read_tracks))
    current = {(row["video_id"], row["track_id"]): row["label_version"] for row in verdicts}
    superseded = queue.close_superseded(current)
    doubted = _in_doubt(verdicts, tracks, _video_keys(objects, snapshot), snapshot.name)
    counts = queue.open_items(replace(item, reviewers=reviewers) for item in doubted)
    clear = [_key(row) for row in verdicts if row["verdict"] != Decision.REVIEW]
    queue.withdraw(clear, because=f"judged clear in {snapshot.name}")
    return counts + OpenCounts(superseded=superseded)


def _in_doubt(
    verdicts: list[dict[str, Any]], tracks: list[dict[str, Any]], video_keys: Mapping[str, str], snapshot: str
) -> Iterator[ReviewItem]:
    # Both tables are in the same order, one row per masklet.
    for said, track in zip(verdicts, tracks, strict=True):
        if said["verdict"] != Decision.REVIEW:
            continue
        first, last = track["first_frame_idx"] or 0, track["last_frame_idx"] or 0
        yield ReviewItem.of_verdict(
            verdict_from_row(said), video_key=video_keys[said["video_id"]], run_id=track["run_id"],
            snapshot=snapshot, frame_span=(first, last + 1), category=track["category"],
        )


def _video_keys(objects: Objects, snapshot: Snapshot) -> Mapping[str, str]:
    videos = read_videos(objects, snapshot).select(["video_id", "video_key"]).to_pylist()
    return {row["video_id"]: row["video_key"] for row in videos}


def _key(row: Mapping[str, Any]) -> ItemKey:
    return ItemKey(row["video_id"], row["track_id"], row["label_version"])
