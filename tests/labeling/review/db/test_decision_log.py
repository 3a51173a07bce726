"""Tampering with the decision log is found, wherever it happens, and what an auditor gets is what was hashed."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from flows.cli.app import run_command
from labeling.review.commands import render_audit
from labeling.review.db.decision_log import COLUMNS, FIRST_HASH, audit_log, row_hash
from labeling.review.db.tables import DecisionRow
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, click, item


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
    report = audit_log(logged.database)
    assert (report.ok, report.num_decisions) == (True, 5)
    rows = list(logged.decisions_since())
    assert [row.previous_hash for row in rows[1:]] == [row.row_hash for row in rows[:-1]]
    assert report.head_hash == rows[-1].row_hash
    assert audit_log(logged.database, expected_head=rows[2].row_hash).ok


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
    report = audit_log(logged.database)
    assert not report.ok
    assert report.broken_at == broken_at
    assert problem in report.problem


def test_a_rewritten_chain_is_found_by_a_head_kept_elsewhere(logged: ReviewQueue) -> None:
    head_hash = audit_log(logged.database).head_hash
    earlier = list(logged.decisions_since())[3].row_hash

    def cut_tail(session: Session) -> None:
        session.execute(text("DELETE FROM review_decision WHERE seq = 5"))
        session.execute(text("UPDATE review_chain_head SET num_decisions = 4, row_hash = :earlier"), {"earlier": earlier})

    unguarded(logged, cut_tail)
    assert audit_log(logged.database).ok
    report = audit_log(logged.database, expected_head=head_hash)
    assert not report.ok
    assert head_hash in report.problem


@pytest.fixture
def store(tmp_path: Path, sqlite_template: Path, clock: HandClock) -> Path:
    """A root whose queue has three decisions."""
    root = tmp_path / "store"
    root.mkdir()
    (root / "review.sqlite").write_bytes(sqlite_template.read_bytes())
    with ReviewQueue(str(root / "review.sqlite"), clock=clock) as queue:
        queue.open_items([item(n) for n in range(3)])
        for number in (1, 2):
            queue.decide(number, "accept", reviewer="ada", note="a \u00e4 note", seconds=0.1)
        queue.decide(3, "correct", reviewer="bob", prompts=[click()])
    return root


def test_what_is_written_verifies_without_the_queue(store: Path, clock: HandClock) -> None:
    with ReviewQueue(str(store / "review.sqlite")) as queue:
        report = audit_log(queue.database, out=str(store / "log.jsonl"))
        audit_log(queue.database, out=str(store / "log.parquet"))
    rows = [json.loads(line) for line in (store / "log.jsonl").read_text().splitlines()]
    previous = FIRST_HASH
    for row in rows:
        assert row["previous_hash"] == previous
        assert row["decided_at"] == clock.now.isoformat(timespec="microseconds")
        previous = row_hash(previous, {**row, "decided_at": clock.now})
        assert row["row_hash"] == previous
    assert (previous, len(rows)) == (report.head_hash, 3)
    assert pq.read_table(store / "log.parquet").to_pylist() == rows
    assert set(COLUMNS) == {column.name for column in DecisionRow.__table__.columns}


@pytest.mark.parametrize(("name", "body"), [
    ("log.csv", "video,object_id\na.mp4,1\n"), ("log.jsonl", '{"video": "a.mp4"}\n'), ("log.jsonl", "years of notes"),
    ("log.parquet", "no Parquet"),
])
def test_what_another_wrote_is_not_written_over(store: Path, name: str, body: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, words = store.parent / name, ["review", "audit", f"store.root={store}", "--out"]
    path.write_text(body)
    assert run_command([*words, str(path)]) == 2
    assert "no earlier output of this command" in capsys.readouterr().err
    assert path.read_text() == body
    path.unlink()
    assert [run_command([*words, str(path)]) for _ in range(2)] == [0, 0], "its own may be replaced"


def test_the_command_says_where_a_chain_is_broken(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["review", "audit", f"store.root={store}"]
    assert run_command(words) == 0
    output = capsys.readouterr().out
    assert "whole: 3 decisions" in output
    assert run_command([*words, "--expected-head", "f" * 64]) == 1
    assert "no row has the hash ffff" in capsys.readouterr().out
    with ReviewQueue(str(store / "review.sqlite")) as queue:
        with queue.database.write() as session:
            session.execute(text("DROP TRIGGER review_decision_no_update"))
            session.execute(text("UPDATE review_decision SET note = 'other' WHERE seq = 2"))
        assert "BROKEN at row 2" in next(render_audit(audit_log(queue.database)))
    assert run_command([*words, "--out", str(store / "broken.csv")]) == 1
    assert "BROKEN at row 2: row 2 does not match its hash" in capsys.readouterr().out
    assert len((store / "broken.csv").read_text().splitlines()) == 4
