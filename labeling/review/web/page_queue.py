"""What the review page reads and writes of a queue beside the reviewers' own steps: work in hand, counts, efforts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select

from labeling.review.db.rows import find, logged_decision
from labeling.review.db.tables import DecisionRow, OpinionRow, WorkRow
from labeling.review.flow.counts import QueueCounts, counts_as_seen, queue_counts
from labeling.review.flow.leases import LeaseHolder, holder_of
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import LoggedDecision, Viewer
from labeling.review.quality.throughput import Effort, efforts
from labeling.review.queue import ReviewQueue


@dataclass(frozen=True, slots=True)
class WorkInHand:
    """A reviewer's work in hand on an item, as the page's own JSON."""

    work_id: int
    work: str
    kept_at: datetime


class PageQueue:
    """Reads and writes of the review page on a queue's database; each method is one short transaction."""

    def __init__(self, queue: ReviewQueue) -> None:
        self._database, self._clock = queue.database, queue.clock

    def holder(self, token: str) -> LeaseHolder:
        """Whom a lease token was given to; LostLease for one that claim never gave."""
        with self._database.read() as session:
            return holder_of(session, token, self._clock())

    def keep_work(self, item_id: int, reviewer: str, work: str) -> int:
        """Keep a reviewer's work in hand in place of what was kept before; returns its number."""
        with self._database.write() as session:
            # Locked, so that two pages of one reviewer do not both find nothing kept.
            find(session, item_id, lock=True)
            row = session.scalars(_work(item_id, reviewer)).first()
            if row is None:
                row = WorkRow(item_id=item_id, reviewer=reviewer)
                session.add(row)
            row.work, row.kept_at = work, self._clock()
            session.flush()
            return row.work_id

    def work(self, item_id: int, reviewer: str) -> WorkInHand | None:
        """A reviewer's work in hand on an item."""
        with self._database.read() as session:
            row = session.scalars(_work(item_id, reviewer)).first()
            return None if row is None else WorkInHand(row.work_id, row.work, row.kept_at)

    def is_opinion(self, seq: int) -> bool:
        """Whether a row of the log settles nothing by itself."""
        with self._database.read() as session:
            return session.scalars(select(OpinionRow.seq).where(OpinionRow.seq == seq)).first() is not None

    def decision(self, seq: int) -> LoggedDecision | None:
        """A row of the log."""
        with self._database.read() as session:
            row = session.get(DecisionRow, seq)
            return None if row is None else logged_decision(row)

    def counts(self, chosen: ItemFilter) -> QueueCounts:
        """Count items; with filters those that pass, else nothing that grows with their number."""
        with self._database.read() as session:
            return queue_counts(session, chosen)

    def counts_for(self, counts: QueueCounts, chosen: ItemFilter, viewer: Viewer) -> QueueCounts:
        """The counts as a reviewer sees the items; `counts` are of all of them, by the same filter."""
        with self._database.read() as session:
            return counts_as_seen(session, counts, chosen, viewer)

    def efforts(self) -> Sequence[Effort]:
        """What reviewers' standing decisions took, by reviewer and kind."""
        with self._database.read() as session:
            return efforts(session)


def _work(item_id: int, reviewer: str) -> Select[tuple[WorkRow]]:
    return select(WorkRow).where(WorkRow.item_id == item_id, WorkRow.reviewer == reviewer)
