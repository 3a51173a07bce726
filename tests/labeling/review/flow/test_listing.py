"""Lists, filters and counts, and that they are what the items say."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Select, select, text
from sqlalchemy.dialects import sqlite

from labeling.review.db.database import MIGRATION_LOCK, _alembic_config, open_database
from labeling.review.db.tables import ItemRow, ReasonRow
from labeling.review.flow.listing import ItemFilter, item_counts, ranked
from labeling.review.gold import Gold, GoldTruth
from labeling.review.items import ItemStatus
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, item, video_id

FILTERS = [
    ItemFilter(),
    ItemFilter(reason="swap"),
    ItemFilter(category="car"),
    ItemFilter(run_id="run-1"),
    ItemFilter(category="car", run_id="run-1"),
    ItemFilter(reason="swap", category="car", run_id="run-1"),
    ItemFilter(ItemStatus.DECIDED, reason="swap"),
]


def plan_of(path: Path, query: "Select[object]") -> list[str]:
    database = open_database(str(path))
    compiled = query.limit(100).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").fetchall()
    database.close()
    return [row[-1] for row in rows]


@pytest.mark.parametrize("item_filter", FILTERS, ids=str)
def test_every_filter_walks_an_index_in_order(sqlite_template: Path, item_filter: ItemFilter) -> None:
    steps = plan_of(sqlite_template, ranked(item_filter))
    assert all(step.startswith("SEARCH") for step in steps), steps
    assert any("ix_review_item" in step for step in steps), steps


def test_a_mix_with_a_reason_looks_at_no_item_that_it_leaves_out(sqlite_template: Path) -> None:
    first, *rest = plan_of(sqlite_template, ranked(ItemFilter(reason="swap", category="car", run_id="run-1")))
    assert "COVERING INDEX ix_review_item_reason_rank" in first
    assert rest == ["SEARCH review_item USING INTEGER PRIMARY KEY (rowid=?)"]


def test_pages_of_any_status_are_one_order(queue: ReviewQueue) -> None:
    queue.open_items([item(n, risk=n / 20, priority=n % 2) for n in range(20)])
    for number in range(1, 6):
        queue.decide(number, "accept", reviewer="ada")
    queue.claim("ada")
    pages = [queue.list(None, limit=7, offset=offset) for offset in (0, 7, 14, 21)]
    ranks = [(-i.priority, -i.risk) for page in pages for i in page]
    assert len(ranks) == 20
    assert ranks == sorted(ranks)
    assert len({i.item_id for page in pages for i in page}) == 20


def counted(queue: ReviewQueue) -> dict[tuple[str, str], dict[str, int]]:
    """What the tally should say, from the items themselves."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    with queue.database.read() as session:
        for row in session.scalars(select(ItemRow)):
            for facet, name in (("status", ""), ("category", row.category), ("run", row.run_id)):
                if name is not None:
                    counts.setdefault((facet, row.status), Counter())[name] += 1
        for reason in session.scalars(select(ReasonRow)):
            counts.setdefault(("reason", reason.status), Counter())[reason.reason] += 1
    return {key: dict(names) for key, names in counts.items()}


def kept(queue: ReviewQueue) -> dict[tuple[str, str], dict[str, int]]:
    with queue.database.read() as session:
        return {key: dict(names) for key, names in item_counts(session).sums.items()}


def test_what_happens_to_items_is_counted(queue: ReviewQueue, clock: HandClock) -> None:
    mixed = [("car" if number % 2 else None, ("swap", "leak")[:number % 3]) for number in range(9)]
    queue.open_items(item(number, category=category, reasons=why) for number, (category, why) in enumerate(mixed))
    assert kept(queue) == counted(queue)
    assert kept(queue)["status", "open"] == {"": 9}
    for step in range(4):
        lease = queue.claim("ada", lease_s=60)
        assert lease is not None
        if step % 2:
            queue.decide(lease, "reject")
        assert kept(queue) == counted(queue)
    clock.pass_s(61)
    assert queue.claim("bob") is not None
    queue.open_items([item(8, category="bus", reasons=("flicker",)), item(7, version=2)])
    queue.withdraw([(video_id(6), "7", 1)], because="clear")
    Gold(queue).add(next(entry.item_id for entry in queue.list("decided")), GoldTruth(True, {}, "known"))
    assert kept(queue) == counted(queue)
    assert queue.counts()[ItemStatus.CLOSED] > 0


def test_a_queue_of_before_is_counted_when_it_is_opened(queue: ReviewQueue, open_queue: Callable[[], ReviewQueue]) -> None:
    queue.open_items([item(1), item(2, category="car")])
    with queue.database.engine.connect().execution_options(begin_immediate=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        command.downgrade(_alembic_config(connection), "0003")
    again = open_queue()
    assert kept(again) == counted(again)
    again.claim("ada")
    assert kept(again) == counted(again)
