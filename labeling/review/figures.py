"""The queue in figures: what waits and since when, what was decided, and what reviewing takes, by reviewer and over time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from labeling.metrics import Metric, counter, gauge
from labeling.review.db.decision_log import ACTIONS
from labeling.review.db.tables import DecisionRow, EffortRow, EventRow, GoldRow, ItemRow, UndoneRow
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
    """Count a queue's items, leases and decisions now, and the age of its oldest waiting item in seconds."""
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

# Whether an item waits for a decision after an event of this kind.
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
class BacklogStep:
    """How many items waited at the end of a stretch of time, and how many decisions were made in it."""

    until: datetime
    waiting: int
    decided: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """The efforts of all reviewers, and how the queue went from its first item to its newest event."""

    efforts: tuple[Effort, ...]
    backlog: tuple[BacklogStep, ...]

    @property
    def rows(self) -> Sequence[tuple[str, str, Rates]]:
        """(reviewer, kind of decision, figures): everybody first, then each reviewer; "all" stands for all kinds."""
        rows: list[tuple[str, str, Rates]] = []
        for name, reviewer_efforts in (("everybody", self.efforts), *by_reviewer(self.efforts).items()):
            rows.append((name, "all", rates_of(reviewer_efforts)))
            kinds = [(action, [effort for effort in reviewer_efforts if effort.action == action]) for action in ACTIONS]
            rows += [(name, action, rates_of(efforts)) for action, efforts in kinds if efforts]
        return rows


def throughput(queue: ReviewQueue) -> Throughput:
    """Read a queue's efforts and backlog in one transaction."""
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


def backlog(session: Session) -> Sequence[BacklogStep]:
    """Return how many items waited after each stretch of time in which something happened, oldest first."""
    first, last = session.execute(select(func.min(EventRow.happened_at), func.max(EventRow.happened_at))).one()
    if first is None:
        return []
    step = step_for(last - first)
    query = select(EventRow.item_id, EventRow.kind, EventRow.happened_at).where(EventRow.kind.in_(WAITS))
    rows = session.execute(query.order_by(EventRow.happened_at, EventRow.event_id).execution_options(yield_per=10_000))
    return list(_backlog_steps(rows, first, step))


def step_for(length: timedelta) -> timedelta:
    """Return the minute, ten minutes, hour, day or week that cuts a length of time into at most 48 stretches, or a week."""
    return next((step for step in STEPS if length / step < MOST_STEPS), STEPS[-1])


def _backlog_steps(rows: Iterable[Row[tuple[int, str, datetime]]], first: datetime, step: timedelta) -> Iterable[BacklogStep]:
    waiting: set[int] = set()
    for number, group in groupby(rows, key=lambda row: (row.happened_at - first) // step):
        decided = 0
        for row in group:
            if WAITS[row.kind]:
                waiting.add(row.item_id)
            else:
                decided += row.kind == "decided"
                waiting.discard(row.item_id)
        yield BacklogStep(first + (number + 1) * step, len(waiting), decided)
