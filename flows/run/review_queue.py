"""Between the store and the review queue: what is in doubt goes there, what people said comes back."""

import functools
import hashlib
import logging
import os
import re
import shlex
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from labeling.config import LabelConfig, RunConfig
from labeling.errors import BadConfiguration, DamagedStore, Denied
from labeling.ingest.prompts import PromptTable, merge_prompts, read_prompts, write_prompts
from labeling.logs import redact
from labeling.objects import Objects, open_objects
from labeling.review.db.database import sqlite_file
from labeling.review.db.sqlite import cannot_open
from labeling.review.items import Correction, ItemKey
from labeling.review.queue import ReviewQueue
from labeling.store.reader import read_mask_rows
from labeling.store.records import mask_from_row, prompts_from_json
from labeling.store.snapshots import Snapshot, newest_snapshot, read_tracks, read_videos
from labeling.types import HELD, Prompt, PromptSource

log = logging.getLogger(__name__)

# Reviewers' corrections as a prompt table of the dataset: the loop closes through data.
CORRECTIONS = "corrections.jsonl"
_CORRECTIONS_ADVICE = "restore it from a copy, or move it away: what the review queue holds is written again"


def queue_url(config: LabelConfig) -> str:
    """Return where the dataset's queue is: as configured, else $LABELING_REVIEW_URL, else an SQLite file for this store.

    That file is `review.sqlite` in a folder store; a store in S3 has it in the user's data folder. Nothing is made here.
    """
    if configured := configured_url(config):
        return configured
    root = open_objects(config.store.root).root
    return _queue_of_bucket(root) if root.startswith("s3://") else str(Path(root) / "review.sqlite")


def configured_url(config: LabelConfig) -> str | None:
    """Return where somebody said that the queue is; None where it goes by the store."""
    return config.run.review_url or os.environ.get("LABELING_REVIEW_URL")


def queue_shown(config: LabelConfig) -> str:
    """Return where the queue is as people are told: a file's whole path, or a URL without its password."""
    url = queue_url(config)
    path = sqlite_file(url)
    return redact(url) if path is None else str(path.absolute())


def _queue_of_bucket(root: str) -> str:
    """Return the file for a store in S3; one that earlier releases left in the working folder is gone on with there."""
    # The same name at another server is another dataset.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    identity = hashlib.sha256(f"{endpoint.rstrip('/')}{root}".encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.removeprefix("s3://"))[:80]
    path = data_folder() / "review" / f"{name}-{identity}.sqlite"
    before = Path(f"review-{hashlib.sha256(root.encode()).hexdigest()[:8]}.sqlite").absolute()
    if not before.is_file():
        return str(path)
    if path.exists():
        _warn(f"{before} is not read: the queue of {root} is {path}. run.review_url={before} shows what waits in the first")
        return str(path)
    _warn(f"the queue of {root} is {before}, found from this folder only. Once nothing uses it: "
          f"mkdir -p {shlex.quote(str(path.parent))} && mv {shlex.quote(str(before))} {shlex.quote(str(path))}")
    return str(before)


def data_folder() -> Path:
    """Return this user's folder for what is to be kept: below $XDG_DATA_HOME, else ~/.local/share."""
    given = os.environ.get("XDG_DATA_HOME", "")
    # The rule for this variable is that a relative path is none.
    above = Path(given) if os.path.isabs(given) else Path("~/.local/share").expanduser()
    return above / "samurai-labeling"


@functools.cache
def _warn(message: str) -> None:
    log.warning(message)


@contextmanager
def open_queue(config: LabelConfig) -> Iterator[ReviewQueue]:
    """Open the dataset's queue for the block, making it where there is none; Unavailable where that is not possible."""
    with ReviewQueue(queue_url(config)) as queue:
        yield queue


@contextmanager
def queue_at_hand(config: LabelConfig) -> Iterator[ReviewQueue | None]:
    """Open the dataset's queue for the block to read from, as it is; None where nobody has made it yet."""
    url = queue_url(config)
    path = sqlite_file(url)
    if path is not None and not _is_there(path):
        yield None
        return
    with ReviewQueue(url, reading=True) as queue:
        yield queue


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise cannot_open(path, error) from error


def collect_corrections(objects: Objects, queue: ReviewQueue) -> PromptTable:
    """Bring the queue's corrections into the dataset's own table, without those taken back since, and return what it holds."""
    kept = read_corrections(objects)
    merged = merge_prompts(merged_corrections(kept, queue), answered_prompts(objects, queue))
    if dict(merged.by_video) != dict(kept.by_video):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / CORRECTIONS
            write_prompts(path, ((video, prompt) for video, prompts in merged.by_video.items() for prompt in prompts))
            objects.put_file(CORRECTIONS, path)
    return merged


def corrections_now(config: LabelConfig, objects: Objects) -> PromptTable:
    """Return the corrections as the next run will have them, as far as this user may read; nothing is written."""
    kept = read_corrections(objects)
    try:
        with queue_at_hand(config) as queue:
            if queue is None:
                return kept
            return merge_prompts(merged_corrections(kept, queue), answered_prompts(objects, queue))
    except Denied as error:
        log.warning("corrections that no run has taken in yet are left out: %s", error)
        return kept


def merged_corrections(kept: PromptTable, queue: ReviewQueue) -> PromptTable:
    """Join a dataset's table with the queue's corrections, without those taken back since."""
    undone = {(c.video_key, prompt) for c in queue.undone_corrections() for prompt in c.prompts}
    decided = queue.corrections(unapplied_only=False)
    fresh = PromptTable({})
    for correction in decided:
        fresh = merge_prompts(fresh, PromptTable({correction.video_key: tuple(correction.prompts)}))
    left = {video: tuple(p for p in prompts if (video, p) not in undone) for video, prompts in kept.by_video.items()}
    return merge_prompts(PromptTable({video: prompts for video, prompts in left.items() if prompts}), fresh)


def answered_prompts(objects: Objects, queue: ReviewQueue) -> PromptTable:
    """Return first masks that were held and that a person has accepted since: each is its object's prompt from now on."""
    snapshot = newest_snapshot(objects)
    tracks = read_tracks(objects, snapshot) if snapshot else None
    held = tracks.filter(pc.equal(tracks["direction"], HELD)).to_pylist() if tracks is not None else []
    if not held or snapshot is None:
        return PromptTable({})
    accepted = {ItemKey(d.video_id, d.track_id, d.label_version) for d in queue.pending_decisions() if d.action == "accept"}
    videos = read_videos(objects, snapshot).select(["video_id", "video_key"]).to_pylist()
    names = {row["video_id"]: row["video_key"] for row in videos}
    prompts: dict[str, list[Prompt]] = defaultdict(list)
    for row in held:
        if ItemKey.of_row(row) in accepted:
            (mask,) = (mask_from_row(of) for of in read_mask_rows(objects, row).to_pylist())
            prompts[names[row["video_id"]]].append(Prompt(
                row["object_id"], mask.frame_idx, mask=mask.rle, category=row["category"], source=PromptSource.CORRECTION
            ))
    return PromptTable({video: tuple(of_video) for video, of_video in prompts.items()})


def read_corrections(objects: Objects) -> PromptTable:
    """Read the dataset's table of corrections; empty where nobody has corrected anything."""
    if objects.stat(CORRECTIONS) is None:
        return PromptTable({})
    try:
        table = read_prompts(objects.uri(CORRECTIONS))
    except BadConfiguration as error:
        raise DamagedStore(f"{error}; {_CORRECTIONS_ADVICE}") from error
    if table.bad_rows:
        row = table.bad_rows[0]
        raise DamagedStore(f"{objects.uri(CORRECTIONS)} is damaged (line {row.line}: {row.message}); {_CORRECTIONS_ADVICE}")
    return table


def open_items(
    objects: Objects, queue: ReviewQueue, snapshot: Snapshot, run_id: str, settings: RunConfig | None = None
) -> int:
    """Open an item for each masklet in doubt, close those that no longer are, and note which corrections were tracked.

    `settings` say how many reviewers an item asks for, and in which order items wait. Returns how many are new.
    """
    settings = settings or RunConfig()
    counts = queue.open_from_snapshot(objects, snapshot, reviewers=settings.reviewers, order=settings.review_order)
    # Last, so that whoever is killed before this finds the corrections waiting and does the rest.
    queue.mark_applied(tracked_from(objects, queue, snapshot), run_id=run_id)
    return counts.opened


def tracked_from(objects: Objects, queue: ReviewQueue, snapshot: Snapshot) -> list[Correction]:
    """Return the waiting corrections that a newer version was tracked from: not one that was decided while a run went on."""
    waiting = queue.corrections()
    if not waiting:
        return []
    columns = ["video_id", "track_id", "label_version", "prompts"]
    rows = read_tracks(objects, snapshot, {c.key.video_id for c in waiting}).select(columns).to_pylist()
    current = {(row["video_id"], row["track_id"]): row for row in rows}
    return [c for c in waiting if (row := current.get(c.key[:2])) and _newer_with(row, c)]


def _newer_with(track: Mapping[str, Any], correction: Correction) -> bool:
    """Whether a row of `tracks` is a newer version that has a correction on each of the correction's frames."""
    told = {p.frame_idx for p in prompts_from_json(track["prompts"]) if p.source is PromptSource.CORRECTION}
    newer: bool = track["label_version"] > correction.key.label_version
    return newer and {p.frame_idx for p in correction.prompts} <= told
