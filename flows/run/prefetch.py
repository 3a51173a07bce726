"""The next video, fetched and probed in a thread while this one tracks."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from labeling import logs
from labeling.errors import DeadlineExceeded
from labeling.jobs import Job
from labeling.types import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A video that lies here, and what it is."""

    path: Path
    video: Video


class NextVideos:
    """Videos opened before their jobs come, which is in the order of `begin`; each is held until then, or dropped.

    What fails here is forgotten, so that the job meets the error itself, in its turn.
    """

    def __init__(self, opened: Callable[[Job], AbstractContextManager[Opened]]) -> None:
        self._opened = opened
        self._coming: dict[str, Future[tuple[Opened, ExitStack]]] = {}

    def begin(self, job: Job) -> None:
        """Open a job's video in a thread."""
        coming: Future[tuple[Opened, ExitStack]] = Future()
        self._drop(job.name)
        self._coming[job.name] = coming
        threading.Thread(target=self._open, args=(job, coming), name="next video", daemon=True).start()

    def take(self, job: Job, held: ExitStack, *, deadline: float) -> Opened | None:
        """Return a job's video if it was begun with and came to something; `held` closes it. Those begun earlier are dropped.

        Raises DeadlineExceeded where it is still being opened at `deadline`, in seconds since the epoch.
        """
        if job.name not in self._coming:
            return None
        for name in list(self._coming)[: list(self._coming).index(job.name)]:
            self._drop(name)
        coming = self._coming.pop(job.name)
        try:
            opened, stack = coming.result(timeout=min(max(0.0, deadline - time.time()), threading.TIMEOUT_MAX))
        except TimeoutError:
            coming.add_done_callback(_close)
            raise DeadlineExceeded("the video's time limit passed while it was fetched; raise run.timeout_s") from None
        except Exception as error:
            log.info("%s could not be opened ahead of its turn: %s", job.video.uri, error)
            return None
        held.enter_context(stack)
        return opened

    def close(self) -> None:
        """Drop all; what is still being opened is closed when it is open."""
        for name in list(self._coming):
            self._drop(name)

    def _open(self, job: Job, coming: Future[tuple[Opened, ExitStack]]) -> None:
        stack = ExitStack()
        try:
            with logs.named(run=job.run_id, video=job.video.video_id), ExitStack() as own:
                opened = own.enter_context(self._opened(job))
                stack = own.pop_all()
        except BaseException as error:
            coming.set_exception(error)
            return
        coming.set_result((opened, stack))

    def _drop(self, name: str) -> None:
        if coming := self._coming.pop(name, None):
            coming.add_done_callback(_close)


def _close(coming: Future[tuple[Opened, ExitStack]]) -> None:
    if coming.exception() is None:
        coming.result()[1].close()
