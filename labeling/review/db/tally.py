"""How many items there are by status, and by reason, category and run; the database itself keeps count as they change."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.review.db.tables import TallyRow
from labeling.review.items import ItemStatus

# Nobody chooses from a longer list.
MOST_FACETS = 200
_SUMS = (
    select(TallyRow.facet, TallyRow.status, TallyRow.name, func.sum(TallyRow.num_items))
    .group_by(TallyRow.facet, TallyRow.status, TallyRow.name).having(func.sum(TallyRow.num_items) != 0)
)


@dataclass(frozen=True, slots=True)
class Tally:
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
        found = self.sums.get((facet, status.value), {})
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def tallied(session: Session) -> Tally:
    """Read the counts; a few rows, however many items there are."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for facet, status, name, count in session.execute(_SUMS):
        sums.setdefault((facet, status), {})[name] = int(count)
    return Tally(sums)
