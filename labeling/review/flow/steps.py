"""The steps that every change of an item is made of: find it, move it, lease it, note what happened."""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from labeling.errors import BadInput
from labeling.review.db.rows import key_of
from labeling.review.db.tables import DisputeRow, EventRow, ItemRow, OpinionRow, ReasonRow, table_of
from labeling.review.errors import AlreadySettled, ItemHeld, NeedsSenior, UnknownItem
from labeling.review.items import ItemKey, ItemStatus, Viewer

WAITING = (ItemStatus.OPEN.value, ItemStatus.CLAIMED.value)
NO_LEASE: Mapping[str, None] = {
    "lease_token": None, "lease_reviewer": None, "lease_started_at": None, "lease_expires_at": None,
}
MAX_LEASE_S = 7 * 24 * 3600.0
# How many expired leases one claim frees; the rest follow with the next claim.
SWEEP_LIMIT = 500
# Each request runs these: made once, they are compiled once.
_BY_NUMBER = select(ItemRow).where(ItemRow.item_id == bindparam("item_id")).execution_options(populate_existing=True)
_BY_KEY = select(ItemRow).where(
    ItemRow.video_id == bindparam("video_id"), ItemRow.track_id == bindparam("track_id"),
    ItemRow.label_version == bindparam("label_version"),
).execution_options(populate_existing=True)
_LOCK_NUMBER, _LOCK_KEY = _BY_NUMBER.with_for_update(), _BY_KEY.with_for_update()
_EXPIRED = (
    select(ItemRow)
    .where(ItemRow.status == ItemStatus.CLAIMED.value, ItemRow.lease_expires_at <= bindparam("now"))
    .order_by(ItemRow.item_id).limit(SWEEP_LIMIT).with_for_update(skip_locked=True)
)
_NOTE = insert(table_of(EventRow)).inline()
_ITEMS, _REASONS, _OPINIONS = (table_of(kind) for kind in (ItemRow, ReasonRow, OpinionRow))
# What they set comes with each call.
_MOVE = update(_ITEMS).where(_ITEMS.c.item_id == bindparam("moved"))
_MOVE_REASONS = update(_REASONS).where(_REASONS.c.item_id == bindparam("moved"))
_SPOKEN = select(_OPINIONS.c.item_id).where(
    _OPINIONS.c.item_id == bindparam("item_id"), _OPINIONS.c.reviewer == bindparam("reviewer")
)


def find(session: Session, item: int | ItemKey, *, lock: bool = False) -> ItemRow:
    """One item's row, locked until the transaction ends where asked; UnknownItem when there is none."""
    row: ItemRow | None
    if isinstance(item, int):
        row = session.scalars(_LOCK_NUMBER if lock else _BY_NUMBER, {"item_id": item}).one_or_none()
    else:
        names = dict(zip(ItemKey._fields, item, strict=True))
        row = session.scalars(_LOCK_KEY if lock else _BY_KEY, names).one_or_none()
    if row is None:
        raise UnknownItem(f"item is {str(item)!r}; expected the number or VIDEO_ID/TRACK_ID@VERSION of an item in the queue")
    return row


def move(session: Session, item_ids: Collection[int], status: ItemStatus, **columns: Any) -> None:
    """Give items a status, and other columns with it; their reasons follow, so that filters stay right."""
    if not item_ids:
        return
    values = {"status": status.value, **columns}
    session.execute(update(ItemRow).where(ItemRow.item_id.in_(item_ids)).values(values))
    session.execute(update(ReasonRow).where(ReasonRow.item_id.in_(item_ids)).values(status=status.value))


def move_one(session: Session, row: ItemRow, status: ItemStatus, **columns: Any) -> None:
    """Give one locked item a status, and other columns with it, in the database and in `row`."""
    values = {"status": status.value, **columns}
    session.execute(_MOVE, {**values, "moved": row.item_id})
    session.execute(_MOVE_REASONS, {"status": status.value, "moved": row.item_id})
    for name, value in values.items():
        set_committed_value(row, name, value)


def note_events(session: Session, kind: str, item_ids: Collection[int], now: datetime, *, detail: str = "") -> None:
    """Add the same event to many items."""
    rows = [{"item_id": i, "kind": kind, "happened_at": now, "detail": detail} for i in item_ids]
    if rows:
        session.execute(insert(EventRow), rows)


def note_event(
    session: Session, kind: str, row: ItemRow, now: datetime, *, detail: str = "", reviewer: str | None = None
) -> None:
    """Add an event to one item, with the lease it has at this moment; `reviewer` is who did it, if not the lease's."""
    session.execute(_NOTE, {
        "item_id": row.item_id, "kind": kind, "happened_at": now, "detail": detail,
        "reviewer": reviewer or row.lease_reviewer, "lease_token": row.lease_token,
    })


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
    """End an item's lease and open it again."""
    note_event(session, kind, row, now, detail=detail)
    move_one(session, row, ItemStatus.OPEN, **NO_LEASE)


def grant(session: Session, row: ItemRow, reviewer: str, now: datetime, expires_at: datetime) -> ItemRow:
    """Give a locked, free item to a reviewer under a new token."""
    move_one(
        session, row, ItemStatus.CLAIMED, lease_token=secrets.token_urlsafe(24),
        lease_reviewer=reviewer, lease_started_at=now, lease_expires_at=expires_at,
    )
    note_event(session, "claimed", row, now, detail=f"until {expires_at.isoformat(timespec='seconds')}")
    return row


def take(session: Session, item: int | ItemKey, viewer: Viewer, now: datetime, expires_at: datetime) -> ItemRow:
    """Give one named item to a reviewer; who holds it already keeps it, with the same token.

    Errors: UnknownItem, AlreadySettled (decided, by this reviewer or for good, or closed), NeedsSenior, ItemHeld (another
    reviewer's live lease).
    """
    row = find(session, item, lock=True)
    spoken = has_spoken(session, row.item_id, viewer.name)
    if row.status not in WAITING or spoken:
        standing = ItemStatus.DECIDED.value if spoken else described(row)
        raise AlreadySettled(f"item {key_of(row)} is {standing}; expected one that waits for a decision")
    if not viewer.senior and session.get(DisputeRow, row.item_id) is not None:
        raise NeedsSenior(f"item {key_of(row)} waits for a senior: its reviewers disagree")
    if is_live(row, now):
        if row.lease_reviewer != viewer.name:
            raise ItemHeld(f"item {key_of(row)} is held by {row.lease_reviewer!r} until {row.lease_expires_at}; try later")
        return extend(session, row, now, expires_at)
    if row.status == ItemStatus.CLAIMED:
        put_back(session, row, "expired", now)
    return grant(session, row, viewer.name, now, expires_at)


def has_spoken(session: Session, item_id: int, reviewer: str) -> bool:
    """Whether a reviewer has had their say on an item that goes on waiting."""
    return session.execute(_SPOKEN, {"item_id": item_id, "reviewer": reviewer}).first() is not None


def extend(session: Session, row: ItemRow, now: datetime, expires_at: datetime) -> ItemRow:
    """Move a live lease's end; never to an earlier time."""
    current = row.lease_expires_at
    later = expires_at if current is None else max(current, expires_at)
    move_one(session, row, ItemStatus.CLAIMED, lease_expires_at=later)
    return row


def described(row: ItemRow) -> str:
    """An item's standing in words."""
    if row.status == ItemStatus.CLOSED and row.closed_because:
        return f"closed ({row.closed_because})"
    return row.status
