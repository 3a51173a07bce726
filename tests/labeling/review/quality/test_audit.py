"""The log on its way to an auditor: what is written is what was hashed, and a broken chain is named."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from flows.cli.app import run_command
from labeling.review.db.chain import FIRST_HASH, row_hash
from labeling.review.db.tables import DecisionRow
from labeling.review.quality.audit import COLUMNS, audit, render_audit
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, click, item


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
        report = audit(queue, out=str(store / "log.jsonl"))
        audit(queue, out=str(store / "log.parquet"))
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
    told = capsys.readouterr().out
    assert "whole: 3 decisions" in told
    assert run_command([*words, "--expected-head", "f" * 64]) == 1
    assert "no row has the hash ffff" in capsys.readouterr().out
    with ReviewQueue(str(store / "review.sqlite")) as queue:
        with queue.database.write() as session:
            session.execute(text("DROP TRIGGER review_decision_no_update"))
            session.execute(text("UPDATE review_decision SET note = 'other' WHERE seq = 2"))
        assert "BROKEN at row 2" in next(render_audit(audit(queue)))
    assert run_command([*words, "--out", str(store / "broken.csv")]) == 1
    assert "BROKEN at row 2: row 2 does not match its hash" in capsys.readouterr().out
    assert len((store / "broken.csv").read_text().splitlines()) == 4
