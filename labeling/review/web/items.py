"""Routes of one item: scores, flags, masks, frames, the video's other objects, history."""

import json
import math
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from labeling import rle
from labeling.qc.reasons import explanation, question
from labeling.review.accounts import Reviewer, sha256
from labeling.review.gain import best_frames
from labeling.review.items import Consensus, ItemHistory, QueuedItem
from labeling.review.web.frames import MOST_FRAMES, ahead_of, shown_width
from labeling.review.web.requests import BIGGEST, Json, Refused
from labeling.review.web.services import PlainRoute, Reading, Served, Services, viewer_of
from labeling.review.web.store_view import Neighbour, Track, suspicious_frames
from labeling.types import RLE, Prompt, PromptSource, QCFlag

router = APIRouter(prefix="/api/items/{item_id}", route_class=PlainRoute)

ItemIdPath = Annotated[int, Path(ge=1, le=BIGGEST)]
FrameIdxQuery = Annotated[int, Query(ge=0, le=2**31 - 1)]
FrameIdxPath = Annotated[int, Path(ge=0, le=2**31 - 1)]
MAX_MASKS = 2_000
DEFAULT_WIDTH = 1280
# A frame of a video never changes under its content id, but the page's address names only the item.
CACHE = "private, max-age=3600"


def item_with_track(services: Services, item_id: int) -> tuple[QueuedItem, Track]:
    """An item and its track; UnknownItem where either is missing."""
    item = services.queue.get(item_id)
    return item, services.store.track(item.key, item.snapshot)


@router.get("")
def detail(
    item_id: ItemIdPath, services: Served, reviewer: Reading, width: Annotated[int, Query(ge=16, le=4096)] = DEFAULT_WIDTH
) -> Json:
    """Everything about one item; `width` is that of the frames to encode ahead."""
    history, consensus = services.queue.history_for(item_id, viewer_of(reviewer))
    item = history.item
    track = services.store.track(item.key, item.snapshot)
    doubted = suspicious_frames(track.frames, item.flags, iou_bound=track.iou_bound)
    ahead = ahead_of(track.frame_indices, doubted, most=MOST_FRAMES)
    services.prefetcher.request(track.video, ahead, width=shown_width(width, track.video), later=track.frame_indices)
    neighbours = services.store.neighbours(item.key, item.snapshot)
    if item.blind:
        return _blind_detail(item, track, neighbours, consensus)
    blind = services.page.blind_tracks(item.key.video_id)
    return {
        "item": as_item(item),
        "video": _video(track),
        "scores": _scores(track),
        "thresholds": {"predicted_iou": track.iou_bound, "object_score": track.presence_threshold},
        "flags": [as_flag(flag) for flag in item.flags],
        "suspicious": list(doubted),
        "best": _best(track),
        "objects": [
            _object(neighbour, item) | ({"flags": []} if neighbour.track_id in blind else {}) for neighbour in neighbours
        ],
        "prompts": [as_prompt(p) for p in track.prompts if p.source is PromptSource.SEED],
        "corrections": [as_prompt(p) for p in track.prompts if p.source is PromptSource.CORRECTION],
        "notes": _notes(history),
        "history": _events(history),
        "drafts": _drafts(services, history, reviewer),
        "consensus": {"wanted": consensus.wanted, "have": consensus.have},
    }


def _blind_detail(
    item: QueuedItem, track: Track, neighbours: Sequence[Neighbour], consensus: Consensus
) -> Json:
    """What is shown of an item that waits for a verdict alone: frames and masks, and nothing that says how it was judged."""
    objects = [_object(neighbour, item) | {"flags": []} for neighbour in neighbours]
    return {
        "item": as_item(item), "video": _video(track), "scores": {}, "thresholds": {}, "flags": [], "suspicious": [],
        "best": [],
        "objects": objects, "prompts": [as_prompt(p) for p in track.prompts if p.source is PromptSource.SEED],
        "corrections": [], "notes": [], "history": [], "drafts": [],
        "consensus": {"wanted": consensus.wanted, "have": consensus.have},
    }


@router.get("/masks")
def masks(
    item_id: ItemIdPath, services: Served, _who: Reading, start: FrameIdxQuery = 0, end: FrameIdxQuery = 2**31 - 1,
    track: Annotated[str, Query(max_length=20)] = "",
) -> Json:
    """The masks of a half-open span of frames; `track` names another object of the same video."""
    item, item_track = item_with_track(services, item_id)
    chosen = item_track if track in ("", item.key.track_id) else services.store.other_track(item.key, item.snapshot, track)
    inside = [frame for frame in chosen.frames if start <= frame.frame_idx < end]
    if len(inside) > MAX_MASKS:
        message = f"{len(inside)} frames lie from {start} to {end}; at most {MAX_MASKS} are sent at once"
        raise Refused(413, "too_large", message, "ask for a shorter span")
    return {"frames": {str(frame.frame_idx): as_rle(frame.rle) for frame in inside}}


@router.get("/frames/{frame_idx}.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def frame(
    item_id: ItemIdPath, frame_idx: FrameIdxPath, request: Request, services: Served, _who: Reading,
    width: Annotated[int, Query(ge=16, le=4096)] = DEFAULT_WIDTH,
) -> Response:
    """One frame of the item's video as JPEG."""
    _, track = item_with_track(services, item_id)
    if frame_idx >= track.video.num_frames:
        raise Refused(404, "not_found", f"frame {frame_idx} is beyond the video's {track.video.num_frames} frames")
    shown = shown_width(width, track.video)
    tag = f'"{sha256(track.video.ref.content_id)[:16]}-{frame_idx}-{shown}"'
    headers = {"ETag": tag, "Cache-Control": CACHE, "Vary": "Cookie"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = services.frames.jpeg(track.video, frame_idx, width=shown)
    return Response(body, media_type="image/jpeg", headers=headers)


def _best(track: Track) -> list[int]:
    """The frames whose correction is expected to mend most, the best first; frames with a prompt were seen."""
    seen = {track.positions[prompt.frame_idx] for prompt in track.prompts if prompt.frame_idx in track.positions}
    return [track.frame_indices[position] for position in best_frames(track.frames, seen)]


def _video(track: Track) -> Json:
    video = track.video
    return {
        "width": video.size_hw[1], "height": video.size_hw[0], "frame_rate": float(video.frame_rate),
        "num_frames": video.num_frames, "frames": list(track.frame_indices),
        "pts_seconds": [round(frame.pts_seconds, 6) for frame in track.frames],
    }


def _scores(track: Track) -> dict[str, list[float | None]]:
    return {
        name: [_number(getattr(frame, name)) for frame in track.frames]
        for name in ("predicted_iou", "object_score", "area", "motion_iou")
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def _object(neighbour: Neighbour, item: QueuedItem) -> Json:
    # Of the item itself only why it was opened: what was judged or decided since would tell what is known of it.
    is_item = neighbour.track_id == item.key.track_id
    return {
        "track_id": neighbour.track_id, "category": neighbour.category, "spans": [list(span) for span in neighbour.spans],
        "flags": [as_flag(flag) for flag in (item.flags if is_item else neighbour.flags)],
        "prompts": [as_prompt(prompt) for prompt in neighbour.prompts], "is_item": is_item,
    }


def as_flag(flag: QCFlag) -> Json:
    """A flag with its sentence."""
    return {
        "reason": flag.reason, "frame_start": flag.frame_span[0], "frame_end": flag.frame_span[1],
        "value": _number(flag.value), "threshold": _number(flag.threshold), "explanation": explanation(flag),
        "question": question(flag),
    }


def as_prompt(prompt: Prompt) -> Json:
    """A prompt as the page gets it; an empty mask says that the object is not there."""
    points = [[x, y, label] for (x, y), label in zip(prompt.points_xy, prompt.labels, strict=True)]
    absent = prompt.mask is not None and not rle.area(prompt.mask)
    return {
        "frame_idx": prompt.frame_idx, "box": list(prompt.box_xyxy) if prompt.box_xyxy else None, "points": points,
        "mask": as_rle(prompt.mask) if prompt.mask else None, "source": prompt.source.value, "absent": absent,
        "span": list(prompt.span) if prompt.span else None,
    }


def as_rle(mask: RLE) -> Json:
    """A mask's run lengths."""
    return {"size": list(mask.size_hw), "counts": mask.counts}


def _notes(history: ItemHistory) -> list[Json]:
    return [{"reviewer": d.reviewer, "at": d.decided_at.isoformat(), "note": d.note} for d in history.decisions if d.note]


def _events(history: ItemHistory) -> list[Json]:
    return [
        {"at": event.happened_at.isoformat(), "kind": event.kind, "reviewer": event.reviewer, "detail": event.detail}
        for event in history.events
    ]


def _drafts(services: Services, history: ItemHistory, reviewer: Reviewer) -> list[Json]:
    """The reviewer's unfinished work, and their decisions that came after a lease ended."""
    work = services.page.work(history.item.item_id, reviewer.name)
    unfinished = [] if work is None else [
        {"draft_id": work.work_id, "kind": "work", "kept_at": work.kept_at.isoformat(), "work": json.loads(work.work)}
    ]
    refused = [
        {
            "draft_id": draft.draft_id, "kind": "refused", "kept_at": draft.kept_at.isoformat(), "action": draft.action,
            "note": draft.note, "seconds": draft.seconds, "refused_because": draft.refused_because,
            "corrections": [as_prompt(prompt) for prompt in draft.prompts],
        }
        for draft in history.drafts if draft.reviewer == reviewer.name
    ]
    return [*unfinished, *refused]


def as_item(item: QueuedItem) -> Json:
    """An item as the page gets it; of one that is blind neither risk nor place."""
    return {
        "item_id": item.item_id, "key": str(item.key), "video_key": item.video_key, "video_id": item.key.video_id,
        "track_id": item.key.track_id, "label_version": item.key.label_version, "category": item.category,
        "run_id": item.run_id, "risk": None if item.blind else item.risk, "priority": None if item.blind else item.priority,
        "reasons": list(item.reasons), "blind": item.blind,
        "frame_span": list(item.frame_span), "status": item.status.value, "reviewer": item.reviewer,
        "lease_expires_at": item.lease_expires_at.isoformat() if item.lease_expires_at else None,
    }
