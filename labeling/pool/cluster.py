"""Ray: started in this process or joined by address."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import ray

from labeling.config import ClusterConfig
from labeling.pool.ray_process import ClusterFailed, ClusterGone, abandon, options_for, shut_down, start, usable_cpus
from labeling.types import ErrorRecord, Job

__all__ = ["ClusterFailed", "ClusterGone", "NoWorkersLeft", "PoolStopped", "open_cluster", "usable_cpus"]


class NoWorkersLeft(ClusterFailed):
    """Every worker's place was given up: `record` says why the last was, `not_done` which jobs have no receipt.

    `not_done` holds the rest of a list or other sized collection, and of another iterable what was pulled from it.
    """

    def __init__(self, message: str, record: ErrorRecord | None = None, not_done: tuple[Job, ...] = ()) -> None:
        super().__init__(message)
        self.record, self.not_done = record, not_done


class PoolStopped(RuntimeError):
    """The caller's `stop` was set; the actors are killed."""


@contextmanager
def open_cluster(cluster: ClusterConfig) -> Iterator[None]:
    """Have Ray for the block: as it is if it runs already, else joined by address, else started here.

    What was started or joined is left at the end, what ran before stays. SIGTERM ends the block by SystemExit(143)
    unless the program has a handler of its own.

    Raises:
        BadConfiguration: an address of Ray Client (`ray://`).
        ClusterFailed: Ray did not start or does not answer; the message says what to look at.
    """
    options = options_for(cluster)      # first, so that an address is refused whether Ray runs already or not
    if ray.is_initialized():
        with _exit_on_sigterm():
            yield
        return
    with _exit_on_sigterm():
        let_go = start(options)
        _take_sigterm_back()
        end = shut_down
        try:
            yield
        except ClusterGone:
            end = abandon
            raise
        finally:
            end()
            let_go()


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that actors are killed, where nothing else handles it."""
    if not _on_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        # A generator may be closed on another thread than it began on.
        if _on_main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _take_sigterm_back() -> None:
    """Put Python's handler in front again: Ray's native one prints a stack trace and then calls it."""
    handler = signal.getsignal(signal.SIGTERM)
    if _on_main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
