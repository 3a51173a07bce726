"""Runs the queue's tests on SQLite and, where its server is installed, on a private PostgreSQL."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from labeling.review.db.database import open_database
from labeling.review.db.decision_log import FIRST_HASH
from labeling.review.db.tables import Base
from labeling.review.queue import ReviewQueue
from tests.labeling.review.postgres import missing, postgres_server, url_of
from tests.labeling.review.samples import HandClock


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """The folder of a private server's socket; the server goes with the session."""
    if missing():
        pytest.skip(missing())
    with postgres_server() as socket:
        yield socket


@pytest.fixture(scope="session")
def postgres_queue(postgres_socket: str) -> str:
    """The URL of a migrated database that tests share, one after another."""
    admin = create_engine(url_of(postgres_socket, "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE shared"))
    admin.dispose()
    open_database(url_of(postgres_socket, "shared")).close()
    return url_of(postgres_socket, "shared")


def _emptied(url: str) -> str:
    """Empty every table; as a replica's session, since the logs' triggers refuse it otherwise."""
    tables = ", ".join(sorted(set(Base.metadata.tables) - {"review_chain_head"}))
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        connection.execute(text(f"UPDATE review_chain_head SET num_decisions = 0, row_hash = '{FIRST_HASH}'"))
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty file that tests start from."""
    path = tmp_path_factory.mktemp("review") / "migrated.sqlite"
    open_database(str(path)).close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table, on each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'queue.sqlite'}"
        return
    socket, name = request.getfixturevalue("postgres_socket"), f"q{uuid.uuid4().hex[:12]}"
    admin = create_engine(url_of(socket, "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url_of(socket, name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty queue, on each kind in turn."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "queue.sqlite")
        yield f"sqlite:///{tmp_path / 'queue.sqlite'}"
        return
    yield _emptied(request.getfixturevalue("postgres_queue"))


@pytest.fixture
def clock() -> HandClock:
    """A clock that the test moves."""
    return HandClock()


@pytest.fixture
def open_queue(queue_url: str, clock: HandClock) -> Iterator[Callable[[], ReviewQueue]]:
    """Opens the test's queue, as often as asked; all are closed at the end."""
    opened: list[ReviewQueue] = []

    def open_one() -> ReviewQueue:
        opened.append(ReviewQueue(queue_url, clock=clock))
        return opened[-1]

    yield open_one
    for queue in opened:
        queue.close()


@pytest.fixture
def queue(open_queue: Callable[[], ReviewQueue]) -> ReviewQueue:
    """An empty queue."""
    return open_queue()
