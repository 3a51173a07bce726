"""Finds items by rank (priority, risk, age: every filter has an index that keeps this order) and shows them to a reviewer.

What an item tells must not tell which one waits for others, is of known truth (gold), or is settled by them: until it is
settled for everybody a reviewer sees only its openings and what they did themselves.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, func, select
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
    ReasonRow,
)
from labeling.review.flow.leases import has_spoken
from labeling.review.items import WAITING, Consensus, ItemHistory, ItemStatus, QueuedItem, Viewer

OPENINGS = frozenset({"opened", "refreshed", "reopened"})
# The event of a decision that settles nothing by itself; to who made it, it looks like one that does.
OPINION = "opinion"


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
def ranked(chosen: ItemFilter, *, spoken: bool = False) -> Select[Any]:
    """The query for items, riskiest first; with `spoken` those of a status that the viewer has had their say on."""
    query = _ranked(chosen)
    if chosen.viewer is None or chosen.status not in WAITING:
        return query
    theirs = spoken_on(chosen.viewer)
    if spoken:
        return query.where(ItemRow.item_id.in_(theirs))
    query = query.where(ItemRow.item_id.not_in(theirs))
    return query if chosen.viewer.senior else query.where(ItemRow.item_id.not_in(disputed()))


def _ranked(chosen: ItemFilter) -> Select[Any]:
    if chosen.reason is None:
        return _filtered(select(ItemRow), ItemRow, chosen)
    # The reason's rows carry rank and filters, so that a rare mix does not walk past every other item.
    query: Select[Any] = select(ItemRow).join(ReasonRow, ReasonRow.item_id == ItemRow.item_id)
    if chosen.status is not None:
        # Said of the item too, because this is the row that is locked and looked at again.
        query = query.where(ItemRow.status == chosen.status.value)
    return _filtered(query.where(ReasonRow.reason == chosen.reason), ReasonRow, chosen)


def _filtered(query: Select[Any], table: type[ItemRow] | type[ReasonRow], chosen: ItemFilter) -> Select[Any]:
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


def _parts(session: Session, chosen: ItemFilter) -> list[Select[Any]]:
    """The queries that together give what is asked for: indexes begin with the status, so several statuses are merged."""
    if chosen.status is None:
        return [ranked(replace(chosen, status=status, viewer=None)) for status in ItemStatus]
    viewer = chosen.viewer if chosen.status is ItemStatus.DECIDED else None
    if viewer is None or session.scalar(spoken_on(viewer).limit(1)) is None:
        return [ranked(chosen)]
    return [ranked(chosen), *(ranked(replace(chosen, status=status), spoken=True) for status in WAITING)]


def _merged(
    session: Session, parts: Sequence[Select[Any]], table: type[ItemRow] | type[ReasonRow], *, limit: int, offset: int
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
def _first(chosen: ItemFilter) -> Select[Any]:
    return ranked(chosen).limit(1).with_for_update(of=ItemRow, skip_locked=True)


def next_open(session: Session, chosen: ItemFilter, *, skipping: Collection[int] = ()) -> ItemRow | None:
    """The riskiest open item, locked; rows that another transaction is about to take are passed over."""
    query = _first(chosen)
    if skipping:
        query = query.where(ItemRow.item_id.not_in(list(skipping)))
    row: ItemRow | None = session.scalars(query).one_or_none()
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
