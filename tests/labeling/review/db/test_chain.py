"""Tampering with the decision log is found, wherever it happens."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from labeling.review.quality.audit import audit
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import click, item


@pytest.fixture
def logged(queue: ReviewQueue) -> ReviewQueue:
    """A queue with five decisions, one of them a correction."""
    queue.open_items([item(n) for n in range(5)])
    for number in range(1, 5):
        queue.decide(number, "accept", reviewer="ada", note=f"note {number}", seconds=0.1 * number)
    queue.decide(5, "correct", reviewer="bob", prompts=[click()])
    return queue


def unguarded(queue: ReviewQueue, change: Callable[[Session], object]) -> None:
    """Change the log as somebody would who owns the database."""
    with queue.database.write() as session:
        if queue.database.is_sqlite:
            session.execute(text("DROP TRIGGER review_decision_no_update"))
            session.execute(text("DROP TRIGGER review_decision_no_delete"))
        else:
            session.execute(text("SET LOCAL session_replication_role = replica"))
        change(session)


def test_a_whole_log_verifies(logged: ReviewQueue) -> None:
    report = audit(logged)
    assert (report.ok, report.num_decisions) == (True, 5)
    rows = list(logged.decisions_since())
    assert [row.previous_hash for row in rows[1:]] == [row.row_hash for row in rows[:-1]]
    assert report.head_hash == rows[-1].row_hash
    assert audit(logged, expected_head=rows[2].row_hash).ok


@pytest.mark.parametrize(
    ("statement", "broken_at", "problem"),
    [
        ("UPDATE review_decision SET action = 'reject' WHERE seq = 2", 2, "content was changed"),
        ("UPDATE review_decision SET reviewer = 'eve' WHERE seq = 3", 3, "content was changed"),
        ("UPDATE review_decision SET seconds = 0.25 WHERE seq = 4", 4, "content was changed"),
        ("UPDATE review_decision SET prompts = '[]' WHERE seq = 5", 5, "content was changed"),
        ("UPDATE review_decision SET label_version = 9 WHERE seq = 1", 1, "content was changed"),
        ("DELETE FROM review_decision WHERE seq = 3", 3, "row 3 is missing"),
        ("DELETE FROM review_decision WHERE seq = 5", 5, "ends after 4 rows; expected 5"),
        ("UPDATE review_decision SET seq = 6 WHERE seq = 5", 5, "row 5 is missing"),
        ("UPDATE review_decision SET previous_hash = row_hash WHERE seq = 2", 2, "as the hash before it"),
    ],
)
def test_tampering_is_found(logged: ReviewQueue, statement: str, broken_at: int, problem: str) -> None:
    unguarded(logged, lambda session: session.execute(text(statement)))
    report = audit(logged)
    assert not report.ok
    assert report.broken_at == broken_at
    assert problem in report.problem


def test_a_rewritten_chain_is_found_by_a_head_kept_elsewhere(logged: ReviewQueue) -> None:
    kept = audit(logged).head_hash
    earlier = list(logged.decisions_since())[3].row_hash

    def cut_tail(session: Session) -> None:
        session.execute(text("DELETE FROM review_decision WHERE seq = 5"))
        session.execute(text("UPDATE review_chain_head SET num_decisions = 4, row_hash = :earlier"), {"earlier": earlier})

    unguarded(logged, cut_tail)
    assert audit(logged).ok
    report = audit(logged, expected_head=kept)
    assert not report.ok
    assert kept in report.problem
