"""Frames of videos as JPEG: few videos stay open, what was encoded is cached, and one thread encodes ahead of the reviewer.

Frames in doubt come first, of the item that was asked for last; then all other frames, of the item in hand (the older of the
last two) before those of the one fetched ahead. So some seconds after an item was opened a seek finds any frame encoded,
however far from a key frame it lies. Legend: H, W height and width in pixels, 3 red, green and blue.
"""

import io
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeling.errors import BadInput
from labeling.ingest.decode import FrameReader
from labeling.ingest.fetch import fetch_video
from labeling.ingest.listing import ref_of
from labeling.review.web.cache import LruCache
from labeling.types import Video

Rgb = npt.NDArray[np.uint8]
Key = tuple[str, int, int]

WIDTHS = (160, 320, 480, 640, 960, 1280, 1920, 2560, 3840)
QUALITY = 85
JPEG_BYTES = 384 << 20
READER_BYTES = 64 << 20
FETCH_WAIT_S = 5.0


@dataclass(slots=True, eq=False)
class _OpenVideo:
    """One video's local file and its reader, one request at a time; `users` counts who holds it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    stack: ExitStack = field(default_factory=ExitStack)
    path: Path | None = None
    reader: FrameReader | None = None
    users: int = 0


class FrameCache:
    """Gives frames of videos; safe to share between threads.

    `source_root` is where the videos are now, if not where the store says; copies from S3 lie under `scratch`, together at
    most `cap_bytes`. At most `open_videos` stay open.
    """

    def __init__(
        self, scratch: Path, *, source_root: str | None = None, cap_bytes: int | None = None, open_videos: int = 3,
        jpeg_bytes: int = JPEG_BYTES,
    ) -> None:
        self._scratch, self._source_root, self._cap_bytes = Path(scratch), source_root, cap_bytes
        self._most_open = open_videos
        self._opened: OrderedDict[str, _OpenVideo] = OrderedDict()
        self._lock = threading.Lock()
        self._jpegs: LruCache[Key, bytes] = LruCache(jpeg_bytes, len)

    def close(self) -> None:
        """Close the files and remove copies."""
        with self._lock:
            opened, self._opened = list(self._opened.values()), OrderedDict()
        for video_file in opened:
            with video_file.lock:
                video_file.stack.close()

    def jpeg(self, video: Video, frame_idx: int, *, width: int) -> bytes:
        """One frame as JPEG, `width` pixels across (one of `shown_width`'s); BadInput where it cannot be decoded."""
        key = (video.ref.content_id, frame_idx, width)
        return self._jpegs.of(key, lambda: to_jpeg(self._small(video, frame_idx, width)))

    def has_jpeg(self, video: Video, frame_idx: int, *, width: int) -> bool:
        """Whether a frame's JPEG is there already."""
        return self._jpegs.get((video.ref.content_id, frame_idx, width)) is not None

    def keep_jpeg(self, video: Video, frame_idx: int, rgb_HW3: Rgb) -> int:
        """Make the JPEG of a frame, given in the size that it is shown in, before somebody asks; its bytes."""
        key = (video.ref.content_id, frame_idx, rgb_HW3.shape[1])
        return len(self._jpegs.put(key, to_jpeg(rgb_HW3)))

    def rgb(self, video: Video, frame_idx: int) -> Rgb:
        """One upright frame (H, W, 3)."""
        with self._reader(video) as reader:
            return reader[frame_idx]

    def _small(self, video: Video, frame_idx: int, width: int) -> Rgb:
        with self._reader(video) as reader:
            return reader.scaled(frame_idx, width=width)

    @contextmanager
    def _reader(self, video: Video) -> Iterator[FrameReader]:
        """The reader that single frames of a video come from, for one request at a time."""
        with self._borrowed(video) as opened, opened.lock:
            if opened.reader is None:
                path = self._local_path(video, opened)
                indices = range(video.num_frames)
                opened.reader = opened.stack.enter_context(FrameReader(path, video, indices, kept_bytes=READER_BYTES))
            yield opened.reader

    @contextmanager
    def reading(self, video: Video, frame_indices: Sequence[int]) -> Iterator[FrameReader]:
        """A reader of some frames for the block, apart from the one that single frames come from."""
        with self._borrowed(video) as opened:
            with opened.lock:
                path = self._local_path(video, opened)
            with FrameReader(path, video, frame_indices, kept_bytes=READER_BYTES) as reader:
                yield reader

    @contextmanager
    def _borrowed(self, video: Video) -> Iterator[_OpenVideo]:
        key = f"{video.ref.video_id} {video.ref.content_id}"
        with self._lock:
            opened = self._opened.setdefault(key, _OpenVideo())
            self._opened.move_to_end(key)
            opened.users += 1
        try:
            yield opened
        finally:
            with self._lock:
                opened.users -= 1
                idle = self._idle()
            for video_file in idle:
                video_file.stack.close()

    def _idle(self) -> list[_OpenVideo]:
        """Take out the least used that nobody holds, until few enough are open."""
        taken = []
        for key in list(self._opened):
            if len(self._opened) <= self._most_open:
                break
            if not self._opened[key].users:
                taken.append(self._opened.pop(key))
        return taken

    def _local_path(self, video: Video, opened: _OpenVideo) -> Path:
        if opened.path is None:
            self._scratch.mkdir(parents=True, exist_ok=True)
            ref = self._placed(video).ref
            fetched = fetch_video(ref, self._scratch, run_id="review", cap_bytes=self._cap_bytes, wait_s=FETCH_WAIT_S)
            opened.path = opened.stack.enter_context(fetched)
        return opened.path

    def _placed(self, video: Video) -> Video:
        """The video where it is now."""
        if not self._source_root:
            return video
        uri = f"{self._source_root.rstrip('/')}/{video.ref.key}"
        try:
            return replace(video, ref=ref_of(uri))
        except FileNotFoundError as error:
            raise BadInput(str(error), "missing_video") from error


def shown_width(asked: int, video: Video) -> int:
    """The width that a frame is sent with: the next one at hand from the asked one on, never more than the video has."""
    native = video.size_hw[1]
    return min(native, next((width for width in WIDTHS if width >= asked), native))


def to_jpeg(rgb_HW3: Rgb) -> bytes:
    """Encode a frame as JPEG."""
    sink = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb_HW3)).save(sink, "JPEG", quality=QUALITY)
    return sink.getvalue()

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
