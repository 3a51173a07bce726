"""What a reviewer's desk needs beside the queue: whose a lease is, work in hand, taking a decision back, figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.review.chain import append_decision
from labeling.review.decisions import ACTIONS
from labeling.review.errors import AlreadySettled, LostLease
from labeling.review.items import ItemStatus, LoggedDecision, QueuedItem
from labeling.review.listing import ItemFilter, count_by_reason, count_by_status, count_items
from labeling.review.queue import ReviewQueue
from labeling.review.rows import key_of, logged_decision, queued_item
from labeling.review.steps import find, is_live, move, note_event
from labeling.review.tables import AppliedRow, DecisionRow, EffortRow, EventRow, ItemRow, UndoneRow, WorkRow


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a lease was given to, and the item; `live` says whether they hold it still."""

    item: QueuedItem
    reviewer: str
    live: bool


@dataclass(frozen=True, slots=True)
class Work:
    """A reviewer's work in hand on an item, as the page's own JSON."""

    work_id: int
    work: str
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class Effort:
    """What one reviewer's standing decisions took; `clicks_each` is None where nobody counted."""

    reviewer: str
    decisions: int
    seconds_each: float
    clicks_each: float | None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many items there are: by status, by reason of those with the listed status, and by the list's own filters."""

    by_status: Mapping[ItemStatus, int]
    by_reason: Mapping[str, int]
    total: int


class Desk:
    """Reads and writes of the review page on a queue's database; each method is one short transaction."""

    def __init__(self, queue: ReviewQueue) -> None:
        self._database, self._clock = queue.database, queue.clock

    def holder(self, token: str) -> Holder:
        """Whom a lease token was given to; LostLease for one that claim never gave."""
        claims = select(EventRow).where(EventRow.lease_token == token, EventRow.kind == "claimed")
        with self._database.read() as session:
            claim = session.scalars(claims).first()
            if claim is None:
                raise LostLease("lease token is unknown; expected one that claim gave: claim the item again")
            row = find(session, claim.item_id)
            live = row.lease_token == token and is_live(row, self._clock())
            return Holder(queued_item(row), claim.reviewer or "", live)

    def keep_work(self, item_id: int, reviewer: str, work: str) -> int:
        """Keep a reviewer's work in hand in place of what was kept before; returns its number."""
        with self._database.write() as session:
            row = session.scalars(_work(item_id, reviewer)).first()
            if row is None:
                row = WorkRow(item_id=item_id, reviewer=reviewer)
                session.add(row)
            row.work, row.kept_at = work, self._clock()
            session.flush()
            return row.work_id

    def work(self, item_id: int, reviewer: str) -> Work | None:
        """A reviewer's work in hand on an item."""
        with self._database.read() as session:
            row = session.scalars(_work(item_id, reviewer)).first()
            return None if row is None else Work(row.work_id, row.work, row.kept_at)

    def drop_work(self, item_id: int, reviewer: str) -> None:
        """Forget a reviewer's work on an item that they have decided."""
        with self._database.write() as session:
            for row in session.scalars(_work(item_id, reviewer)):
                session.delete(row)

    def decision(self, seq: int) -> LoggedDecision | None:
        """A row of the log."""
        with self._database.read() as session:
            row = session.get(DecisionRow, seq)
            return None if row is None else logged_decision(row)

    def undo(self, seq: int, reviewer: str) -> QueuedItem:
        """Take back a reviewer's own last decision: its item is open again, and the log has one more row that says so.

        AlreadySettled where the decision is not theirs or not their last one, where the item has gone on since, or where a
        run has tracked from the correction.
        """
        now = self._clock()
        with self._database.write() as session:
            last = session.scalars(_standing_of(reviewer).order_by(DecisionRow.seq.desc()).limit(1)).first()
            if last is None or last.seq != seq:
                expected = "none is left" if last is None else f"expected {last.seq}"
                raise AlreadySettled(f"decision {seq} is not your last one that stands: {expected}")
            row = find(session, last.item_id, lock=True)
            _require_untouched(session, row, last)
            logged = append_decision(session, {
                **key_of(row)._asdict(), "item_id": row.item_id, "action": "undo", "reviewer": reviewer, "decided_at": now,
                "seconds": 0.0, "note": f"takes back row {seq}", "prompts": "[]", "lease_token": f"undo-{seq}",
            })
            session.add(UndoneRow(seq=seq, undone_by=logged.seq))
            note_event(session, "undone", row, now, detail=f"row {seq}, {last.action}, by {reviewer}")
            move(session, [row.item_id], ItemStatus.OPEN)
            return queued_item(find(session, row.item_id))

    def counts(self, wanted: ItemFilter) -> QueueCounts:
        """Count items; some 50 ms with 100,000 of them."""
        with self._database.read() as session:
            by_reason = count_by_reason(session, wanted.status or ItemStatus.OPEN)
            by_status = count_by_status(session)
            if wanted == ItemFilter(wanted.status):
                return QueueCounts(by_status, by_reason, by_status[wanted.status] if wanted.status else sum(by_status.values()))
            return QueueCounts(by_status, by_reason, count_items(session, wanted))

    def efforts(self) -> Sequence[Effort]:
        """What reviewers' standing decisions took, the busiest first."""
        columns = (func.count(), func.avg(DecisionRow.seconds), func.avg(EffortRow.clicks))
        query = (
            select(DecisionRow.reviewer, *columns)
            .outerjoin(EffortRow, EffortRow.seq == DecisionRow.seq)
            .where(DecisionRow.action.in_(ACTIONS), DecisionRow.seq.not_in(select(UndoneRow.seq)))
            .group_by(DecisionRow.reviewer).order_by(func.count().desc(), DecisionRow.reviewer)
        )
        with self._database.read() as session:
            return [
                Effort(name, count, float(seconds), None if clicks is None else float(clicks))
                for name, count, seconds, clicks in session.execute(query)
            ]


def _work(item_id: int, reviewer: str) -> Any:
    return select(WorkRow).where(WorkRow.item_id == item_id, WorkRow.reviewer == reviewer)


def _standing_of(reviewer: str) -> Any:
    undone = DecisionRow.seq.not_in(select(UndoneRow.seq))
    return select(DecisionRow).where(DecisionRow.reviewer == reviewer, DecisionRow.action.in_(ACTIONS), undone)


def _require_untouched(session: Session, row: ItemRow, last: DecisionRow) -> None:
    newest = session.execute(select(func.max(DecisionRow.seq)).where(DecisionRow.item_id == row.item_id)).scalar_one()
    if row.status != ItemStatus.DECIDED or newest != last.seq:
        raise AlreadySettled(f"item {key_of(row)} has gone on since decision {last.seq}: it is {row.status}")
    if session.get(AppliedRow, last.seq) is not None:
        raise AlreadySettled(f"a run has tracked from decision {last.seq} already; review the newer version instead")
