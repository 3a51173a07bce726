"""Opens the queue's database: SQLite file or PostgreSQL, migrated to this code's schema, with short transactions.

On SQLite a write begins IMMEDIATE, so that a claim reads what it will change under the write lock; on PostgreSQL rows
are locked as they are read. Put the SQLite file on a local disk: its write-ahead log needs shared memory.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Executable, Row, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from labeling.errors import BadConfiguration, Unavailable
from labeling.review.errors import WrongRevision

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "review_version"
# Revisions are numbers, and a step's file begins with its own.
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30.0
# A connection that was used a moment ago is not asked whether it is alive: that would double the round trips of a read.
IDLE_S = 5.0
# Any constant that other programs on the same PostgreSQL server are unlikely to lock.
MIGRATION_LOCK, OPENING_LOCK = 0x5A11_0001, 0x5A11_0002
# Alembic keeps the running migration in module state, so one process migrates one database at a time.
_one_migration = threading.Lock()


class Database:
    """An engine with the two kinds of transaction that the queue uses; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        # SQLite's own waiting is a sleep without a queue; inside one process a lock is fair and faster.
        self._writer = threading.Lock() if self.is_sqlite else nullcontext()
        alone: dict[str, Any] = {"begins": False} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._alone = engine.execution_options(**alone)

    @property
    def shown_url(self) -> str:
        """The URL with its password hidden."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One transaction that sees a consistent state and changes nothing."""
        with self._named_errors(), Session(self.engine) as session:
            yield session

    def row(self, statement: Executable, parameters: Mapping[str, Any]) -> Row[Any] | None:
        """The first row of one statement that reads, without a transaction around it."""
        with self._named_errors(), self._alone.connect() as connection:
            return connection.execute(statement, parameters).first()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction that commits when the block ends and leaves nothing when it raises."""
        with self._named_errors(), self._writer, self.engine.connect() as plain:
            connection = plain.execution_options(begin_immediate=True)
            with Session(connection, expire_on_commit=False) as session, session.begin():
                yield session

    def lock_opening(self, session: Session) -> None:
        """Let one transaction at a time open items; SQLite's write lock already does."""
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": OPENING_LOCK})

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise Unavailable(
                f"review queue {self.shown_url} did not answer: {error.orig}; expected a reachable, writable database",
                "review_unavailable",
            ) from error


def open_database(url: str) -> Database:
    """Open a SQLite file (a path or sqlite:///PATH) or postgresql+psycopg://..., migrated; repeatable and safe side by side.

    Errors: BadConfiguration for a URL of another kind, Unavailable when the database does not answer, WrongRevision when
    it was written by newer code.
    """
    database = Database(_engine_of(_url_of(url)))
    try:
        with database._named_errors():
            migrate(database.engine)
    except BaseException:
        database.close()
        raise
    return database


def sqlite_file(url: str) -> Path | None:
    """Return the file that a URL names, `~` expanded; None for a server's. Nothing is opened."""
    parsed = _url_of(url)
    return Path(str(parsed.database)).expanduser() if parsed.get_backend_name() == "sqlite" else None


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision; one caller migrates, the others wait and find it done."""
    known = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    with engine.connect() as connection:
        if _revision(connection) == known[-1]:
            return
    # Imported here, because most openings find nothing to do.
    from alembic import command

    with _one_migration, engine.connect() as plain:
        connection = plain.execution_options(begin_immediate=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            _refuse_newer(_revision(connection), known)
            command.upgrade(_alembic_config(connection), "head")


def _refuse_newer(revision: str | None, known: list[str]) -> None:
    if revision is not None and revision not in known:
        raise WrongRevision(
            f"review database is at revision {revision!r}; expected one of {', '.join(known)}: use the version of "
            "samurai-labeling that wrote it, or a newer one"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()


def _alembic_config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _url_of(url: str) -> URL:
    if not url:
        raise BadConfiguration("review url is ''; expected a path, sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME")
    try:
        # A path as it is: in a URL, `?` would begin a query.
        parsed = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    except ArgumentError as error:
        raise BadConfiguration(f"review url is {url!r}; expected sqlite:///PATH or postgresql+psycopg://...") from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise BadConfiguration(f"review url is {url!r}; expected a file: a queue in memory forgets decisions")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        shown = parsed.render_as_string(hide_password=True)
        raise BadConfiguration(f"review url is {shown!r}; expected sqlite:///PATH or postgresql+psycopg://...")
    return parsed


def _engine_of(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    try:
        engine = create_engine(url, pool_size=20, max_overflow=20)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise BadConfiguration(
            f"review url asks for {url.drivername}, which is not installed ({error}); install samurai-labeling[postgres]"
        ) from error
    _ask_idle_connections(engine)
    return engine


def _ask_idle_connections(engine: Engine) -> None:
    """Make the pool replace connections that died while nobody used them, as when the server was started again."""

    def given_back(_raw: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    def taken_out(raw: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used_at", float("-inf")) < IDLE_S:
            return
        try:
            engine.dialect.do_ping(raw)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error

    event.listen(engine, "checkin", given_back)
    event.listen(engine, "checkout", taken_out)


def _sqlite_engine(url: URL) -> Engine:
    path = Path(str(url.database)).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url.set(database=str(path)), pool_size=20, max_overflow=20, connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(raw: Any, _record: Any) -> None:
    # None: the driver must not begin transactions behind our back; `_begin_sqlite` does.
    raw.isolation_level = None
    raw.execute("PRAGMA foreign_keys=ON")
    _switch_to_wal(raw)
    # FULL, so that a decision that was answered survives a power cut, not only a killed process.
    raw.execute("PRAGMA synchronous=FULL")


def _switch_to_wal(raw: Any) -> None:
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # The switch does not wait for other first openers by itself.
            if "locked" not in str(error) or time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("begins", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("begin_immediate") else "BEGIN")
