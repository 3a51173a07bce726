"""The queue in figures: what waits and since when, who holds how much, what was decided; as Prometheus reads them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from labeling.metrics import Metric, counter, gauge
from labeling.review.db.tables import DecisionRow, GoldRow, ItemRow
from labeling.review.items import WAITING, ItemStatus
from labeling.review.queue import ReviewQueue


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How many items have each status, the age of the oldest that waits, live leases, and rows of the log by action.

    Gold items, whose truth is known, are not counted: they never leave the queue.
    """

    items: Mapping[str, int]
    oldest_seconds: float
    leases: int
    decisions: Mapping[str, int]

    @property
    def waiting(self) -> int:
        """The backlog: items that nobody has settled."""
        return sum(self.items[status] for status in WAITING)

    def families(self) -> Iterator[Metric]:
        """The figures by name."""
        yield gauge("labeling_review_items", "Review items by status", self.items, "status")
        yield gauge("labeling_review_backlog", "Review items that nobody has settled", self.waiting)
        yield gauge("labeling_review_oldest_seconds", "How long the oldest unsettled item has waited", self.oldest_seconds)
        yield gauge("labeling_review_leases", "Review items that a reviewer holds now", self.leases)
        yield counter("labeling_review_decisions_total", "Decisions in the log, by action", self.decisions, "action")


def figures_of(queue: ReviewQueue) -> QueueFigures:
    """Count a queue; two short reads of the database."""
    now = queue.clock()
    ordinary = ItemRow.item_id.not_in(select(GoldRow.item_id))
    live = (ItemRow.status == ItemStatus.CLAIMED.value) & (ItemRow.lease_expires_at > now)
    columns = (ItemRow.status, func.count(), func.min(ItemRow.opened_at), func.count().filter(live))
    with queue.database.read() as session:
        rows = session.execute(select(*columns).where(ordinary).group_by(ItemRow.status)).all()
        actions = session.execute(select(DecisionRow.action, func.count()).group_by(DecisionRow.action)).all()
    since = [oldest for status, _, oldest, _ in rows if status in WAITING]
    counted = dict.fromkeys((status.value for status in ItemStatus), 0) | {status: count for status, count, _, _ in rows}
    return QueueFigures(
        items=counted,
        oldest_seconds=max(0.0, (now - min(since)).total_seconds()) if since else 0.0,
        leases=sum(row[3] for row in rows),
        decisions=dict.fromkeys(("accept", "reject", "correct"), 0) | {row[0]: row[1] for row in actions},
    )
