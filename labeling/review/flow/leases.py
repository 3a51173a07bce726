"""Leases: who holds an item and until when, and why a lease ended. Every function runs in the caller's transaction."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from labeling.errors import BadInput
from labeling.review.db.rows import find, key_of, move_one, note_event, queued_item
from labeling.review.db.tables import DisputeRow, EventRow, ItemRow, OpinionRow, table_of
from labeling.review.items import (
    WAITING,
    AlreadySettled,
    ItemHeld,
    ItemKey,
    ItemStatus,
    Lease,
    LostLease,
    NeedsSenior,
    QueuedItem,
    Viewer,
)

NO_LEASE: Mapping[str, None] = {
    "lease_token": None, "lease_reviewer": None, "lease_started_at": None, "lease_expires_at": None,
}
MAX_LEASE_S = 7 * 24 * 3600.0
# How many expired leases one claim frees; the rest follow with the next claim.
SWEEP_LIMIT = 500
# Each request runs these: made once, they are compiled once.
_EXPIRED = (
    select(ItemRow)
    .where(ItemRow.status == ItemStatus.CLAIMED.value, ItemRow.lease_expires_at <= bindparam("now"))
    .order_by(ItemRow.item_id).limit(SWEEP_LIMIT).with_for_update(skip_locked=True)
)
_ITEMS, _OPINIONS = table_of(ItemRow), table_of(OpinionRow)
_KEEP = update(_ITEMS).where(
    _ITEMS.c.lease_token == bindparam("token"), _ITEMS.c.lease_expires_at > bindparam("now")
).values(lease_expires_at=bindparam("until")).returning(_ITEMS.c.item_id)
_HELD = select(ItemRow).where(ItemRow.lease_token == bindparam("token")).with_for_update()
_CLAIM = select(EventRow.reviewer, ItemRow).join(ItemRow, ItemRow.item_id == EventRow.item_id).where(
    EventRow.lease_token == bindparam("token"), EventRow.kind == "claimed"
)
_SPOKEN = select(_OPINIONS.c.item_id).where(
    _OPINIONS.c.item_id == bindparam("item_id"), _OPINIONS.c.reviewer == bindparam("reviewer")
)


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Whom a lease was given to, and the item; `live` says whether they hold it still."""

    item: QueuedItem
    reviewer: str
    live: bool


def is_live(row: ItemRow, now: datetime) -> bool:
    """Whether somebody holds the item now."""
    return row.status == ItemStatus.CLAIMED and row.lease_expires_at is not None and row.lease_expires_at > now


def expiry_of(now: datetime, lease_s: float) -> datetime:
    """When a lease of so many seconds ends; BadInput unless it is above 0 and at most a week."""
    if not 0 < lease_s <= MAX_LEASE_S:
        raise BadInput(f"lease_s is {lease_s!r}; expected seconds above 0 and at most {MAX_LEASE_S:.0f}", "bad_lease")
    return now + timedelta(seconds=lease_s)


def expire_leases(session: Session, now: datetime) -> None:
    """Put items whose lease ran out back into the queue; rows that another transaction holds are left to it."""
    for row in session.scalars(_EXPIRED, {"now": now}).all():
        put_back(session, row, "expired", now)


def put_back(session: Session, row: ItemRow, kind: str, now: datetime, *, detail: str = "") -> None:
    """End an item's lease and open it again; `kind` is the event that is written: expired or released."""
    # Before the lease is cleared: the event names its reviewer and token.
    note_event(session, kind, row, now, detail=detail)
    move_one(session, row, ItemStatus.OPEN, **NO_LEASE)


def grant(session: Session, row: ItemRow, reviewer: str, now: datetime, expires_at: datetime) -> ItemRow:
    """Write a lease of a locked, free item under a new token of 32 characters, with its event."""
    move_one(
        session, row, ItemStatus.CLAIMED, lease_token=secrets.token_urlsafe(24),
        lease_reviewer=reviewer, lease_started_at=now, lease_expires_at=expires_at,
    )
    note_event(session, "claimed", row, now, detail=f"until {expires_at.isoformat(timespec='seconds')}")
    return row


def take(session: Session, item: int | ItemKey, viewer: Viewer, now: datetime, expires_at: datetime) -> ItemRow:
    """Lease one named item to a reviewer; who holds it already keeps the token, with a later end.

    Errors: UnknownItem, AlreadySettled (decided, by this reviewer or for good, or closed), NeedsSenior, ItemHeld (another
    reviewer's live lease).
    """
    # Locked first: what is looked at below stays so until the lease is written.
    row = find(session, item, lock=True)
    # An item that waits for others, or is gold, is decided to who has decided it: nobody counts twice.
    spoken = has_spoken(session, row.item_id, viewer.name)
    if row.status not in WAITING or spoken:
        status = ItemStatus.DECIDED.value if spoken else described(row)
        raise AlreadySettled(f"item {key_of(row)} is {status}; expected one that waits for a decision")
    if not viewer.senior and session.get(DisputeRow, row.item_id) is not None:
        raise NeedsSenior(f"item {key_of(row)} waits for a senior: its reviewers disagree")
    if is_live(row, now):
        if row.lease_reviewer != viewer.name:
            raise ItemHeld(f"item {key_of(row)} is held by {row.lease_reviewer!r} until {row.lease_expires_at}; try later")
        # The same reviewer on another page: the token that both have goes on.
        return extend(session, row, now, expires_at)
    if row.status == ItemStatus.CLAIMED:
        # Nobody has swept it yet; its history says that the lease ran out before somebody else's begins.
        put_back(session, row, "expired", now)
    return grant(session, row, viewer.name, now, expires_at)


def has_spoken(session: Session, item_id: int, reviewer: str) -> bool:
    """Whether a reviewer has decided an item that waits on, for others or as gold."""
    return session.execute(_SPOKEN, {"item_id": item_id, "reviewer": reviewer}).first() is not None


def extend(session: Session, row: ItemRow, now: datetime, expires_at: datetime) -> ItemRow:
    """Move a live lease's end; never to an earlier time."""
    current = row.lease_expires_at
    later = expires_at if current is None else max(current, expires_at)
    move_one(session, row, ItemStatus.CLAIMED, lease_expires_at=later)
    return row


def described(row: ItemRow) -> str:
    """An item's status in words."""
    if row.status == ItemStatus.CLOSED and row.closed_because:
        return f"closed ({row.closed_because})"
    return row.status


def lease_of(row: ItemRow) -> Lease:
    """The lease of a claimed item's row, as a record."""
    assert row.lease_token is not None
    assert row.lease_reviewer is not None
    assert row.lease_expires_at is not None
    return Lease(row.lease_token, row.lease_reviewer, row.lease_expires_at, queued_item(row))


def held_by(session: Session, token: str) -> ItemRow | None:
    """The item that holds a lease token, live or run out, locked; None where no item does."""
    return session.scalars(_HELD, {"token": token}).one_or_none()


def claimed_with(session: Session, token: str) -> tuple[str, ItemRow] | None:
    """Whom a token was given to, however long ago, and the item; None for one that claim never gave."""
    claim = session.execute(_CLAIM, {"token": token}).first()
    return None if claim is None else (claim[0] or "", claim[1])


def holder_of(session: Session, token: str, now: datetime) -> LeaseHolder:
    """Whom a token was given to; LostLease for one that claim never gave."""
    claim = claimed_with(session, token)
    if claim is None:
        raise LostLease("lease token is unknown; expected one that claim gave: claim the item again")
    reviewer, row = claim
    return LeaseHolder(queued_item(row), reviewer, row.lease_token == token and is_live(row, now))


def keep(session: Session, token: str, now: datetime, expires_at: datetime) -> ItemRow:
    """Write a live lease's new end, earlier ones too; LostLease when it ran out or another lease holds the item."""
    # One statement compares and sets, so a heartbeat cannot revive a lease that ran out while it was on its way.
    item_id = session.execute(_KEEP, {"token": token, "now": now, "until": expires_at}).scalar_one_or_none()
    if item_id is None:
        raise LostLease("lease is lost: it ran out, was released, or its item is settled; claim the item again")
    return find(session, item_id)


def release(session: Session, token: str, now: datetime, *, note: str) -> None:
    """Give an item back undecided; a lease that is gone already is fine."""
    row = held_by(session, token)
    if row is not None:
        put_back(session, row, "released" if is_live(row, now) else "expired", now, detail=note)


def lost_because(session: Session, token: str, row: ItemRow) -> str:
    """Say why a lease is no longer live, for the message of a refused decision."""
    if row.lease_token == token:
        # Nobody has claimed the item since, so no sweep has written the event yet.
        return "it ran out"
    ended = session.execute(
        select(EventRow.kind).where(EventRow.lease_token == token, EventRow.kind.in_(("released", "expired")))
    ).scalars().first()
    ending = {"released": "it was released", "expired": "it ran out"}.get(ended or "", "")
    status = f"the item is {described(row)}" + (f" by {row.lease_reviewer}" if row.lease_reviewer else "")
    return ", ".join(part for part in (ending, status) if part)
