"""Taking a decision back: the log has one more row that says so, and its item waits again."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.review.db.chain import append_decision
from labeling.review.db.rows import find, key_of, move_one, note_event, queued_item
from labeling.review.db.tables import AppliedRow, DecisionRow, ItemRow, OpinionRow, UndoneRow
from labeling.review.errors import AlreadySettled
from labeling.review.flow.decisions import ACTIONS
from labeling.review.flow.listing import is_gold
from labeling.review.items import Correction, ItemStatus, QueuedItem
from labeling.review.quality import consensus
from labeling.store.records import prompts_from_json


def undo(session: Session, seq: int, reviewer: str, now: datetime) -> QueuedItem:
    """Take back a reviewer's own last decision: they can have its item again.

    AlreadySettled where the decision is not theirs or not their last one, where the item has gone on since, or where a
    run has tracked from the correction.
    """
    standing = select(DecisionRow).where(
        DecisionRow.reviewer == reviewer, DecisionRow.action.in_(ACTIONS), DecisionRow.seq.not_in(select(UndoneRow.seq))
    )
    last = session.scalars(standing.order_by(DecisionRow.seq.desc()).limit(1)).first()
    if last is None or last.seq != seq:
        expected = "none is left" if last is None else f"expected {last.seq}"
        raise AlreadySettled(f"decision {seq} is not your last one that stands: {expected}")
    row = find(session, last.item_id, lock=True)
    opinion = session.get(OpinionRow, (row.item_id, reviewer))
    if opinion is None or opinion.seq != seq:
        _require_untouched(session, row, last)
        move_one(session, row, ItemStatus.OPEN)
    else:
        # The item waits as it did: only the reviewer's say goes.
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


def undone_corrections(session: Session) -> Sequence[Correction]:
    """Return the corrections that their reviewers took back, oldest first."""
    query = (
        select(DecisionRow, ItemRow.video_key)
        .join(UndoneRow, UndoneRow.seq == DecisionRow.seq)
        .join(ItemRow, ItemRow.item_id == DecisionRow.item_id)
        .where(DecisionRow.action == "correct").order_by(DecisionRow.seq)
    )
    return [
        Correction(row.seq, key_of(row), video_key, prompts_from_json(row.prompts))
        for row, video_key in session.execute(query)
    ]


def _require_unanswered(session: Session, row: ItemRow, last: DecisionRow) -> None:
    """An opinion can be taken back until others go on from it; nobody does from an answer to gold."""
    if is_gold(session, row.item_id):
        return
    if row.status != ItemStatus.OPEN or _newest(session, row) != last.seq:
        raise AlreadySettled(f"item {key_of(row)} has gone on since decision {last.seq}: others are asked")


def _require_untouched(session: Session, row: ItemRow, last: DecisionRow) -> None:
    if row.status != ItemStatus.DECIDED or _newest(session, row) != last.seq:
        raise AlreadySettled(f"item {key_of(row)} has gone on since decision {last.seq}: it is {row.status}")
    if session.get(AppliedRow, last.seq) is not None:
        raise AlreadySettled(f"a run has tracked from decision {last.seq} already; review the newer version instead")


def _newest(session: Session, row: ItemRow) -> int:
    return int(session.execute(select(func.max(DecisionRow.seq)).where(DecisionRow.item_id == row.item_id)).scalar_one())
