"""The queue in an SQLite file: for its owner alone, with a write-ahead log, and read without leaving anything behind.

What goes wrong with the file is told in words that say what to do.
"""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from labeling.errors import Denied, Unavailable

BUSY_TIMEOUT_S = 30.0
# Who only looks does not wait for long: nothing but an exclusive lock stops a reader.
READ_TIMEOUT_S = 5.0
# What SQLite says, and what somebody can do about it.
_ADVICE = (
    ("not a database", "it is no SQLite file; move it away, or give another place with run.review_url=PATH"),
    ("malformed", "it is damaged; put a copy of it back, or save what is left with: sqlite3 FILE .recover"),
    ("no such table", "it holds other tables than a review queue; give another place with run.review_url=PATH"),
    ("no such column", "it holds other tables than a review queue; give another place with run.review_url=PATH"),
    ("readonly", "it can be read but not written to; correct the rights of the file and its folder"),
    ("unable to open", "correct the rights of the file and its folder, or give another place with run.review_url=PATH"),
    ("locked", "another program holds it; end that program, or try again once it is done"),
    ("disk i/o", "look at the disk; a network folder is no place for it: give another with run.review_url=PATH"),
    ("full", "make room on its disk"),
)


def path_of(url: URL) -> Path:
    """The file that a URL names."""
    return Path(str(url.database)).expanduser()


def advice(error: BaseException | None) -> str:
    """What to do about an error of SQLite."""
    message = str(error).lower()
    return next((remedy for word, remedy in _ADVICE if word in message), "expected a reachable, writable database")


def cannot_open(path: Path, error: OSError) -> Unavailable:
    """An error of the file system as one of the queue."""
    kind = Denied if isinstance(error, PermissionError) else Unavailable
    return kind(
        f"review queue {path.absolute()} cannot be opened: {error.strerror or error}; give another place with "
        "run.review_url=PATH, or correct the rights of this one", "review_unavailable",
    )


def writing_engine(url: URL) -> Engine:
    """An engine on the file, made where there is none: what people decided, and who, is for its owner's eyes alone."""
    path = path_of(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # SQLite gives its -wal and -shm the rights of the file.
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
        elif not (_writable(path) and _writable(path.parent)):
            # Opened all the same, it would answer until somebody decides something.
            raise Unavailable(
                f"review queue {path.absolute()} can be read but not written to: correct the rights of the file and its "
                "folder (`labeling review list`, `show` and `stats` read it as it is)", "review_unavailable",
            )
    except OSError as error:
        raise cannot_open(path, error) from error
    engine = create_engine(
        url.set(database=str(path)), pool_size=20, max_overflow=20, connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def reading_engine(url: URL) -> Engine:
    """An engine that only reads and makes no file; Unavailable where there is none to read."""
    path = path_of(url)
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise cannot_open(path, error) from error
    engine = create_engine(url.set(database=str(path)), creator=lambda: connected_to_read(path))
    event.listen(engine, "begin", _begin)
    return engine


def refuse_foreign(path: Path, table: str) -> None:
    """Refuse a database with tables among which `table` is not, before anything is changed in it."""
    try:
        if not path.is_file():
            return
        with closing(connected_to_read(path)) as connection:
            names = {name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (OSError, sqlite3.Error):
        # Whoever opens it next says what is wrong with it.
        return
    if names and table not in names:
        raise Unavailable(
            f"review queue {path.absolute()} is another program's database (its tables: {', '.join(sorted(names)[:5])[:200]}); "
            "give another place with run.review_url=PATH", "review_unavailable",
        )


def connected_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; while no log lies beside the file nobody uses it, and none is made for us."""
    alone = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro{alone}", uri=True, timeout=READ_TIMEOUT_S, check_same_thread=False
    )
    connection.isolation_level = None
    return connection


def copy_of(path: Path, folder: Path) -> Path:
    """A copy to read from, whole also while others write; where the log cannot be followed, of the files as they lie."""
    copy = folder / "queue.sqlite"
    try:
        with closing(connected_to_read(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except sqlite3.OperationalError:
        copy.unlink(missing_ok=True)
        try:
            for suffix in ("", "-wal"):
                if Path(f"{path}{suffix}").exists():
                    shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        except OSError as error:
            raise cannot_open(path, error) from error
    return copy


def _set_up(raw: sqlite3.Connection, _record: object) -> None:
    # None: the driver must not begin transactions behind our back; `_begin` does.
    raw.isolation_level = None
    raw.execute("PRAGMA foreign_keys=ON")
    _switch_to_wal(raw)
    # FULL, so that a decision that was answered survives a power cut, not only a killed process.
    raw.execute("PRAGMA synchronous=FULL")


def _switch_to_wal(raw: sqlite3.Connection) -> None:
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


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("begins", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("begin_immediate") else "BEGIN")
