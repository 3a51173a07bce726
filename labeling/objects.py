"""Objects by key under one root, the same whether the root is a folder or `s3://bucket/prefix`.

Keys are relative to the root, with `/` between parts, in the byte order of UTF-8 when listed. An etag says that an object
is still the one that was seen.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from labeling.errors import BadConfiguration, Denied, LabelingError, Unavailable
from labeling.files import beside_name, is_left, written_beside
from labeling.objects_contract import Objects, ObjectStat, check_key, is_hidden, local_path, map_objects, missing, split_uri

__all__ = ["FolderObjects", "ObjectStat", "Objects", "check_key", "map_objects", "open_objects", "split_uri"]

log = logging.getLogger(__name__)

_LOCK_NAME = ".~lock.beside"
_CHUNK_BYTES = 1 << 20
# A disk that is full or away may be back on the next attempt; anything else about a path is the user's to mend.
_DISK, _FILE = "free or mount the disk and run again", "expected a file there: move away what is"
_PASSING = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT), _DISK),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP), _FILE),
}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def _etag_of(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


class FolderObjects:
    """Objects as files of a folder, which is made when first written to.

    An etag is made of modification time, length and inode, so no listing reads a file; writers here stamp the time in
    nanoseconds, which keeps two quick writes apart.
    """

    def __init__(self, root: str | Path, *, unavailable: str = "store_unavailable") -> None:
        self.root = os.path.abspath(os.path.expanduser(root))
        self._unavailable = unavailable
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise BadConfiguration(f"{self.root} is a file; expected a folder or s3://bucket/prefix")

    def __repr__(self) -> str:
        return f"FolderObjects({self.root!r})"

    def uri(self, key: str) -> str:
        return f"{self.root.rstrip('/')}/{key}"

    def _path(self, key: str) -> Path:
        return Path(self.root, check_key(key))

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        top = prefix.rpartition("/")[0]
        if top:
            check_key(top)
        folder = os.path.join(self.root, top)
        # Of a source, what may not be read is passed over, and said; a store must not look emptier than it is.
        lenient = self._unavailable == "source_unavailable"
        with self._passing_named(top):
            yield from _walk(folder, f"{top}/" if top else "", prefix, frozenset(), lenient=lenient)

    def stat(self, key: str) -> ObjectStat | None:
        path = self._path(key)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if path.is_dir() else ObjectStat(key, status.st_size, _etag_of(status), status.st_mtime)

    def get(self, key: str) -> bytes:
        with self._opened(key) as reader:
            return reader.read()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        with self._opened(key) as reader:
            reader.seek(start)
            return reader.read(max(0, stop - start))

    def download(self, key: str, path: Path) -> None:
        with self._opened(key) as reader, written_beside(path) as beside, beside.open("wb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK_BYTES)

    def put(self, key: str, body: bytes) -> str:
        return self._write(key, body)

    def put_file(self, key: str, path: Path) -> str:
        return self._write(key, path)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        target = self._path(key)
        if target.is_dir():
            raise Unavailable(f"{self.uri(key)} is a folder; expected a file: move it away", self._unavailable)
        if target.exists():
            return False
        if target.is_symlink():
            raise Unavailable(f"{self.uri(key)} is a link that leads nowhere; move it away", self._unavailable)
        with self._staged(key, body) as beside:
            try:
                os.link(beside, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                    raise
                return self._renamed_if_absent(beside, target)
        return True

    def put_if_match(self, key: str, body: bytes, etag: str) -> bool:
        with self._staged(key, body) as beside, self._locked():
            current = self.stat(key)
            if current is None or current.etag != etag:
                return False
            os.replace(beside, self._path(key))
        return True

    def delete(self, key: str) -> None:
        path = self._path(key)
        if os.path.lexists(path):
            with self._locked():
                path.unlink(missing_ok=True)

    def sweep(self) -> int:
        swept = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    if is_hidden(name) and is_left(name, time.time() - os.lstat(path).st_mtime):
                        os.unlink(path)
                        swept += 1
        return swept

    def _write(self, key: str, content: bytes | Path) -> str:
        with self._staged(key, content) as beside, self._locked():
            etag = _etag_of(beside.stat())
            os.replace(beside, self._path(key))
        return etag

    def _renamed_if_absent(self, beside: Path, target: Path) -> bool:
        """For file systems without hard links: as good as `os.link` among writers that share the lock."""
        with self._locked():
            if target.exists():
                return False
            os.replace(beside, target)
        return True

    @contextlib.contextmanager
    def _staged(self, key: str, content: bytes | Path) -> Iterator[Path]:
        """Give a synced file beside the key's with the content; what is still there at the end is removed."""
        target = self._path(key)
        beside = target.with_name(beside_name())
        with self._passing_named(key):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_synced(beside, content)
                yield beside
            finally:
                beside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the root's lock for the instant of a rename, so that compare and set cannot lose a plain write."""
        with open(os.path.join(self.root, _LOCK_NAME), "ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _opened(self, key: str) -> BinaryIO:
        with self._passing_named(key):
            path = self._path(key)
            try:
                if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # opening a pipe would wait for ever
                    raise Unavailable(f"{self.uri(key)} is no ordinary file; expected one: move it away", self._unavailable)
                return path.open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise missing(self.uri(key)) from error

    @contextlib.contextmanager
    def _passing_named(self, key: str) -> Iterator[None]:
        try:
            yield
        except LabelingError:
            raise
        except OSError as error:
            if error.errno in _DENIED:
                message = f"{self.uri(key)}: {error.strerror}; give this user the right to read and write there"
                raise Denied(message, self._unavailable) from error
            if error.errno not in _PASSING:
                raise
            raise Unavailable(f"{self.uri(key)}: {error.strerror}; {_PASSING[error.errno]}", self._unavailable) from error


def _write_synced(path: Path, content: bytes | Path) -> None:
    """Write bytes, or a copy of a file, to `path` and to the disk; stamps the time in nanoseconds."""
    with path.open("wb") as writer:
        if isinstance(content, bytes):
            writer.write(content)
        else:
            with content.open("rb") as reader:
                shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
        writer.flush()
        os.fsync(writer.fileno())
    now_ns = time.time_ns()
    os.utime(path, ns=(now_ns, now_ns))


def _walk(
    folder: str, base: str, prefix: str, above: frozenset[tuple[int, int]], *, lenient: bool
) -> Iterator[ObjectStat]:
    """Yield what lies under `folder`, whose keys start with `base`, in key order; a folder's name sorts with its slash."""
    try:
        here = os.stat(folder)
        with os.scandir(folder) as scan:
            named = [(f"{base}{entry.name}" + ("/" if entry.is_dir() else ""), entry) for entry in scan]
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        if not lenient:
            raise
        log.warning("%s is passed over: it may not be read; give this user the right to", folder)
        return
    inside = above | {(here.st_dev, here.st_ino)}
    if len(inside) == len(above):
        log.warning("%s leads back to a folder above it; it is listed once", folder)
        return
    for name, entry in sorted(named, key=lambda pair: os.fsencode(pair[0])):
        if name.endswith("/"):
            if name.startswith(prefix) or prefix.startswith(name):
                yield from _walk(entry.path, name, prefix, inside, lenient=lenient)
        elif name.startswith(prefix) and not is_hidden(entry.name):
            object_stat = _stat_of_file(name, entry)
            if object_stat is not None:
                yield object_stat


def _stat_of_file(key: str, entry: os.DirEntry[str]) -> ObjectStat | None:
    try:
        key.encode()
        status = entry.stat()
    except UnicodeEncodeError:
        log.warning("%r is left out: its name is not UTF-8; rename it to have it listed", entry.path)
        return None
    except OSError:  # a link that leads nowhere, or a file that went while the folder was read
        return None
    if not stat.S_ISREG(status.st_mode):
        log.warning("%s is left out: it is no regular file but a pipe, socket or device", entry.path)
        return None
    return ObjectStat(key, status.st_size, _etag_of(status), status.st_mtime)


def open_objects(root: str | Path, *, unavailable: str = "store_unavailable") -> Objects:
    """Open a folder (a path or file:///path) or s3://bucket/prefix; nothing is asked of a server yet.

    `unavailable` is the reason that `Unavailable` errors of this place carry. Raises BadConfiguration for another scheme.
    """
    text = os.fspath(root)
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme == "s3":
        from labeling.objects_s3 import S3Objects  # boto3 takes long to import and a folder needs none of it

        return S3Objects(text, unavailable=unavailable)
    if scheme not in ("", "file"):
        raise BadConfiguration(f"{text!r} has the scheme {scheme!r}; expected a folder, file:///path or s3://bucket/prefix")
    if not text:
        raise BadConfiguration("a root is empty; expected a folder or s3://bucket/prefix")
    return FolderObjects(local_path(text), unavailable=unavailable)
