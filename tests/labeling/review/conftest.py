"""Runs the queue's tests on SQLite and, where its server is installed, on a private PostgreSQL."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from labeling.review.chain import FIRST_HASH
from labeling.review.database import open_database
from labeling.review.queue import ReviewQueue
from labeling.review.tables import Base
from tests.labeling.review.samples import HandClock


def _server_folder() -> Path | None:
    on_path = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates = [*folders, *([Path(on_path).parent] if on_path else [])]
    return next((f for f in candidates if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _as_server_user(folder: Path) -> list[str]:
    """The command prefix that leaves root behind: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    return ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """The folder of a private server's socket; the server listens nowhere else and goes with the session."""
    binaries = _server_folder()
    if binaries is None:
        pytest.skip("needs PostgreSQL's initdb and postgres (Debian: apt-get install postgresql)")
    if os.geteuid() == 0 and (shutil.which("runuser") is None or not _has_user("postgres")):
        pytest.skip("needs the user postgres and runuser: PostgreSQL refuses to run as root")
    folder = Path(tempfile.mkdtemp(prefix="review-pg-", dir="/tmp"))
    prefix = _as_server_user(folder)
    server: subprocess.Popen[bytes] | None = None
    try:
        command = [*prefix, str(binaries / "initdb"), "-D", str(folder / "cluster"), "-A", "trust", "-U", "postgres"]
        subprocess.run([*command, "-E", "UTF8", "--no-sync", "--locale=C"], check=True, capture_output=True, cwd=folder)
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            server = subprocess.Popen(
                [*prefix, str(binaries / "postgres"), "-D", str(folder / "cluster"), "-k", str(folder),
                 "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"],
                stdout=log, stderr=log, cwd=folder,
            )
        _wait_for(str(folder), server)
        yield str(folder)
    finally:
        if server is not None:
            _stop(folder, server)
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


def _has_user(name: str) -> bool:
    return any(line.startswith(f"{name}:") for line in Path("/etc/passwd").read_text().splitlines())


def _url(socket: str, database: str) -> str:
    return f"postgresql+psycopg://postgres@/{database}?host={socket}"


def _wait_for(socket: str, server: "subprocess.Popen[bytes]") -> None:
    engine = create_engine(_url(socket, "postgres"))
    deadline_s = time.monotonic() + 60
    while True:
        try:
            with engine.connect():
                return
        except OperationalError:
            if server.poll() is not None or time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        finally:
            engine.dispose()


def _stop(folder: Path, server: "subprocess.Popen[bytes]") -> None:
    # runuser stands between us and the server, so the server's own pid file says whom to tell.
    pid_file = folder / "cluster" / "postmaster.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
    else:
        server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="session")
def postgres_queue(postgres_socket: str) -> str:
    """The URL of a migrated database that tests share, one after another."""
    admin = create_engine(_url(postgres_socket, "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE shared"))
    admin.dispose()
    open_database(_url(postgres_socket, "shared")).close()
    return _url(postgres_socket, "shared")


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
    admin = create_engine(_url(socket, "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield _url(socket, name)
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
