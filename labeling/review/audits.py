"""Items that wait for a verdict alone: a random audit's, with doubtful ones and gold among them, in random order.

Nothing that the page or its API sends tells them apart: their rows have neither risk nor flags, they come before all others
in an order of their own, and all of them are shown the same way. What is drawn is decided elsewhere (`labeling.certify`).
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.orm import Session

from labeling.review.db.decision_log import is_outcome
from labeling.review.db.rows import key_of
from labeling.review.db.tables import AuditRow, DecisionRow, GoldRow, ItemRow, ReasonRow
from labeling.review.flow.opening import CHUNK, SUPERSEDED, chunks_of, open_chunk
from labeling.review.gain import MOST_GAIN
from labeling.review.items import WAITING, ItemKey, ItemStatus, ReviewItem
from labeling.review.queue import ReviewQueue

# Above every place that an item has by its gain.
_LOWEST, _HIGHEST = MOST_GAIN + 1, 2**30


@dataclass(frozen=True, slots=True)
class AuditCounts:
    """What asking for verdicts did: items that wait for one, those that people had decided, and those mixed in."""

    waiting: int = 0
    decided: int = 0
    mixed_in: int = 0


@dataclass(frozen=True, slots=True)
class AuditAnswer:
    """What a person said of one version of one masklet; of gold what is known of it, which is no reviewer's answer.

    `blind` says that they saw neither risk nor flags: not so of what was decided or held before it was drawn.
    """

    bad: bool
    reviewer: str
    decided_at: datetime
    seconds: float
    blind: bool = True


class Audits:
    """The audit's part of a queue's database; each chunk of items is one transaction, and all of it can be repeated."""

    def __init__(self, queue: ReviewQueue) -> None:
        self._database, self._clock = queue.database, queue.clock

    def open(self, items: Iterable[ReviewItem], *, draw: str, inclusion: float, mixed_in: int) -> AuditCounts:
        """Ask for a verdict on each item of a draw, and on `mixed_in` doubtful ones and all open gold beside them.

        What people have decided already, or hold now, is left as it is; its decision is its answer.
        """
        now, order = self._clock(), random.SystemRandom()
        known: list[int] = []
        for chunk in chunks_of(items):
            with self._database.write() as session:
                self._database.lock_opening(session)
                known += _ask(session, chunk, draw, inclusion, now, order)
        with self._database.write() as session:
            self._database.lock_opening(session)
            others = _others(session, mixed_in, order)
            _blind(session, others, order)
            counted = select(ItemRow.status, func.count()).where(ItemRow.item_id.in_(_of(draw))).group_by(ItemRow.status)
            by_status = {row[0]: int(row[1]) for row in session.execute(counted)}
        waiting = sum(by_status.get(status.value, 0) for status in WAITING)
        return AuditCounts(waiting, by_status.get(ItemStatus.DECIDED.value, 0), len(others))

    def answers(self, keys: Collection[ItemKey]) -> Mapping[ItemKey, AuditAnswer]:
        """What people said of masklets, by identity; who nobody has decided is left out."""
        answers: dict[ItemKey, AuditAnswer] = {}
        videos, wanted = sorted({key.video_id for key in keys}), set(keys)
        with self._database.read() as session:
            for start in range(0, len(videos), CHUNK):
                for key, answer in _answers(session, videos[start:start + CHUNK]):
                    if key in wanted:
                        answers[key] = answer
        return answers

    def num_waiting(self) -> int:
        """How many items of draws nobody has answered yet."""
        with self._database.read() as session:
            drawn = select(AuditRow.item_id)
            waiting = ItemRow.status.in_(WAITING) & ItemRow.item_id.in_(drawn) & ItemRow.item_id.not_in(select(GoldRow.item_id))
            return int(session.scalar(select(func.count()).select_from(ItemRow).where(waiting)) or 0)


def _of(draw: str) -> Select[Any]:
    return select(AuditRow.item_id).where(AuditRow.draw == draw)


def _ask(
    session: Session, items: Sequence[ReviewItem], draw: str, inclusion: float, now: datetime, order: random.SystemRandom
) -> list[int]:
    """Put a chunk of a draw into the queue, as far as it is not there, and note that it belongs to it."""
    there = _rows(session, items)
    # An item that was withdrawn as clear is asked for again; what a newer version has replaced is not.
    new = [item for item in items if item.key not in there or _is_withdrawn(there[item.key])]
    open_chunk(session, [replace(item, risk=0.0, flags=()) for item in new], now)
    rows = _rows(session, items)
    _blind(session, [row.item_id for row in rows.values() if row.status == ItemStatus.OPEN], order)
    known = set(session.scalars(_of(draw)))
    added = [row.item_id for row in rows.values() if row.item_id not in known]
    if added:
        session.execute(insert(AuditRow), [
            {"draw": draw, "item_id": item_id, "inclusion": inclusion, "drawn_at": now} for item_id in added
        ])
    return added


def _is_withdrawn(row: ItemRow) -> bool:
    return row.status == ItemStatus.CLOSED and not (row.closed_because or "").startswith(SUPERSEDED)


def _rows(session: Session, items: Sequence[ReviewItem]) -> Mapping[ItemKey, ItemRow]:
    wanted = {item.key for item in items}
    query = select(ItemRow).where(ItemRow.video_id.in_(sorted({key.video_id for key in wanted})))
    rows = session.scalars(query.execution_options(populate_existing=True))
    return {key: row for row in rows if (key := key_of(row)) in wanted}


def _others(session: Session, mixed_in: int, order: random.SystemRandom) -> list[int]:
    """Open items beside the draw's: so many doubtful ones, and gold, which shows how well reviewers see."""
    free = (ItemRow.status == ItemStatus.OPEN.value) & ItemRow.blind.is_(False)
    gold = list(session.scalars(select(ItemRow.item_id).where(free, ItemRow.item_id.in_(select(GoldRow.item_id)))))
    doubtful = list(session.scalars(select(ItemRow.item_id).where(free, ItemRow.item_id.not_in(select(GoldRow.item_id)))))
    return gold + order.sample(doubtful, min(mixed_in, len(doubtful)))


def _blind(session: Session, item_ids: Collection[int], order: random.SystemRandom) -> None:
    """Take risk, flags and reasons off items, and give each a place of its own before all that are not blind."""
    waiting = list(session.scalars(select(ItemRow.item_id).where(ItemRow.item_id.in_(item_ids), ItemRow.blind.is_(False))))
    for start in range(0, len(waiting), CHUNK):
        chunk = waiting[start:start + CHUNK]
        session.execute(delete(ReasonRow).where(ReasonRow.item_id.in_(chunk)))
        session.execute(update(ItemRow), [
            {"item_id": item_id, "blind": True, "risk": 0.0, "flags": [], "priority": order.randint(_LOWEST, _HIGHEST)}
            for item_id in chunk
        ])


def _answers(session: Session, videos: Sequence[str]) -> Iterable[tuple[ItemKey, AuditAnswer]]:
    settled = select(DecisionRow, ItemRow.blind).join(ItemRow, ItemRow.item_id == DecisionRow.item_id)
    for row, blind in session.execute(settled.where(is_outcome(), DecisionRow.video_id.in_(videos)).order_by(DecisionRow.seq)):
        yield key_of(row), AuditAnswer(row.action != "accept", row.reviewer, row.decided_at, row.seconds, blind)
    known = select(GoldRow, ItemRow).join(ItemRow, ItemRow.item_id == GoldRow.item_id).where(ItemRow.video_id.in_(videos))
    for gold, item in session.execute(known):
        yield key_of(item), AuditAnswer(not gold.good, "", gold.added_at, 0.0)
