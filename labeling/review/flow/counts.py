"""How many items there are by status, and by reason, category and run; the database itself keeps count as they change."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.review.db.tables import TallyRow
from labeling.review.flow.listing import ItemFilter, count_items, not_as_counted
from labeling.review.items import ItemStatus, QueuedItem, Viewer

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
