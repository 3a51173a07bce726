"""Makes the frames of the items in hand ahead, in one thread in the background.

What a reviewer looks at first, the frames in doubt, comes first, of the item that was asked for last; then all other frames, of
the item in hand (the older of the last two) before those of the one fetched ahead. So some seconds after an item was opened a
seek finds any frame made, however far from a key frame it lies.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labeling.review.web.frames import FrameCache
from labeling.types import Video

log = logging.getLogger(__name__)

MOST_FRAMES = 300
WAITING = 2
# Of JPEGs of one item beyond its frames in doubt: two items and what was there before must fit together.
MOST_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Wish:
    """Frames of one video that will be looked at soon."""

    video: Video
    frame_indices: tuple[int, ...]
    width: int
    later: bool = False


class Prefetcher:
    """Takes wishes and fills the cache of frames; `close` ends its thread."""

    def __init__(self, frames: FrameCache) -> None:
        self._frames = frames
        self._wishes: list[Wish] = []
        # Whether a wish came since the one in work was begun.
        self._anew = False
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def wish(self, video: Video, frame_indices: Sequence[int], *, width: int, later: Sequence[int] = ()) -> None:
        """Ask for frames, and for others `later`; of each kind the older wishes are dropped when more than two wait."""
        wishes = (Wish(video, tuple(later), width, later=True), Wish(video, tuple(frame_indices), width))
        with self._changed:
            fresh = [wish for wish in wishes if wish.frame_indices and wish not in self._wishes]
            if self._closed or not fresh:
                return
            self._wishes = _newest([*self._wishes, *fresh])
            self._anew = True
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
            if self._closed:
                return None
            soon = [wish for wish in self._wishes if not wish.later]
            self._wishes.remove(chosen := soon[-1] if soon else self._wishes[0])
            self._anew = False
            return chosen

    def _interrupted(self, wish: Wish) -> bool:
        """Whether something that is looked at sooner waits; the wish goes on after it, unless two newer ones do too."""
        with self._changed:
            if not self._closed and not (self._anew and any(not other.later for other in self._wishes)):
                return False
            if wish not in self._wishes:
                self._wishes = _newest([wish, *self._wishes])
            return True

    def _fill(self, wish: Wish) -> None:
        missing = [i for i in wish.frame_indices if not self._frames.has_jpeg(wish.video, i, width=wish.width)]
        if not missing:
            return
        left = MOST_BYTES
        with self._frames.reading(wish.video, missing) as reader:
            for position, frame_idx in enumerate(missing):
                if left < 0 or self._interrupted(wish):
                    return
                if not self._frames.has_jpeg(wish.video, frame_idx, width=wish.width):
                    left -= self._frames.keep_jpeg(wish.video, frame_idx, reader.scaled(position, width=wish.width))


def _newest(wishes: Sequence[Wish]) -> list[Wish]:
    """The last wishes of each kind, oldest first."""
    return [last for later in (True, False) for last in [wish for wish in wishes if wish.later is later][-WAITING:]]


def ahead_of(frame_indices: Sequence[int], focus: Iterable[int], *, most: int) -> list[int]:
    """The frames to make ahead, in ascending order: `most` of them, from a little before the first one in doubt."""
    first = min(focus, default=frame_indices[0] if frame_indices else 0)
    position = next((k for k, frame_idx in enumerate(frame_indices) if frame_idx >= first), 0)
    start = max(0, min(position - most // 8, len(frame_indices) - most))
    return list(frame_indices[start:start + most])
