"""Makes the frames of the item in hand ahead, in one thread in the background: what was asked for last comes first."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from labeling.review.web.frames import FrameShelf
from labeling.types import Video

log = logging.getLogger(__name__)

MOST_FRAMES = 300
WAITING = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """Frames of one video that will be looked at soon."""

    video: Video
    frame_indices: tuple[int, ...]
    width: int


class Warmer:
    """Takes wishes and fills the shelf; `close` ends its thread."""

    def __init__(self, shelf: FrameShelf) -> None:
        self._shelf = shelf
        self._wishes: list[Wish] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def wish(self, video: Video, frame_indices: Sequence[int], *, width: int) -> None:
        """Ask for frames; older wishes that still wait are dropped when there are more than two."""
        wish = Wish(video, tuple(frame_indices), width)
        with self._changed:
            if self._closed or not wish.frame_indices or wish in self._wishes:
                return
            self._wishes = [*self._wishes[1 - WAITING:], wish]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="review-frames", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _work(self) -> None:
        while (wish := self._next()) is not None:
            try:
                self._fill(wish)
            except Exception as error:  # what is asked for meets the same error and tells it
                log.debug("frames of %s are not made ahead: %s", wish.video.ref.uri, error)

    def _next(self) -> Wish | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._wishes))
            return None if self._closed else self._wishes.pop()

    def _later(self, wish: Wish) -> None:
        """Go on with an interrupted wish when nothing newer waits."""
        with self._changed:
            if len(self._wishes) < WAITING and wish not in self._wishes:
                self._wishes.insert(0, wish)

    def _fill(self, wish: Wish) -> None:
        missing = [i for i in wish.frame_indices if not self._shelf.has_jpeg(wish.video, i, width=wish.width)]
        if not missing:
            return
        with self._shelf.reading(wish.video, missing) as reader:
            for place, frame_idx in enumerate(missing):
                if self._closed or self._wishes:
                    self._later(wish)
                    return
                if not self._shelf.has_jpeg(wish.video, frame_idx, width=wish.width):
                    self._shelf.keep_jpeg(wish.video, frame_idx, reader[place], width=wish.width)
