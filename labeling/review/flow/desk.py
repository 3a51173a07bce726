"""What a reviewer's desk needs beside the queue: whose a lease is, work in hand, taking a decision back, figures."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from labeling.review.db.chain import append_decision
from labeling.review.db.rows import key_of, logged_decision, queued_item
from labeling.review.db.tables import AppliedRow, DecisionRow, EventRow, ItemRow, OpinionRow, UndoneRow, WorkRow
from labeling.review.db.tally import tallied
from labeling.review.errors import AlreadySettled, LostLease
from labeling.review.flow.decisions import ACTIONS
from labeling.review.flow.listing import ItemFilter, count_items
from labeling.review.flow.seen import is_gold, not_as_counted
from labeling.review.flow.steps import find, is_live, move_one, note_event
from labeling.review.items import ItemStatus, LoggedDecision, QueuedItem, Viewer
from labeling.review.quality import consensus
from labeling.review.quality.throughput import Effort, efforts
from labeling.review.queue import ReviewQueue

_CLAIM = select(EventRow.reviewer, ItemRow).join(ItemRow, ItemRow.item_id == EventRow.item_id).where(
    EventRow.lease_token == bindparam("token"), EventRow.kind == "claimed"
)

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
class QueueCounts:
    """How many items there are by status; by reason, category and run of those with the listed one; `total` by all filters."""

    by_status: Mapping[ItemStatus, int]
    by_reason: Mapping[str, int]
    by_category: Mapping[str, int]
    by_run: Mapping[str, int]
    total: int


class Desk:
    """Reads and writes of the review page on a queue's database; each method is one short transaction."""

    def __init__(self, queue: ReviewQueue) -> None:
        self._database, self._clock = queue.database, queue.clock

    def holder(self, token: str) -> Holder:
        """Whom a lease token was given to; LostLease for one that claim never gave."""
        with self._database.read() as session:
            claim = session.execute(_CLAIM, {"token": token}).first()
            if claim is None:
                raise LostLease("lease token is unknown; expected one that claim gave: claim the item again")
            reviewer, row = claim
            live = row.lease_token == token and is_live(row, self._clock())
            return Holder(queued_item(row), reviewer or "", live)

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

    def work(self, item_id: int, reviewer: str) -> Work | None:
        """A reviewer's work in hand on an item."""
        with self._database.read() as session:
            row = session.scalars(_work(item_id, reviewer)).first()
            return None if row is None else Work(row.work_id, row.work, row.kept_at)

    def is_opinion(self, seq: int) -> bool:
        """Whether a row of the log settles nothing by itself."""
        with self._database.read() as session:
            return session.scalars(select(OpinionRow.seq).where(OpinionRow.seq == seq)).first() is not None

    def decision(self, seq: int) -> LoggedDecision | None:
        """A row of the log."""
        with self._database.read() as session:
            row = session.get(DecisionRow, seq)
            return None if row is None else logged_decision(row)

    def undo(self, seq: int, reviewer: str) -> QueuedItem:
        """Take back a reviewer's own last decision: they can have its item again, and the log has one more row that says so.

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
            opinion = session.get(OpinionRow, (row.item_id, reviewer))
            if opinion is None or opinion.seq != seq:
                _require_untouched(session, row, last)
                move_one(session, row, ItemStatus.OPEN)
            else:
                _require_unanswered(session, row, last)
                session.delete(opinion)
            logged = append_decision(session, {
                **key_of(row)._asdict(), "item_id": row.item_id, "action": "undo", "reviewer": reviewer, "decided_at": now,
                "seconds": 0.0, "note": f"takes back row {seq}", "prompts": "[]", "lease_token": f"undo-{seq}",
            })
            session.add(UndoneRow(seq=seq, undone_by=logged.seq))
            consensus.reconsider(session, row.item_id)
            note_event(session, "undone", row, now, detail=f"row {seq}, {last.action}, by {reviewer}", reviewer=reviewer)
            return queued_item(find(session, row.item_id))

    def counts(self, wanted: ItemFilter) -> QueueCounts:
        """Count items; with filters those that pass, else nothing that grows with their number."""
        listed = wanted.status or ItemStatus.OPEN
        with self._database.read() as session:
            tally = tallied(session)
            by_status = tally.by_status()
            if wanted == ItemFilter(wanted.status):
                total = by_status[wanted.status] if wanted.status else sum(by_status.values())
            else:
                total = count_items(session, wanted)
        return QueueCounts(by_status, tally.by_reason(listed), tally.by_category(listed), tally.by_run(listed), total)

    def counts_for(self, counts: QueueCounts, wanted: ItemFilter, viewer: Viewer) -> QueueCounts:
        """The counts as a reviewer sees the items; `counts` are of all of them, by the same filter."""
        with self._database.read() as session:
            settled, hidden = not_as_counted(session, viewer)
        for items, to in ((settled, ItemStatus.DECIDED), (hidden, None)):
            counts = _moved(counts, wanted, items, to=to) if items else counts
        return counts

    def efforts(self) -> Sequence[Effort]:
        """What reviewers' standing decisions took, by reviewer and kind."""
        with self._database.read() as session:
            return efforts(session)


def _moved(counts: QueueCounts, wanted: ItemFilter, items: Collection[QueuedItem], *, to: ItemStatus | None) -> QueueCounts:
    """The counts with items in another status than the one that was counted, or in none."""
    listed, total, by_status = wanted.status or ItemStatus.OPEN, counts.total, Counter(dict(counts.by_status))
    facets = [Counter(dict(one)) for one in (counts.by_reason, counts.by_category, counts.by_run)]
    for item in items:
        names = (item.reasons, (item.category or "",), (item.run_id,))
        for status, step in ((item.status, -1), (to, 1)):
            if status is None:
                continue
            by_status[status] += step
            total += step * (status is wanted.status and wanted.lets_through(item))
            for facet, own in zip(facets, names, strict=True) if status is listed else ():
                facet.update({name: step for name in own if name in facet})
    by_reason, by_category, by_run = ({name: n for name, n in facet.most_common() if n > 0} for facet in facets)
    return QueueCounts(
        {status: max(0, by_status[status]) for status in ItemStatus}, by_reason, by_category, by_run, max(0, total)
    )


def _work(item_id: int, reviewer: str) -> Any:
    return select(WorkRow).where(WorkRow.item_id == item_id, WorkRow.reviewer == reviewer)


def _standing_of(reviewer: str) -> Any:
    undone = DecisionRow.seq.not_in(select(UndoneRow.seq))
    return select(DecisionRow).where(DecisionRow.reviewer == reviewer, DecisionRow.action.in_(ACTIONS), undone)


def _require_unanswered(session: Session, row: ItemRow, last: DecisionRow) -> None:
    """An opinion can be taken back until others go on from it; nobody does from an answer to gold."""
    if is_gold(session, row.item_id):
        return
    newest = session.execute(select(func.max(DecisionRow.seq)).where(DecisionRow.item_id == row.item_id)).scalar_one()
    if row.status != ItemStatus.OPEN or newest != last.seq:
        raise AlreadySettled(f"item {key_of(row)} has gone on since decision {last.seq}: others are asked")


def _require_untouched(session: Session, row: ItemRow, last: DecisionRow) -> None:
    newest = session.execute(select(func.max(DecisionRow.seq)).where(DecisionRow.item_id == row.item_id)).scalar_one()
    if row.status != ItemStatus.DECIDED or newest != last.seq:
        raise AlreadySettled(f"item {key_of(row)} has gone on since decision {last.seq}: it is {row.status}")
    if session.get(AppliedRow, last.seq) is not None:
        raise AlreadySettled(f"a run has tracked from decision {last.seq} already; review the newer version instead")
