"""SHA-256 of local files, remembered by path, size and modification time in one small SQLite file of the user's cache.

The memory is an aid and never a need: where it cannot be read or written, files are read again, and a log line says so.
"""

import contextlib
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

_SCHEMA = """CREATE TABLE IF NOT EXISTS digests (
    folder TEXT, name TEXT, num_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (folder, name)) WITHOUT ROWID"""
_PENDING_AT_MOST = 256
Known = tuple[int, int, str]  # length in bytes, modification time in ns, SHA-256
# A file that changed this recently could change again within one tick of its clock, unseen.
_SETTLED_AFTER_NS = 2_000_000_000


def cache_folder() -> Path:
    """Where this project keeps what it can make again: $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "samurai-labeling"


class Digests:
    """The memory of digests; a context manager that writes what is new at the end. Many processes may share the file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_folder() / "file-digests.sqlite"
        self._connection: sqlite3.Connection | None = None
        self._pending: dict[tuple[str, str], Known] = {}
        self._asked_folder = ""  # the folder last asked about, and from the second time on, all that is known of it
        self._of_folder: dict[str, Known] | None = None

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._opened()
        except (OSError, sqlite3.Error) as error:
            log.warning("%s: digests of videos are not remembered (%s); set XDG_CACHE_HOME to a folder", self._path, error)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._flush()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def of(self, path: str | Path) -> str:
        """The file's SHA-256 in hex, read only where size or modification time are not those remembered."""
        entry, status = os.path.split(os.path.abspath(path)), os.stat(path)
        known = self._known(entry)
        if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
            return known[2]
        with open(path, "rb") as reader:
            sha256 = hashlib.file_digest(reader, "sha256").hexdigest()
        if time.time_ns() - status.st_mtime_ns > _SETTLED_AFTER_NS:
            self._pending[entry] = (status.st_size, status.st_mtime_ns, sha256)
        if len(self._pending) >= _PENDING_AT_MOST:
            self._flush()
        return sha256

    def _known(self, entry: tuple[str, str]) -> Known | None:
        folder, name = entry
        if entry in self._pending or self._connection is None:
            return self._pending.get(entry)
        try:
            if folder != self._asked_folder:
                self._asked_folder, self._of_folder = folder, None
                return next(self._rows("folder = ? AND name = ?", entry), (None, None))[1]
            if self._of_folder is None:
                # One query for a folder's files costs a hundredth of one for each.
                self._of_folder = dict(self._rows("folder = ?", (folder,)))
        except sqlite3.Error as error:
            self._given_up(error)
            return None
        return self._of_folder.get(name)

    def _rows(self, condition: str, values: tuple[str, ...]) -> Iterator[tuple[str, Known]]:
        assert self._connection is not None
        query = f"SELECT name, num_bytes, mtime_ns, sha256 FROM digests WHERE {condition}"
        for name, num_bytes, mtime_ns, sha256 in self._connection.execute(query, values):
            yield name, (num_bytes, mtime_ns, sha256)

    def _flush(self) -> None:
        pending, self._pending = self._pending, {}
        if self._connection is None or not pending:
            return
        try:
            with self._connection:
                rows = [(*entry, *known) for entry, known in pending.items()]
                self._connection.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._given_up(error)

    def _opened(self) -> sqlite3.Connection:
        try:
            return _connected(self._path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked or not writable, but not broken
                raise
            log.warning("%s is broken (%s); it is made anew", self._path, error)
            self._path.unlink(missing_ok=True)
            return _connected(self._path)

    def _given_up(self, error: sqlite3.Error) -> None:
        log.warning("%s: digests of videos are not remembered from here on (%s)", self._path, error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connected(path: Path) -> sqlite3.Connection:
    # A listing may be read on by another thread than the one that began it, but never by two at once.
    connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        with connection:
            connection.execute(_SCHEMA)
        connection.execute("SELECT name FROM digests LIMIT 1").fetchone()
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise
    return connection
