"""Pages and claims of a long queue come by index: no scan of all items, no sorting of them."""

from pathlib import Path

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

from labeling.review.db.database import open_database
from labeling.review.flow.listing import ItemFilter, ranked
from labeling.review.items import ItemStatus
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import item

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


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_every_filter_walks_an_index_in_order(sqlite_template: Path, wanted: ItemFilter) -> None:
    steps = plan_of(sqlite_template, ranked(wanted))
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
