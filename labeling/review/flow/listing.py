"""Finds waiting items by rank: priority, then risk, then age; every filter has an index that keeps this order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from labeling.review.db.rows import queued_item
from labeling.review.db.tables import ItemRow, ReasonRow
from labeling.review.flow.seen import as_seen, disputed, spoken_on
from labeling.review.flow.steps import has_spoken
from labeling.review.items import ItemStatus, QueuedItem, Viewer


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items: None means any; `reason` is one that the item has among others; a `viewer` sees them as theirs to settle."""

    status: ItemStatus | None = ItemStatus.OPEN
    reason: str | None = None
    category: str | None = None
    run_id: str | None = None
    viewer: Viewer | None = None

    def lets_through(self, item: QueuedItem) -> bool:
        """Whether an item passes, whatever its status."""
        same = self.category in (None, item.category) and self.run_id in (None, item.run_id)
        return same and self.reason in (None, *item.reasons)


# A queue is asked with the same few filters by the same people, and making the query costs more than running it.
@lru_cache(maxsize=512)
def ranked(wanted: ItemFilter, *, spoken: bool = False) -> Select[Any]:
    """The query for items, riskiest first; with `spoken` those of a status that the viewer has had their say on."""
    query = _ranked(wanted)
    if wanted.viewer is None or wanted.status not in (ItemStatus.OPEN, ItemStatus.CLAIMED):
        return query
    theirs = spoken_on(wanted.viewer)
    if spoken:
        return query.where(ItemRow.item_id.in_(theirs))
    query = query.where(ItemRow.item_id.not_in(theirs))
    return query if wanted.viewer.senior else query.where(ItemRow.item_id.not_in(disputed()))


def _ranked(wanted: ItemFilter) -> Select[Any]:
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
    """One page of items, riskiest first, as the viewer sees them."""
    parts = _parts(session, wanted)
    if len(parts) == 1:
        found = [queued_item(row) for row in session.scalars(parts[0].limit(limit).offset(offset))]
    else:
        found = _merged(session, parts, ItemRow if wanted.reason is None else ReasonRow, limit=limit, offset=offset)
    return found if wanted.viewer is None else as_seen(session, found, wanted.viewer)


def _parts(session: Session, wanted: ItemFilter) -> list[Select[Any]]:
    """The queries that together give what is wanted: indexes begin with the status, so several statuses are merged."""
    if wanted.status is None:
        return [ranked(replace(wanted, status=status, viewer=None)) for status in ItemStatus]
    viewer = wanted.viewer if wanted.status is ItemStatus.DECIDED else None
    if viewer is None or session.scalar(spoken_on(viewer).limit(1)) is None:
        return [ranked(wanted)]
    waiting = (ItemStatus.OPEN, ItemStatus.CLAIMED)
    return [ranked(wanted), *(ranked(replace(wanted, status=status), spoken=True) for status in waiting)]


def _merged(
    session: Session, parts: Sequence[Select[Any]], table: type[ItemRow] | type[ReasonRow], *, limit: int, offset: int
) -> list[QueuedItem]:
    # By rank alone, which the indexes hold.
    found: list[tuple[int, float, int]] = []
    for part in parts:
        query = part.with_only_columns(table.priority, table.risk, table.item_id)
        found += [(-row[0], -row[1], row[2]) for row in session.execute(query.limit(offset + limit))]
    item_ids = [item_id for _, _, item_id in sorted(found)[offset:offset + limit]]
    rows = {row.item_id: row for row in session.scalars(select(ItemRow).where(ItemRow.item_id.in_(item_ids)))}
    return [queued_item(rows[item_id]) for item_id in item_ids]


@lru_cache(maxsize=512)
def _first(wanted: ItemFilter) -> Select[Any]:
    return ranked(wanted).limit(1).with_for_update(of=ItemRow, skip_locked=True)


def next_open(session: Session, wanted: ItemFilter, *, skipping: Collection[int] = ()) -> ItemRow | None:
    """The riskiest open item, locked; rows that another transaction is about to take are passed over."""
    query = _first(wanted)
    if skipping:
        query = query.where(ItemRow.item_id.not_in(list(skipping)))
    row: ItemRow | None = session.scalars(query).one_or_none()
    if row is None or wanted.viewer is None or not has_spoken(session, row.item_id, wanted.viewer.name):
        return row
    # They had their say while the row was being locked, which the query did not see.
    return next_open(session, wanted, skipping=[*skipping, row.item_id])


def count_items(session: Session, wanted: ItemFilter) -> int:
    """How many items a filter lets through, from one index."""
    if wanted.reason is None:
        return int(session.scalar(_filtered(select(func.count()), ItemRow, wanted).order_by(None)) or 0)
    query = select(func.count()).where(ReasonRow.reason == wanted.reason)
    return int(session.scalar(_filtered(query, ReasonRow, wanted).order_by(None)) or 0)
