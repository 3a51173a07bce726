"""A video as a local file: one in a folder is used where it lies, one in S3 is copied to scratch and removed afterwards.

Scratch is `<scratch>/<run_id>/owner~<host>~<pid>~<start>/`: a folder's name says which process owns it, so that what a
killed one left can be told from what is in use.
"""

import errno
import fcntl
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from labeling.errors import BadConfiguration, BadCredentials, BadInput, Unavailable
from labeling.files import process_start
from labeling.ingest.digests import Digests
from labeling.ingest.listing import content_id_of
from labeling.objects import Objects, ObjectStat, open_objects, split_uri
from labeling.types import VideoRef

_LOCK_NAME = ".~lock.beside"
_POLL_S = 0.5
_MADE_TRIES = 5
# Another host's processes cannot be asked after: what they made is taken for left behind when nothing changed for a day.
_FOREIGN_STALE_S = 86_400.0


@contextmanager
def fetch_video(
    ref: VideoRef, scratch: Path, *, run_id: str = "adhoc", cap_bytes: int | None = None, wait_s: float = 300.0
) -> Iterator[Path]:
    """Give a local path of the video, whole and as it was listed; a copy is removed at the end.

    All copies under `scratch` together stay below `cap_bytes`: what dead processes left goes first, then this waits up to
    `wait_s` seconds for others to finish. Raises BadInput (`missing_video`; `not_a_video` for a folder, pipe or device;
    `source_unavailable` where access is refused) or Unavailable (changed since the listing; a server that does not answer;
    `scratch_full`).
    """
    with _source_errors(ref):
        root, key = split_uri(ref.uri)
        source = open_objects(root, unavailable="source_unavailable")
        stat = _unchanged(ref, source, key)
    if not ref.uri.startswith("s3://"):
        yield Path(source.uri(key))
        return
    path = process_folder(scratch, run_id) / f"{ref.video_id}-{uuid.uuid4().hex[:8]}{PurePath(key).suffix}"
    try:
        _reserve(path, stat.num_bytes, scratch, cap_bytes, wait_s)
        with _source_errors(ref):
            # Looked up before and after: a file that is replaced during the copy must not be labelled under the old key.
            source.download(key, path)
            _unchanged(ref, source, key)
            _check_length(path, stat)
        yield path
    finally:
        path.unlink(missing_ok=True)


def process_folder(scratch: Path, run_id: str) -> Path:
    """Make and return this process's folder for one run under `scratch`; `sweep_scratch` removes it once both are gone."""
    folder = Path(scratch) / run_id / f"owner~{_host()}~{os.getpid()}~{process_start(os.getpid())}"
    for _ in range(_MADE_TRIES):
        with suppress(FileNotFoundError):  # a sweep took the run's folder while it was still empty
            folder.mkdir(parents=True, exist_ok=True)
            return folder
    raise Unavailable(f"{folder} cannot be made: something removes it; check what else clears {scratch}", "scratch_full")


def sweep_scratch(scratch: Path, run_id: str | None = None) -> int:
    """Remove what processes that are gone left under `scratch`, of any run; returns the bytes freed.

    With `run_id`, that run's folder is left standing even if it is empty. Safe beside live runs and other sweeps.
    """
    freed = 0
    for folder in list(Path(scratch).glob("*/owner~*~*~*")):
        if not _is_alive(folder):
            freed += _bytes_under(folder)
            shutil.rmtree(folder, ignore_errors=True)
            if folder.parent.name != run_id:
                _remove_if_empty(folder.parent)
    return freed


@contextmanager
def _source_errors(ref: VideoRef) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BadInput(f"{ref.uri} does not exist; put it there or take it from the prompts", "missing_video") from error
    except PermissionError as error:
        raise BadInput(f"{ref.uri} may not be read; give this user the right to", "source_unavailable") from error
    except BadCredentials:      # no single video's fault
        raise
    except BadConfiguration as error:
        raise BadInput(str(error), "source_unavailable") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"the disk filled up while {ref.uri} was copied; free it or move run.scratch"
        raise Unavailable(message, "scratch_full") from error


def _unchanged(ref: VideoRef, source: Objects, key: str) -> ObjectStat:
    """Look the video up and compare it with the listing; what changed needs a new plan, which the next run makes."""
    stat = source.stat(key)
    if stat is None and os.path.isdir(source.uri(key)):
        raise BadInput(f"{ref.uri} is a folder; expected a video file", "not_a_video")
    if stat is None:
        raise FileNotFoundError(ref.uri)
    with Digests() as digests:
        now = content_id_of(source.uri(key), stat, digests)
    if now != ref.content_id:
        changed = f"{ref.uri} changed since the listing (then {ref.content_id}, now {now})"
        raise Unavailable(f"{changed}; run again to plan with what it is now", "source_unavailable")
    return stat


def _check_length(path: Path, stat: ObjectStat) -> None:
    num_bytes = path.stat().st_size
    if num_bytes != stat.num_bytes:
        message = f"{stat.key} came with {num_bytes} of {stat.num_bytes} bytes"
        raise Unavailable(f"{message}; it is tried again", "source_unavailable")


def _reserve(path: Path, num_bytes: int, scratch: Path, cap_bytes: int | None, wait_s: float) -> None:
    """Wait until the file fits and hold its place with an empty file of its length."""
    if cap_bytes is not None and num_bytes > cap_bytes:
        message = f"the video has {num_bytes} bytes and run.scratch_cap_gib allows {cap_bytes}"
        raise BadInput(f"{message}; raise it above the largest video", "scratch_full")
    give_up_at = time.monotonic() + wait_s
    while not _fits(path, num_bytes, scratch, cap_bytes):
        if time.monotonic() >= give_up_at:
            message = f"{scratch} holds {_bytes_under(scratch)} bytes and {num_bytes} more do not fit (cap {cap_bytes})"
            raise Unavailable(f"{message}; free the disk or raise run.scratch_cap_gib", "scratch_full")
        sweep_scratch(scratch)
        time.sleep(min(_POLL_S, max(0.0, give_up_at - time.monotonic())))


def _fits(path: Path, num_bytes: int, scratch: Path, cap_bytes: int | None) -> bool:
    """Take the place if there is room; under a lock, so that two processes cannot take the same room."""
    with open(scratch / _LOCK_NAME, "ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if cap_bytes is not None and _bytes_under(scratch) + num_bytes > cap_bytes:
            return False
        if shutil.disk_usage(scratch).free < num_bytes:
            return False
        with path.open("wb") as writer:
            writer.truncate(num_bytes)
    return True


def _bytes_under(folder: Path) -> int:
    """The length of every file below, but for those being written beside: their places are held already."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if not name.startswith(".~"):
                try:
                    total += os.stat(os.path.join(parent, name)).st_size
                except FileNotFoundError:
                    continue
    return total


def _is_alive(folder: Path) -> bool:
    # By the host's name alone: a container that was started again has another machine's identity, and its old disk.
    host, pid, since = folder.name.removeprefix("owner~").rsplit("~", 2)
    if host != _host():
        try:
            return time.time() - folder.stat().st_mtime < _FOREIGN_STALE_S
        except FileNotFoundError:
            return True
    return process_start(int(pid)) == since if pid.isdigit() else True


def _host() -> str:
    return socket.gethostname() or "localhost"


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
