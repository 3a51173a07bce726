"""The file behind a video, or its bytes: what kind of file it is, whether it is still the same, and what it can be called.

Nothing here opens what is no regular file: a named pipe or a device would block, or give what nobody meant.
"""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

Source = str | os.PathLike[str] | bytes
State = tuple[int, int, int] | None  # inode, length and modification time in ns of a file

_KINDS = {
    stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe (FIFO)", stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a character device", stat.S_ISBLK: "a block device",
}


class UnreadableVideo(ValueError):
    """A video that cannot be read, or not to its end.

    `reason` is `missing_video`, `not_a_video`, `empty_video`, `decode_error` or `source_unavailable`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (str(self), self.reason)


def state_of(video: Source, name: str) -> State:
    """Return what tells that a file is still the same, None for bytes; UnreadableVideo unless it is a file with content."""
    if isinstance(video, bytes):
        if not video:
            raise UnreadableVideo(f"{name} is empty (0 bytes); expected a video", "empty_video")
        return None
    try:
        status = os.stat(video)
    except (OSError, ValueError) as error:
        raise _missing(video, name, error) from error
    refuse_kind(status, name)
    if not status.st_size:
        raise UnreadableVideo(f"{name} is empty (0 bytes); expected a video", "empty_video")
    return status.st_ino, status.st_size, status.st_mtime_ns


def refuse_kind(status: os.stat_result, name: str) -> None:
    """Raise UnreadableVideo for what is no regular file, and says which kind it is."""
    kind = next((kind for is_kind, kind in _KINDS.items() if is_kind(status.st_mode)), None)
    if kind:
        raise UnreadableVideo(f"{name} is {kind}; expected a video file", "not_a_video")


@contextmanager
def reading(video: Source, name: str) -> Iterator[BinaryIO]:
    """Open the bytes of a video; UnreadableVideo where access is refused."""
    if isinstance(video, bytes):
        yield io.BytesIO(video)
        return
    try:
        descriptor = os.open(video, os.O_RDONLY)
    except OSError as error:
        raise _missing(video, name, error) from error
    with open(descriptor, "rb") as reader:
        yield reader


def why_of(error: Exception) -> str:
    """Return what libav says of an error, without a file's name or content."""
    return getattr(error, "strerror", None) or type(error).__name__


def _missing(video: Source, name: str, error: Exception) -> UnreadableVideo:
    code = getattr(error, "errno", None)
    if code in (errno.EACCES, errno.EPERM):
        return UnreadableVideo(f"{name} may not be read; give this user the right to", "source_unavailable")
    if code == errno.ENOENT and not isinstance(video, bytes) and os.path.islink(video):
        return UnreadableVideo(f"{name} is a link to a file that is not there; expected a video file", "missing_video")
    if code in (errno.ENOENT, errno.ENOTDIR):
        return UnreadableVideo(f"{name} does not exist; expected a video file", "missing_video")
    return UnreadableVideo(f"{name} cannot be opened: {why_of(error)}; expected a video file", "source_unavailable")
