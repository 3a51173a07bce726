"""The schema: made from nothing, again, side by side, refused when newer, the same as the typed tables, and append-only."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from labeling.errors import BadConfiguration, Unavailable
from labeling.review.db.database import VERSION_TABLE, open_database
from labeling.review.db.decision_log import audit_log
from labeling.review.db.tables import Base
from labeling.review.items import WrongRevision
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import item

OPEN_IN_FORKS = """
import os, sys
from alembic import command
from labeling.review.db.database import open_database
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        open_database(sys.argv[1])
        os._exit(0)
    children.append(pid)
print([os.waitpid(pid, 0)[1] for pid in children])
"""


def test_migrations_make_what_the_tables_say(empty_url: str) -> None:
    database = open_database(empty_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_opening_again_keeps_what_is_there(empty_url: str) -> None:
    with ReviewQueue(empty_url) as first:
        first.open_items([item(1)])
    with ReviewQueue(empty_url) as second:
        assert len(second.list()) == 1


def test_threads_may_open_a_new_database_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        queues = list(threads.map(ReviewQueue, [empty_url] * 8))
    assert [audit_log(queue.database).ok for queue in queues] == [True] * 8
    for queue in queues:
        queue.close()


def test_processes_may_open_a_new_database_at_once(empty_url: str) -> None:
    command = [sys.executable, "-c", OPEN_IN_FORKS, empty_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[0, 0, 0, 0]", done.stderr
    with ReviewQueue(empty_url) as queue:
        assert audit_log(queue.database).ok


def test_a_database_of_newer_code_is_refused(queue_url: str) -> None:
    database = open_database(queue_url)
    with database.write() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    try:
        with pytest.raises(WrongRevision, match="'9999'; expected one of 0001, 0002, 0003, 0004, 0005"):
            open_database(queue_url)
    finally:
        with database.write() as session:
            session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0005'"))
        database.close()


@pytest.mark.parametrize("table", ["review_decision", "review_event"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET item_id = 2"])
def test_the_logs_take_no_change(queue: ReviewQueue, table: str, change: str) -> None:
    queue.open_items([item(1)])
    queue.decide(1, "accept", reviewer="ada")
    with pytest.raises(DBAPIError, match=f"{table} is append-only"), queue.database.write() as session:
        session.execute(text(change.format(table)))


def test_a_failed_write_leaves_nothing(queue: ReviewQueue) -> None:
    queue.open_items([item(1)])

    def fail_half_way() -> None:
        with queue.database.write() as session:
            session.execute(text("UPDATE review_item SET risk = 0.99"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert queue.get(1).risk == 0.5


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "review url is ''"),
        ("sqlite://", "a queue in memory forgets decisions"),
        ("mysql://me:secret@host/db", r"mysql://me:\*\*\*@host/db"),
        ("http://[", "review url is"),
    ],
)
def test_a_url_of_another_kind_is_refused(url: str, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        open_database(url)


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite").mkdir()
    with pytest.raises(Unavailable, match=r"queue\.sqlite did not answer"):
        open_database(str(tmp_path / "queue.sqlite"))
    with pytest.raises(Unavailable) as refused:
        open_database(f"postgresql://me:secret@/labels?host={tmp_path}")
    assert "secret" not in str(refused.value)
    assert refused.value.reason == "review_unavailable"
