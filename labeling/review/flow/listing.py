"""Lists and counts items. Every filter has an index in the order of rank: priority, risk, age.

Counts by status, reason, category and run are sums that the database's triggers maintain.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from labeling.review.db.rows import queued_item
from labeling.review.db.tables import ItemRow, OpinionRow, ReasonRow, TallyRow
from labeling.review.flow.consensus import as_seen, disputed, spoken_on
from labeling.review.flow.leases import has_spoken
from labeling.review.items import WAITING, ItemStatus, QueuedItem, Viewer

Columns = TypeVar("Columns", bound=tuple[object, ...])


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
def ranked(chosen: ItemFilter, *, spoken: bool = False) -> Select[tuple[ItemRow]]:
    """The query for items, riskiest first; with `spoken` those of a status that the viewer has had their say on."""
    query = _ranked(chosen)
    if chosen.viewer is None or chosen.status not in WAITING:
        return query
    decided_ids = spoken_on(chosen.viewer)
    if spoken:
        return query.where(ItemRow.item_id.in_(decided_ids))
    query = query.where(ItemRow.item_id.not_in(decided_ids))
    return query if chosen.viewer.senior else query.where(ItemRow.item_id.not_in(disputed()))


def _ranked(chosen: ItemFilter) -> Select[tuple[ItemRow]]:
    if chosen.reason is None:
        return _filtered(select(ItemRow), ItemRow, chosen)
    # The reason's rows carry rank and filters, so that a rare mix does not walk past every other item.
    query = select(ItemRow).join(ReasonRow, ReasonRow.item_id == ItemRow.item_id)
    if chosen.status is not None:
        # Said of the item too, because this is the row that is locked and looked at again.
        query = query.where(ItemRow.status == chosen.status.value)
    return _filtered(query.where(ReasonRow.reason == chosen.reason), ReasonRow, chosen)


def _filtered(query: Select[Columns], table: type[ItemRow] | type[ReasonRow], chosen: ItemFilter) -> Select[Columns]:
    if chosen.status is not None:
        query = query.where(table.status == chosen.status.value)
    if chosen.category is not None:
        query = query.where(table.category == chosen.category)
    if chosen.run_id is not None:
        query = query.where(table.run_id == chosen.run_id)
    return query.order_by(table.priority.desc(), table.risk.desc(), table.item_id)


def list_items(session: Session, chosen: ItemFilter, *, limit: int, offset: int) -> list[QueuedItem]:
    """One page of items, riskiest first, as the viewer sees them."""
    parts = _parts(session, chosen)
    if len(parts) == 1:
        items = [queued_item(row) for row in session.scalars(parts[0].limit(limit).offset(offset))]
    else:
        items = _merged(session, parts, ItemRow if chosen.reason is None else ReasonRow, limit=limit, offset=offset)
    return items if chosen.viewer is None else as_seen(session, items, chosen.viewer)


def _parts(session: Session, chosen: ItemFilter) -> list[Select[tuple[ItemRow]]]:
    """The queries that together give what is asked for: indexes begin with the status, so several statuses are merged."""
    if chosen.status is None:
        return [ranked(replace(chosen, status=status, viewer=None)) for status in ItemStatus]
    viewer = chosen.viewer if chosen.status is ItemStatus.DECIDED else None
    if viewer is None or session.scalar(spoken_on(viewer).limit(1)) is None:
        return [ranked(chosen)]
    return [ranked(chosen), *(ranked(replace(chosen, status=status), spoken=True) for status in WAITING)]


def _merged(
    session: Session, parts: Sequence[Select[tuple[ItemRow]]], table: type[ItemRow] | type[ReasonRow], *, limit: int,
    offset: int,
) -> list[QueuedItem]:
    # By rank alone, which the indexes hold.
    ranks: list[tuple[int, float, int]] = []
    for part in parts:
        query = part.with_only_columns(table.priority, table.risk, table.item_id)
        ranks += [(-row[0], -row[1], row[2]) for row in session.execute(query.limit(offset + limit))]
    item_ids = [item_id for _, _, item_id in sorted(ranks)[offset:offset + limit]]
    rows = {row.item_id: row for row in session.scalars(select(ItemRow).where(ItemRow.item_id.in_(item_ids)))}
    return [queued_item(rows[item_id]) for item_id in item_ids]


@lru_cache(maxsize=512)
def _first(chosen: ItemFilter) -> Select[tuple[ItemRow]]:
    return ranked(chosen).limit(1).with_for_update(of=ItemRow, skip_locked=True)


def next_open(session: Session, chosen: ItemFilter, *, skipping: Collection[int] = ()) -> ItemRow | None:
    """The riskiest open item, locked; rows that another transaction is about to take are passed over."""
    query = _first(chosen)
    if skipping:
        query = query.where(ItemRow.item_id.not_in(list(skipping)))
    row = session.scalars(query).one_or_none()
    if row is None or chosen.viewer is None or not has_spoken(session, row.item_id, chosen.viewer.name):
        return row
    # They had their say while the row was being locked, which the query did not see.
    return next_open(session, chosen, skipping=[*skipping, row.item_id])


def count_items(session: Session, chosen: ItemFilter) -> int:
    """How many items a filter lets through, from one index."""
    if chosen.reason is None:
        return int(session.scalar(_filtered(select(func.count()), ItemRow, chosen).order_by(None)) or 0)
    query = select(func.count()).where(ReasonRow.reason == chosen.reason)
    return int(session.scalar(_filtered(query, ReasonRow, chosen).order_by(None)) or 0)


def not_as_counted(session: Session, viewer: Viewer) -> tuple[list[QueuedItem], list[QueuedItem]]:
    """Waiting items that a reviewer sees as settled, and those that they do not see among the waiting: disputed ones."""
    # Joined from the few opinions and disputes, so that no database begins with the many items that wait.
    spoken = select(ItemRow).join(OpinionRow, OpinionRow.item_id == ItemRow.item_id).where(OpinionRow.reviewer == viewer.name)
    decided = {row.item_id: queued_item(row) for row in session.scalars(spoken.where(ItemRow.status.in_(WAITING)))}
    if viewer.senior:
        return list(decided.values()), []
    others = session.scalars(select(ItemRow).where(ItemRow.item_id.in_(disputed()))).all()
    return list(decided.values()), [queued_item(row) for row in others if row.status in WAITING and row.item_id not in decided]

# Nobody chooses from a longer list.
MOST_FACETS = 200
_SUMS = (
    select(TallyRow.facet, TallyRow.status, TallyRow.name, func.sum(TallyRow.num_items))
    .group_by(TallyRow.facet, TallyRow.status, TallyRow.name).having(func.sum(TallyRow.num_items) != 0)
)


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """The counts of one moment, by (facet, status) and name."""

    sums: Mapping[tuple[str, str], Mapping[str, int]]

    def by_status(self) -> Mapping[ItemStatus, int]:
        """How many items have each status."""
        return {status: sum(self.sums.get(("status", status.value), {}).values()) for status in ItemStatus}

    def by_reason(self, status: ItemStatus) -> Mapping[str, int]:
        """How many items of a status have each reason, most first."""
        return self._most("reason", status)

    def by_category(self, status: ItemStatus) -> Mapping[str, int]:
        """How many items of a status are of each category, most first; those without one are left out."""
        return dict(list(self._most("category", status).items())[:MOST_FACETS])

    def by_run(self, status: ItemStatus) -> Mapping[str, int]:
        """How many items of a status each run opened, most first."""
        return dict(list(self._most("run", status).items())[:MOST_FACETS])

    def _most(self, facet: str, status: ItemStatus) -> Mapping[str, int]:
        counts = self.sums.get((facet, status.value), {})
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def item_counts(session: Session) -> ItemCounts:
    """Read the counts; a few rows, however many items there are."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for facet, status, name, count in session.execute(_SUMS):
        sums.setdefault((facet, status), {})[name] = int(count)
    return ItemCounts(sums)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many items there are by status; by reason, category and run of those with the listed one; `total` by all filters."""

    by_status: Mapping[ItemStatus, int]
    by_reason: Mapping[str, int]
    by_category: Mapping[str, int]
    by_run: Mapping[str, int]
    total: int


def queue_counts(session: Session, chosen: ItemFilter) -> QueueCounts:
    """Count items; with filters those that pass, else nothing that grows with their number."""
    listed, counts = chosen.status or ItemStatus.OPEN, item_counts(session)
    by_status = counts.by_status()
    if chosen == ItemFilter(chosen.status):
        total = by_status[chosen.status] if chosen.status else sum(by_status.values())
    else:
        total = count_items(session, chosen)
    return QueueCounts(by_status, counts.by_reason(listed), counts.by_category(listed), counts.by_run(listed), total)


def counts_as_seen(session: Session, counts: QueueCounts, chosen: ItemFilter, viewer: Viewer) -> QueueCounts:
    """The counts as a reviewer sees the items; `counts` are of all of them, by the same filter."""
    settled, hidden = not_as_counted(session, viewer)
    for items, status in ((settled, ItemStatus.DECIDED), (hidden, None)):
        counts = _moved(counts, chosen, items, to=status) if items else counts
    return counts


def _moved(counts: QueueCounts, chosen: ItemFilter, items: Collection[QueuedItem], *, to: ItemStatus | None) -> QueueCounts:
    """The counts with items in another status than the one that was counted, or in none."""
    listed, total, by_status = chosen.status or ItemStatus.OPEN, counts.total, Counter(dict(counts.by_status))
    facets = [Counter(dict(facet)) for facet in (counts.by_reason, counts.by_category, counts.by_run)]
    for item in items:
        names = (item.reasons, (item.category or "",), (item.run_id,))
        for status, step in ((item.status, -1), (to, 1)):
            if status is None:
                continue
            by_status[status] += step
            total += step * (status is chosen.status and chosen.lets_through(item))
            for facet, facet_names in zip(facets, names, strict=True) if status is listed else ():
                facet.update({name: step for name in facet_names if name in facet})
    by_reason, by_category, by_run = ({name: n for name, n in facet.most_common() if n > 0} for facet in facets)
    return QueueCounts(
        {status: max(0, by_status[status]) for status in ItemStatus}, by_reason, by_category, by_run, max(0, total)
    )
