"""The queue through one reviewer's eyes: what they have had their say on is settled for them, whoever else is asked.

So an item looks the same to a reviewer whether it waits for others, is of known truth (gold), or is settled by them: until
it is settled for everybody they see only its openings and what they did themselves.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from labeling.review.db.rows import draft, item_event, logged_decision, queued_item
from labeling.review.db.tables import (
    ConsensusRow,
    DecisionRow,
    DisputeRow,
    DraftRow,
    EventRow,
    GoldRow,
    ItemRow,
    OpinionRow,
)
from labeling.review.items import ItemHistory, ItemStatus, QueuedItem, Viewer

WAITING = (ItemStatus.OPEN, ItemStatus.CLAIMED)
OPENINGS = frozenset({"opened", "refreshed", "reopened"})
# The event of a decision that settles nothing by itself; to who made it, it looks like one that does.
OPINION = "opinion"


@dataclass(frozen=True, slots=True)
class Consensus:
    """How many reviewers an item asks for, and how many of them are known to have had their say."""

    wanted: int
    have: int


def spoken_on(viewer: Viewer) -> Select[Any]:
    """The query for the numbers of waiting items that a reviewer has had their say on."""
    return select(OpinionRow.item_id).where(OpinionRow.reviewer == viewer.name)


def disputed() -> Select[Any]:
    """The query for the numbers of items whose reviewers disagree."""
    return select(DisputeRow.item_id)


def is_gold(session: Session, item_id: int) -> bool:
    """Whether an item's truth is known."""
    return session.get(GoldRow, item_id) is not None


def as_seen(session: Session, items: Collection[QueuedItem], viewer: Viewer) -> list[QueuedItem]:
    """The items as a reviewer sees them."""
    waiting = [item.item_id for item in items if item.status in WAITING]
    theirs = set(session.scalars(spoken_on(viewer).where(OpinionRow.item_id.in_(waiting)))) if waiting else set()
    return [_settled(item) if item.item_id in theirs else item for item in items]


def history_of(session: Session, row: ItemRow) -> ItemHistory:
    """All that the queue knows of an item, oldest first."""
    events = session.scalars(select(EventRow).where(EventRow.item_id == row.item_id).order_by(EventRow.event_id))
    logged = session.scalars(select(DecisionRow).where(DecisionRow.item_id == row.item_id).order_by(DecisionRow.seq))
    drafts = session.scalars(select(DraftRow).where(DraftRow.item_id == row.item_id).order_by(DraftRow.draft_id))
    return ItemHistory(
        queued_item(row), tuple(map(item_event, events)), tuple(map(logged_decision, logged)), tuple(map(draft, drafts))
    )


def history_as_seen(session: Session, history: ItemHistory, viewer: Viewer) -> ItemHistory:
    """What a reviewer may know of an item: all of one that is settled or, to a senior, disputed."""
    item = history.item
    (seen,) = as_seen(session, [item], viewer)
    if item.status not in WAITING or (viewer.senior and session.get(DisputeRow, item.item_id) is not None):
        return replace(history, item=seen)
    known = (event for event in history.events if event.kind in OPENINGS or event.reviewer == viewer.name)
    return replace(
        history,
        item=seen,
        events=tuple(replace(event, kind="decided") if event.kind == OPINION else event for event in known),
        decisions=tuple(decision for decision in history.decisions if decision.reviewer == viewer.name),
    )


def consensus_as_seen(session: Session, history: ItemHistory, viewer: Viewer) -> Consensus:
    """How far reviewers have come with an item; `history` is all of it.

    While it waits, others count up to one less than are asked for: gold, which anybody may answer, shows no more.
    """
    item_id = history.item.item_id
    asked = session.get(ConsensusRow, item_id)
    wanted = 1 if asked is None else asked.wanted
    names = set(session.scalars(select(OpinionRow.reviewer).where(OpinionRow.item_id == item_id)))
    if history.item.status not in WAITING:
        names |= {decision.reviewer for decision in history.decisions if decision.action != "undo"}
        return Consensus(wanted, len(names))
    others = len(names - {viewer.name})
    return Consensus(wanted, min(others, wanted - 1) + (viewer.name in names))


def not_as_counted(session: Session, viewer: Viewer) -> tuple[list[QueuedItem], list[QueuedItem]]:
    """Waiting items that a reviewer sees as settled, and those that they do not see among the waiting: disputed ones."""
    # Joined from the few opinions and disputes, so that no database begins with the many items that wait.
    spoken = select(ItemRow).join(OpinionRow, OpinionRow.item_id == ItemRow.item_id).where(OpinionRow.reviewer == viewer.name)
    theirs = {row.item_id: queued_item(row) for row in session.scalars(spoken.where(ItemRow.status.in_(WAITING)))}
    if viewer.senior:
        return list(theirs.values()), []
    others = session.scalars(select(ItemRow).where(ItemRow.item_id.in_(disputed()))).all()
    return list(theirs.values()), [queued_item(row) for row in others if row.status in WAITING and row.item_id not in theirs]


def _settled(item: QueuedItem) -> QueuedItem:
    return replace(item, status=ItemStatus.DECIDED, reviewer=None, lease_expires_at=None)
