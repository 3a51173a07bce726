"""What corrections that are limited to spans of frames leave alone: the plan's word for an object tracked in part."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc

from labeling.objects import Objects
from labeling.store.ledger import Ledger, components_of
from labeling.store.mask_rows import masks_file
from labeling.store.parquet import open_file
from labeling.store.plan import Plan
from labeling.store.records import prompts_from_json
from labeling.store.snapshots import read_tracks
from labeling.types import Job, Kept, Prompt

Span = tuple[int, int]


def keep_what_is_not_corrected(objects: Objects, ledger: Ledger, plan: Plan) -> Plan:
    """Return the plan with `Job.kept` where an object differs from its newest version by corrections with spans alone.

    Where anything else differs (a seed, the model, a correction of all frames), the whole object is tracked.
    """
    limited = [(job, o) for job in plan.jobs for o in sorted({p.object_id for p in job.prompts if p.span is not None})]
    if not limited:
        return plan
    tracks = read_tracks(objects, ledger.snapshot) if ledger.snapshot else None
    kept: dict[str, dict[int, Kept]] = defaultdict(dict)
    for job, object_id in limited:
        before = _before(objects, ledger, tracks, job, object_id)
        if before:
            changed = kept_of(before.masks_file, before.prompts, [p for p in job.prompts if p.object_id == object_id])
            kept[job.name] |= {object_id: changed} if changed else {}
    return replace(plan, jobs=tuple(replace(job, kept=kept[job.name]) if kept.get(job.name) else job for job in plan.jobs))


@dataclass(frozen=True, slots=True)
class _Version:
    """An object's newest version: the file of its masks, and what it was tracked from."""

    masks_file: str
    prompts: tuple[Prompt, ...]


def _before(objects: Objects, ledger: Ledger, tracks: Any, job: Job, object_id: int) -> _Version | None:
    """Return the newest version of an object of which nothing differs but the prompts."""
    video_id = job.video.video_id
    done = ledger.newest(video_id, object_id)
    made_of, wanted = components_of(done) if done else {}, job.components.get(object_id, {})
    if not done or not made_of or {name for name in wanted if made_of.get(name) != wanted[name]} != {"prompts"}:
        return None
    published = [] if tracks is None else _rows(tracks.filter(pc.equal(tracks["video_id"], video_id)), object_id)
    for row in published:
        if row["label_version"] == done.label_version:
            return _Version(masks_file(row), prompts_from_json(row["prompts"]))
    return _unpublished(objects, ledger, video_id, object_id, done.key)


def _unpublished(objects: Objects, ledger: Ledger, video_id: str, object_id: int, key: str) -> _Version | None:
    """Return a version that no snapshot has taken in, from the files of its batch."""
    for marker in ledger.markers:
        if marker.video_id == video_id and any((r["object_id"], r["key"]) == (object_id, key) for r in marker.results):
            with open_file(objects, marker.file_of("tracks")) as opened:
                (row,) = _rows(opened.read(), object_id)
            return _Version(marker.file_of("masks"), prompts_from_json(row["prompts"]))
    return None


def _rows(table: Any, object_id: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.filter(pc.equal(table["object_id"], object_id)).to_pylist()
    return rows


def kept_of(masks_file: str, before: Sequence[Prompt], now: Sequence[Prompt]) -> Kept | None:
    """Return what stays when an object's prompts become others.

    Nothing does where a new prompt is not limited to a span, or one was taken away on a frame outside of the new ones' spans.
    """
    # What an object is called changes no mask.
    told = {replace(p, category=None) for p in before}
    wanted = {replace(p, category=None) for p in now}
    fresh, gone = wanted - told, told - wanted
    spans = joined([p.span for p in fresh if p.span is not None])
    whole = any(p.span is None for p in fresh) or not all(any(a <= p.frame_idx < b for a, b in spans) for p in gone)
    if whole or not spans:
        return None
    return Kept(masks_file, spans, tuple(min(p.frame_idx for p in fresh if a <= p.frame_idx < b) for a, b in spans))


def joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Join half-open spans that overlap or touch, in ascending order."""
    found: list[Span] = []
    for first, end in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((first, end))
    return tuple(found)
