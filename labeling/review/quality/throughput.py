"""What reviewing takes: seconds and clicks for each item, by reviewer and kind of decision; how many items wait over time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.review.db.tables import DecisionRow, EffortRow, EventRow, UndoneRow
from labeling.review.flow.decisions import ACTIONS
from labeling.review.queue import ReviewQueue

# What an event says of its item: that it waits for a decision, or no longer does.
WAITS = {
    "opened": True, "reopened": True, "claimed": True, "released": True, "expired": True, "undone": True,
    "decided": False, "closed": False,
}
STEPS = tuple(timedelta(minutes=m) for m in (1, 10, 60, 24 * 60, 7 * 24 * 60))
MOST_STEPS = 48


@dataclass(frozen=True, slots=True)
class Effort:
    """One reviewer's standing decisions of one kind; `counted` are those whose clicks were counted."""

    reviewer: str
    action: str
    decisions: int
    seconds: float
    counted: int = 0
    clicks: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Decisions and what each took; None where there is nothing to divide by."""

    decisions: int
    seconds_per_item: float | None
    clicks_per_item: float | None
    items_per_hour: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """How many items waited at the end of a stretch of time, and how many decisions were made in it."""

    until: datetime
    waiting: int
    decided: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """The efforts of all reviewers, and how the queue went from its first item to its newest event."""

    efforts: tuple[Effort, ...]
    backlog: tuple[Moment, ...]

    @property
    def rows(self) -> Sequence[tuple[str, str, Rates]]:
        """(reviewer, kind of decision, figures): everybody first, then each reviewer; "all" stands for all kinds."""
        rows: list[tuple[str, str, Rates]] = []
        for name, theirs in (("everybody", self.efforts), *by_reviewer(self.efforts).items()):
            rows.append((name, "all", rates_of(theirs)))
            kinds = [(action, [effort for effort in theirs if effort.action == action]) for action in ACTIONS]
            rows += [(name, action, rates_of(efforts)) for action, efforts in kinds if efforts]
        return rows


def throughput(queue: ReviewQueue) -> Throughput:
    """Read both from a queue."""
    with queue.database.read() as session:
        return Throughput(tuple(efforts(session)), tuple(backlog(session)))


def efforts(session: Session) -> Sequence[Effort]:
    """Return what reviewers' standing decisions took, by reviewer and kind, the most frequent first."""
    columns = (func.count(), func.sum(DecisionRow.seconds), func.count(EffortRow.seq), func.sum(EffortRow.clicks))
    query = (
        select(DecisionRow.reviewer, DecisionRow.action, *columns)
        .outerjoin(EffortRow, EffortRow.seq == DecisionRow.seq)
        .where(DecisionRow.action.in_(ACTIONS), DecisionRow.seq.not_in(select(UndoneRow.seq)))
        .group_by(DecisionRow.reviewer, DecisionRow.action)
        .order_by(func.count().desc(), DecisionRow.reviewer, DecisionRow.action)
    )
    return [
        Effort(name, action, count, float(seconds), counted, int(clicks or 0))
        for name, action, count, seconds, counted, clicks in session.execute(query)
    ]


def by_reviewer(efforts: Sequence[Effort]) -> Mapping[str, Sequence[Effort]]:
    """Return the efforts of each reviewer, the busiest first."""
    names = sorted({effort.reviewer for effort in efforts})
    grouped = {name: [effort for effort in efforts if effort.reviewer == name] for name in names}
    return dict(sorted(grouped.items(), key=lambda pair: -sum(effort.decisions for effort in pair[1])))


def rates_of(efforts: Sequence[Effort]) -> Rates:
    """Return means over efforts, each decision counting once."""
    decisions, counted = sum(effort.decisions for effort in efforts), sum(effort.counted for effort in efforts)
    seconds = sum(effort.seconds for effort in efforts)
    return Rates(
        decisions=decisions,
        seconds_per_item=seconds / decisions if decisions else None,
        clicks_per_item=sum(effort.clicks for effort in efforts) / counted if counted else None,
        items_per_hour=3600.0 * decisions / seconds if seconds else None,
    )


def backlog(session: Session) -> Sequence[Moment]:
    """Return how many items waited after each stretch of time in which something happened, oldest first."""
    first, last = session.execute(select(func.min(EventRow.happened_at), func.max(EventRow.happened_at))).one()
    if first is None:
        return []
    step = step_for(last - first)
    query = select(EventRow.item_id, EventRow.kind, EventRow.happened_at).where(EventRow.kind.in_(WAITS))
    rows = session.execute(query.order_by(EventRow.happened_at, EventRow.event_id).execution_options(yield_per=10_000))
    return list(_moments(rows, first, step))


def step_for(length: timedelta) -> timedelta:
    """Return the minute, ten minutes, hour, day or week that cuts a length of time into at most 48 stretches, or a week."""
    return next((step for step in STEPS if length / step < MOST_STEPS), STEPS[-1])


def _moments(rows: Iterable[Any], first: datetime, step: timedelta) -> Iterable[Moment]:
    waiting: set[int] = set()
    for number, group in groupby(rows, key=lambda row: (row.happened_at - first) // step):
        decided = 0
        for row in group:
            if WAITS[row.kind]:
                waiting.add(row.item_id)
            else:
                decided += row.kind == "decided"
                waiting.discard(row.item_id)
        yield Moment(first + (number + 1) * step, len(waiting), decided)
