"""Finds waiting items by rank: priority, then risk, then age; every filter has an index that keeps this order."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from labeling.review.items import ItemStatus, QueuedItem
from labeling.review.rows import queued_item
from labeling.review.tables import ItemRow, ReasonRow


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items: None means any; `reason` is one that the item has among others."""

    status: ItemStatus | None = ItemStatus.OPEN
    reason: str | None = None
    category: str | None = None
    run_id: str | None = None


def ranked(wanted: ItemFilter) -> Select[Any]:
    """The query for items, riskiest first."""
    query: Select[Any] = select(ItemRow)
    if wanted.status is not None:
        query = query.where(ItemRow.status == wanted.status.value)
    if wanted.category is not None:
        query = query.where(ItemRow.category == wanted.category)
    if wanted.run_id is not None:
        query = query.where(ItemRow.run_id == wanted.run_id)
    if wanted.reason is None:
        return query.order_by(ItemRow.priority.desc(), ItemRow.risk.desc(), ItemRow.item_id)
    # The reason's rows carry rank and status, so that a rare reason does not walk past every other item.
    query = query.join(ReasonRow, ReasonRow.item_id == ItemRow.item_id).where(ReasonRow.reason == wanted.reason)
    if wanted.status is not None:
        query = query.where(ReasonRow.status == wanted.status.value)
    return query.order_by(ReasonRow.priority.desc(), ReasonRow.risk.desc(), ReasonRow.item_id)


def list_items(session: Session, wanted: ItemFilter, *, limit: int, offset: int) -> list[QueuedItem]:
    """One page of items, riskiest first."""
    rows = session.execute(ranked(wanted).limit(limit).offset(offset)).scalars()
    return [queued_item(row) for row in rows]


def next_open(session: Session, wanted: ItemFilter, *, skipping: Collection[int] = ()) -> ItemRow | None:
    """The riskiest open item, locked; rows that another transaction is about to take are passed over."""
    query = ranked(wanted)
    if skipping:
        query = query.where(ItemRow.item_id.not_in(list(skipping)))
    row: ItemRow | None = session.scalars(query.limit(1).with_for_update(of=ItemRow, skip_locked=True)).one_or_none()
    return row


def count_by_status(session: Session) -> Mapping[ItemStatus, int]:
    """How many items have each status."""
    query = select(ItemRow.status, func.count()).group_by(ItemRow.status)
    counts = {row[0]: row[1] for row in session.execute(query)}
    return {status: counts.get(status.value, 0) for status in ItemStatus}


def count_by_reason(session: Session, status: ItemStatus) -> Mapping[str, int]:
    """How many items of a status have each reason, most first."""
    query = select(ReasonRow.reason, func.count()).where(ReasonRow.status == status.value).group_by(ReasonRow.reason)
    rows = session.execute(query.order_by(func.count().desc(), ReasonRow.reason))
    return {row[0]: row[1] for row in rows}
