"""The queue as the page sees it: lists, claims, heartbeats, releases, figures."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator

from labeling.review.accounts import SENIOR, Reviewer
from labeling.review.errors import LostLease
from labeling.review.flow.leases import LeaseHolder
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import ItemStatus, Lease, QueuedItem, Viewer
from labeling.review.quality.throughput import by_reviewer, rates_of
from labeling.review.web.errors import Refused
from labeling.review.web.requests import Claim, Held, Release, storable
from labeling.review.web.services import PlainRoute, Served, Services
from labeling.review.web.sessions import Reading, Writing

router = APIRouter(prefix="/api", route_class=PlainRoute)

MAX_OFFSET = 10_000_000
Asked = Annotated[str, Query(max_length=1_000), AfterValidator(storable)]
Status = Literal["open", "claimed", "decided", "closed", "any"]


@router.get("/queue")
def queue(
    services: Served, who: Reading, status: Status = "open", reason: Asked = "", category: Asked = "", run: Asked = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50, offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> dict[str, Any]:
    """One page of items, riskiest first, with how many there are; what I have had my say on is decided for me."""
    chosen = ItemFilter(None if status == "any" else ItemStatus(status), reason or None, category or None, run or None)
    viewer = viewer_of(who)
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
def claim(body: Claim, services: Served, who: Writing) -> dict[str, Any]:
    """Hold the riskiest item that nobody holds, or a named one."""
    lease = services.queue.claim(
        who.name, lease_s=services.settings.lease_s, item=body.item_id, reason=body.reason or None,
        category=body.category or None, run=body.run or None, skipping=body.skipping, senior=viewer_of(who).senior,
    )
    if lease is None:
        return {"lease": None}
    services.counts.forget()
    return {"lease": as_lease(lease), "item": as_item(lease.item)}


@router.post("/heartbeat")
def heartbeat(body: Held, services: Served, who: Writing) -> dict[str, Any]:
    """Keep a lease."""
    holder_of(services, body.token, who)
    lease = services.queue.heartbeat(body.token, lease_s=services.settings.lease_s)
    return {"expires_at": lease.expires_at.isoformat()}


@router.post("/release")
def release(body: Release, services: Served, who: Writing) -> dict[str, Any]:
    """Give an item back undecided."""
    holder_of(services, body.token, who)
    services.queue.release(body.token, note=body.note)
    services.counts.forget()
    return {}


@router.get("/stats")
def stats(services: Served, _who: Reading) -> dict[str, Any]:
    """What settling an item takes, over all standing decisions, by reviewer, and by each one's kinds of decision."""
    efforts = services.efforts.of("", lambda: tuple(services.page.efforts()))
    people = by_reviewer(efforts)
    return {**asdict(rates_of(efforts)), "by_reviewer": [
        {"reviewer": name, **asdict(rates_of(theirs)), "by_action": {
            effort.action: asdict(rates_of([effort])) for effort in theirs
        }} for name, theirs in people.items()
    ]}


def viewer_of(who: Reviewer) -> Viewer:
    """Who asks, as the queue knows them."""
    return Viewer(who.name, senior=who.role == SENIOR)


def holder_of(services: Services, token: str, who: Reviewer, *, item_id: int | None = None, live: bool = False) -> LeaseHolder:
    """Whom a token was given to, refused unless it is who asks, for this item; with `live`, unless they hold it still."""
    holder = services.page.holder(token)
    if holder.reviewer != who.name:
        raise Refused(403, "forbidden", "this lease is another reviewer's", "claim the item yourself")
    if item_id is not None and holder.item.item_id != item_id:
        raise Refused(400, "bad_request", f"the lease is on item {holder.item.item_id}, not {item_id}")
    if live and not holder.live:
        raise LostLease(f"lease on item {holder.item.key} is lost: claim it again")
    return holder


def as_lease(lease: Lease) -> dict[str, Any]:
    """A lease as the page gets it."""
    return {"token": lease.token, "expires_at": lease.expires_at.isoformat()}


def as_item(item: QueuedItem) -> dict[str, Any]:
    """An item as the page gets it."""
    return {
        "item_id": item.item_id, "key": str(item.key), "video_key": item.video_key, "video_id": item.key.video_id,
        "track_id": item.key.track_id, "label_version": item.key.label_version, "category": item.category,
        "run_id": item.run_id, "risk": item.risk, "priority": item.priority, "reasons": list(item.reasons),
        "frame_span": list(item.frame_span), "status": item.status.value, "reviewer": item.reviewer,
        "lease_expires_at": item.lease_expires_at.isoformat() if item.lease_expires_at else None,
    }
