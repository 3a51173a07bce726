"""Routes of the queue: list, claim, heartbeat, release, preview, draft, decide, undo, propagate, and figures of reviewing."""

from collections.abc import Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator

from labeling import rle
from labeling.config import PromptScope, TrackDirection
from labeling.errors import BadInput
from labeling.review.accounts import Reviewer
from labeling.review.figures import by_reviewer, rates_of
from labeling.review.flow.leases import LeaseHolder
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import AlreadySettled, ItemStatus, Lease, LostLease, QueuedItem
from labeling.review.web.corrections import window
from labeling.review.web.items import ItemIdPath, as_item, as_rle, item_with_track
from labeling.review.web.requests import (
    MAX_WORK_BYTES,
    Claim,
    CorrectionBody,
    Decide,
    DraftBody,
    Held,
    Json,
    MaskRuns,
    Preview,
    Propagate,
    Refused,
    Release,
    Undo,
    storable,
)
from labeling.review.web.services import PlainRoute, Reading, Served, Services, Writing, viewer_of
from labeling.review.web.store_view import Track
from labeling.track.prompts import check_prompts
from labeling.types import RLE, FrameMask, Prompt, PromptSource

router = APIRouter(prefix="/api", route_class=PlainRoute)

MAX_OFFSET = 10_000_000
Asked = Annotated[str, Query(max_length=1_000), AfterValidator(storable)]
Status = Literal["open", "claimed", "decided", "closed", "any"]


@router.get("/queue")
def queue(
    services: Served, reviewer: Reading, status: Status = "open", reason: Asked = "", category: Asked = "", run: Asked = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50, offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> Json:
    """One page of items, riskiest first, with how many there are; what I have had my say on is decided for me."""
    chosen = ItemFilter(None if status == "any" else ItemStatus(status), reason or None, category or None, run or None)
    viewer = viewer_of(reviewer)
    items = services.queue.list(
        chosen.status, reason=chosen.reason, category=chosen.category, run=chosen.run_id, limit=limit, offset=offset,
        viewer=viewer,
    )
    counts = services.page.counts_for(services.counts.of(chosen, lambda: services.page.counts(chosen)), chosen, viewer)
    return {
        "items": [as_item(item) for item in items],
        "counts": {status.value: count for status, count in counts.by_status.items()},
        "reasons": dict(counts.by_reason), "categories": dict(counts.by_category), "runs": dict(counts.by_run),
        "total": counts.total,
    }


@router.post("/claim")
def claim(body: Claim, services: Served, reviewer: Writing) -> Json:
    """Hold the riskiest item that nobody holds, or a named one."""
    lease = services.queue.claim(
        reviewer.name, lease_s=services.settings.lease_s, item=body.item_id, reason=body.reason or None,
        category=body.category or None, run=body.run or None, skipping=body.skipping, senior=viewer_of(reviewer).senior,
    )
    if lease is None:
        return {"lease": None}
    services.counts.forget()
    return {"lease": as_lease(lease), "item": as_item(lease.item)}


@router.post("/heartbeat")
def heartbeat(body: Held, services: Served, reviewer: Writing) -> Json:
    """Keep a lease."""
    holder_of(services, body.token, reviewer)
    lease = services.queue.heartbeat(body.token, lease_s=services.settings.lease_s)
    return {"expires_at": lease.expires_at.isoformat()}


@router.post("/release")
def release(body: Release, services: Served, reviewer: Writing) -> Json:
    """Give an item back undecided."""
    holder_of(services, body.token, reviewer)
    services.queue.release(body.token, note=body.note)
    services.counts.forget()
    return {}


@router.get("/stats")
def stats(services: Served, _who: Reading) -> Json:
    """What settling an item takes, over all standing decisions, by reviewer, and by each one's kinds of decision."""
    efforts = services.efforts.of("", lambda: tuple(services.page.efforts()))
    people = by_reviewer(efforts)
    return {**asdict(rates_of(efforts)), "by_reviewer": [
        {"reviewer": name, **asdict(rates_of(reviewer_efforts)), "by_action": {
            effort.action: asdict(rates_of([effort])) for effort in reviewer_efforts
        }} for name, reviewer_efforts in people.items()
    ]}


def holder_of(
    services: Services, token: str, reviewer: Reviewer, *, item_id: int | None = None, live: bool = False
) -> LeaseHolder:
    """Return whom a token was given to; Refused for another reviewer or item, LostLease with `live` once the lease ended."""
    holder = services.page.holder(token)
    if holder.reviewer != reviewer.name:
        raise Refused(403, "forbidden", "this lease is another reviewer's", "claim the item yourself")
    if item_id is not None and holder.item.item_id != item_id:
        raise Refused(400, "bad_request", f"the lease is on item {holder.item.item_id}, not {item_id}")
    if live and not holder.live:
        raise LostLease(f"lease on item {holder.item.key} is lost: claim it again")
    return holder


def as_lease(lease: Lease) -> Json:
    """A lease as the page gets it."""
    return {"token": lease.token, "expires_at": lease.expires_at.isoformat()}


@router.post("/items/{item_id}/preview")
def preview(item_id: ItemIdPath, body: Preview, services: Served, reviewer: Writing) -> Json:
    """The mask that clicks give on one frame; nothing is stored."""
    started = perf_counter()
    holder_of(services, body.token, reviewer, item_id=item_id, live=True)
    item, track = item_with_track(services, item_id)
    refuse_blind(item)
    position = track.positions.get(body.frame_idx)
    if position is None:
        raise Refused(400, "bad_request", f"frame {body.frame_idx} was not tracked", "choose one of the video's frames")
    clicked = services.clicker.click(
        track.video.ref.content_id, body.frame_idx, lambda: services.frames.rgb(track.video, body.frame_idx),
        points_xy=[(x, y) for x, y, _ in body.points], labels=[label for *_, label in body.points],
        box_xyxy=body.box, mask=track.frames[position].rle if body.from_mask else None,
    )
    return {
        "mask": as_rle(clicked.mask), "predicted_iou": clicked.predicted_iou, "object_score": clicked.object_score,
        "milliseconds": round(1000 * (perf_counter() - started), 1),
    }


@router.put("/items/{item_id}/draft")
def draft(item_id: ItemIdPath, body: DraftBody, services: Served, reviewer: Writing) -> Json:
    """Store unfinished work, even when the lease has run out meanwhile."""
    holder_of(services, body.token, reviewer, item_id=item_id)
    try:
        text = body.as_text()
    except ValueError as error:
        raise Refused(400, "bad_request", f"work cannot be kept: {error}", "send plain JSON") from error
    if (num_bytes := len(text.encode())) > MAX_WORK_BYTES:
        raise Refused(413, "too_large", f"work has {num_bytes} bytes; at most {MAX_WORK_BYTES} are kept")
    return {"draft_id": services.page.keep_work(item_id, reviewer.name, text)}


@router.post("/items/{item_id}/decision")
def decision(item_id: ItemIdPath, body: Decide, services: Served, reviewer: Writing) -> Json:
    """Settle an item; the same decision sent again is the one that stands, and one that comes too late is kept."""
    prompts: Sequence[Prompt] = ()
    if body.corrections:
        holder_of(services, body.token, reviewer, item_id=item_id)
        item, track = item_with_track(services, item_id)
        prompts = corrections_of(body.corrections, item, track)
    logged = services.queue.decide(
        body.token, body.action, prompts=prompts, note=body.note, seconds=body.seconds, clicks=body.clicks,
        reviewer=reviewer.name, item_id=item_id,
    )
    services.counts.forget()
    services.efforts.forget()
    return {"seq": logged.seq, "action": logged.action, "key": str(logged.key)}


@router.post("/undo")
def undo(body: Undo, services: Served, reviewer: Writing) -> Json:
    """Take back my last decision, unless somebody has gone on from it; I can have its item again."""
    logged = services.page.decision(body.seq)
    # Readers of a snapshot may have acted on a published accept or reject. A correction counts once a run tracks from it, which
    # the queue checks; an opinion is in no snapshot, though its masklet may be there by what others decided.
    may_be_published = logged is not None and logged.action != "correct" and not services.page.is_opinion(logged.seq)
    published = services.store.published(logged.key) if logged is not None and may_be_published else None
    if published is not None:
        raise AlreadySettled(f"decision {body.seq} is published in {published} already")
    item = services.queue.undo(body.seq, reviewer.name)
    services.counts.forget()
    services.efforts.forget()
    return {"item": as_item(item)}


@router.post("/items/{item_id}/propagate")
def propagate(item_id: ItemIdPath, body: Propagate, services: Served, reviewer: Writing) -> Json:
    """Track the object from corrections through at most 120 frames, to be looked at; nothing is stored."""
    holder_of(services, body.token, reviewer, item_id=item_id, live=True)
    item, track = item_with_track(services, item_id)
    refuse_blind(item)
    prompts = corrections_of(body.corrections, item, track)
    corrected = [prompt.frame_idx for prompt in prompts]
    indices = window(track.frame_indices, corrected, direction=TrackDirection(body.direction), span=body.span)
    # Earlier prompts on other frames hold, here as when the correction is applied.
    standing = [p for p in track.prompts if p.frame_idx in set(indices) - set(corrected)]
    with services.frames.reading(track.video, indices) as frames:
        tracked, complete = services.clicker.track(
            frames, [*prompts, *standing], min(corrected), size_hw=track.video.size_hw, reviewer=reviewer.name
        )
    return {"frames": {str(i): _previewed(mask) for i, mask in sorted(tracked.items())}, "complete": complete}


def refuse_blind(item: QueuedItem) -> None:
    """Refuse to ask the network about an item that waits for a verdict alone: its answer would tell how sure it is."""
    if item.blind:
        raise Refused(409, "verdict_only", f"item {item.key} is asked for a verdict alone", "accept or reject it")


def corrections_of(bodies: Sequence[CorrectionBody], item: QueuedItem, track: Track) -> tuple[Prompt, ...]:
    """The corrections as prompts of the item's object, checked against its video; Refused says what is wrong with one."""
    try:
        prompts = tuple(_prompt(body, item, track) for body in bodies)
        frames = [prompt.frame_idx for prompt in prompts]
        if len(set(frames)) < len(frames):
            raise ValueError("two corrections are on one frame; expected one for each")
        check_prompts(prompts, track.frame_indices, track.video.size_hw)
    except (BadInput, ValueError) as error:
        raise Refused(400, "bad_request", str(error), "correct it and send it again") from error
    return prompts


def _prompt(body: CorrectionBody, item: QueuedItem, track: Track) -> Prompt:
    if body.absent and (body.mask or body.points or body.box):
        raise ValueError(f"frame {body.frame_idx}: absent came with clicks, a box or a mask; expected it alone")
    size_hw = track.video.size_hw
    return Prompt(
        object_id=int(item.key.track_id),
        frame_idx=body.frame_idx,
        points_xy=tuple((x, y) for x, y, _ in body.points),
        labels=tuple(label for *_, label in body.points),
        box_xyxy=body.box,
        mask=rle.empty(size_hw) if body.absent else _mask(body.mask, size_hw),
        category=item.category,
        source=PromptSource.CORRECTION,
        span=body.span,
        # What was looked at on two frames says little of how to go from one to the other, and nothing of what lies beyond.
        scope=PromptScope.stretch,
    )


def _mask(runs: MaskRuns | None, size_hw: tuple[int, int]) -> RLE | None:
    """The mask as it is kept, once it is known to be one of the video's size."""
    if runs is None:
        return None
    if runs.size != size_hw:
        raise ValueError(f"mask has size {list(runs.size)}; expected the video's, {list(size_hw)}")
    mask = RLE(runs.size, runs.counts)
    return rle.from_runs(rle.runs_of(mask), size_hw)


def _previewed(mask: FrameMask) -> Json:
    return {"mask": as_rle(mask.rle), "predicted_iou": mask.predicted_iou, "object_score": mask.object_score}
