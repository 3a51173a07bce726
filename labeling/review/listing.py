"""Finds waiting items by rank: priority, then risk, then age; every filter has an index that keeps this order."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
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
    if wanted.reason is None:
        return _filtered(select(ItemRow), ItemRow, wanted)
    # The reason's rows carry rank and filters, so that a rare mix does not walk past every other item.
    query: Select[Any] = select(ItemRow).join(ReasonRow, ReasonRow.item_id == ItemRow.item_id)
    if wanted.status is not None:
        # Said of the item too, because this is the row that is locked and looked at again.
        query = query.where(ItemRow.status == wanted.status.value)
    return _filtered(query.where(ReasonRow.reason == wanted.reason), ReasonRow, wanted)


def _filtered(query: Select[Any], table: type[ItemRow] | type[ReasonRow], wanted: ItemFilter) -> Select[Any]:
    if wanted.status is not None:
        query = query.where(table.status == wanted.status.value)
    if wanted.category is not None:
        query = query.where(table.category == wanted.category)
    if wanted.run_id is not None:
        query = query.where(table.run_id == wanted.run_id)
    return query.order_by(table.priority.desc(), table.risk.desc(), table.item_id)


def list_items(session: Session, wanted: ItemFilter, *, limit: int, offset: int) -> list[QueuedItem]:
    """One page of items, riskiest first."""
    if wanted.status is not None:
        return [queued_item(row) for row in session.scalars(ranked(wanted).limit(limit).offset(offset))]
    # The indexes begin with the status, so any status is all of them, merged; by rank alone, which the indexes hold.
    found: list[tuple[int, float, int]] = []
    for status in ItemStatus:
        table = ItemRow if wanted.reason is None else ReasonRow
        query = ranked(replace(wanted, status=status)).with_only_columns(table.priority, table.risk, table.item_id)
        found += [(-row[0], -row[1], row[2]) for row in session.execute(query.limit(offset + limit))]
    item_ids = [item_id for _, _, item_id in sorted(found)[offset:offset + limit]]
    rows = {row.item_id: row for row in session.scalars(select(ItemRow).where(ItemRow.item_id.in_(item_ids)))}
    return [queued_item(rows[item_id]) for item_id in item_ids]


def next_open(session: Session, wanted: ItemFilter, *, skipping: Collection[int] = ()) -> ItemRow | None:
    """The riskiest open item, locked; rows that another transaction is about to take are passed over."""
    query = ranked(wanted)
    if skipping:
        query = query.where(ItemRow.item_id.not_in(list(skipping)))
    row: ItemRow | None = session.scalars(query.limit(1).with_for_update(of=ItemRow, skip_locked=True)).one_or_none()
    return row


def count_items(session: Session, wanted: ItemFilter) -> int:
    """How many items a filter lets through, from one index."""
    if wanted.reason is None:
        return int(session.scalar(_filtered(select(func.count()), ItemRow, wanted).order_by(None)) or 0)
    query = select(func.count()).where(ReasonRow.reason == wanted.reason)
    return int(session.scalar(_filtered(query, ReasonRow, wanted).order_by(None)) or 0)


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
