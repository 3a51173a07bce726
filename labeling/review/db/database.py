"""Opens the queue's database: SQLite file or PostgreSQL, migrated to this code's schema, with short transactions.

On SQLite a write begins IMMEDIATE, so that a claim reads what it will change under the write lock; on PostgreSQL rows
are locked as they are read. Put the SQLite file on a local disk: its write-ahead log needs shared memory.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, Engine, Row, Select, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, DisconnectionError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from labeling.errors import BadConfiguration, Unavailable
from labeling.review.db.sqlite import advice, copy_of, path_of, reading_engine, refuse_foreign, writing_engine
from labeling.review.items import WrongRevision

if TYPE_CHECKING:
    from alembic.config import Config

Columns = TypeVar("Columns", bound=tuple[object, ...])

VERSION_TABLE = "review_version"
# Revisions are numbers, and a step's file begins with its own.
MIGRATIONS = Path(__file__).parent / "migrations"
# A connection that was used a moment ago is not asked whether it is alive: that would double the round trips of a read.
IDLE_S = 5.0
# What PostgreSQL answers where a table or a column is missing.
NO_TABLE = ("42P01", "42703")
# Any constant that other programs on the same PostgreSQL server are unlikely to lock.
MIGRATION_LOCK, OPENING_LOCK = 0x5A11_0001, 0x5A11_0002
# Alembic keeps the running migration in module state, so one process migrates one database at a time.
_one_migration = threading.Lock()


class Database:
    """An engine with the two kinds of transaction that the queue uses; safe to share between threads.

    `shown_url` is what people are told instead of the engine's own, as for a copy; `cleanup` is closed with it.
    """

    def __init__(self, engine: Engine, *, shown_url: str = "", cleanup: ExitStack | None = None) -> None:
        self.engine = engine
        self.shown_url = shown_url or engine.url.render_as_string(hide_password=True)
        self._cleanup = cleanup or ExitStack()
        self.is_sqlite = engine.dialect.name == "sqlite"
        # SQLite's own waiting is a sleep without a queue; inside one process a lock is fair and faster.
        self._writer = threading.Lock() if self.is_sqlite else nullcontext()
        alone = {"begins": False} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._alone = engine.execution_options(**alone)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One transaction that sees a consistent state and changes nothing."""
        with self._named_errors(), Session(self.engine) as session:
            yield session

    def row(self, statement: Select[Columns], parameters: Mapping[str, object]) -> Row[Columns] | None:
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
        self._cleanup.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            # The plain kind is what SQLite raises of a file that is damaged or none of its own.
            absent = getattr(error.orig, "sqlstate", None) in NO_TABLE
            if type(error) not in (DatabaseError, OperationalError) and not absent:
                raise
            raise self._unavailable(error.orig) from error
        except InterfaceError as error:
            raise self._unavailable(error.orig) from error

    def _unavailable(self, error: BaseException | None) -> Unavailable:
        remedy = advice(error) if self.is_sqlite else "expected a reachable, writable database with a review queue"
        return Unavailable(f"review queue {self.shown_url} did not answer: {error}; {remedy}", "review_unavailable")

    def migrate(self) -> None:
        """Bring the schema to the newest revision; one caller migrates, the others wait and find it done."""
        with self._named_errors():
            _migrate(self.engine, self.shown_url)

    def is_current(self) -> bool:
        """Whether the schema is of the newest revision."""
        with self._named_errors(), self.engine.connect() as connection:
            return _revision(connection) == _known()[-1]


def open_database(url: str, *, reading: bool = False) -> Database:
    """Open a SQLite file (a path or sqlite:///PATH) or postgresql+psycopg://..., migrated; repeatable and safe side by side.

    With `reading` nothing is made or migrated: an SQLite file of an older revision is read from a migrated copy.
    Errors: BadConfiguration for a URL of another kind, Unavailable when the database does not answer, is damaged or another
    program's, WrongRevision when it was written by newer code (or older, to be read from PostgreSQL).
    """
    parsed = _url_of(url)
    if parsed.get_backend_name() == "sqlite":
        refuse_foreign(path_of(parsed), VERSION_TABLE)
    if reading:
        return _opened_to_read(parsed)
    database = Database(_engine_of(parsed))
    try:
        database.migrate()
    except BaseException:
        database.close()
        raise
    return database


def sqlite_file(url: str) -> Path | None:
    """Return the file that a URL names, `~` expanded; None for a server's. Nothing is opened."""
    parsed = _url_of(url)
    return path_of(parsed) if parsed.get_backend_name() == "sqlite" else None


def _opened_to_read(url: URL) -> Database:
    on_file = url.get_backend_name() == "sqlite"
    database = Database(reading_engine(url) if on_file else _engine_of(url))
    try:
        if database.is_current():
            return database
    except Unavailable as error:
        # A log that nobody has open cannot be followed where nothing may be made beside it.
        if not on_file or not any(word in str(error) for word in ("unable to open", "readonly")):
            database.close()
            raise
    database.close()
    if on_file:
        return _copied(url, database.shown_url)
    raise WrongRevision(
        f"review database {database.shown_url} is not at revision {_known()[-1]}, which this version reads: open it once to "
        "write, as `labeling review serve` or a run does, or use the version that wrote it"
    )


def _copied(url: URL, shown_url: str) -> Database:
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="labeling-review-")))
        engine = writing_engine(url.set(database=str(copy_of(path_of(url), folder))))
        cleanup.callback(engine.dispose)
        Database(engine, shown_url=shown_url).migrate()
        return Database(engine, shown_url=shown_url, cleanup=cleanup.pop_all())


def _known() -> list[str]:
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _migrate(engine: Engine, shown_url: str) -> None:
    revisions = _known()
    with engine.connect() as connection:
        if _revision(connection) == revisions[-1]:
            return
    # Imported here, because most openings find nothing to do.
    from alembic import command

    with _one_migration, engine.connect() as plain:
        connection = plain.execution_options(begin_immediate=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            _refuse_newer(_revision(connection), revisions, shown_url)
            command.upgrade(_alembic_config(connection), "head")


def _refuse_newer(revision: str | None, revisions: list[str], shown_url: str) -> None:
    if revision is not None and revision not in revisions:
        raise WrongRevision(
            f"review database {shown_url} is at revision {revision!r}; expected one of {', '.join(revisions)}: use the "
            "version of samurai-labeling that wrote it, or a newer one"
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
        return writing_engine(url)
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

    def given_back(_raw: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    def taken_out(raw: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        if time.monotonic() - record.info.get("used_at", float("-inf")) < IDLE_S:
            return
        try:
            engine.dialect.do_ping(raw)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error

    event.listen(engine, "checkin", given_back)
    event.listen(engine, "checkout", taken_out)
