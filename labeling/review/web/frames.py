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
        """Encode a frame (H, W, 3), already of the shown size, and cache it; returns the JPEG's length in bytes."""
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
        """Remove and return the least recently used files that no request holds, until few enough are open."""
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
        """The video with the address that it has now, under `source_root`."""
        if not self._source_root:
            return video
        uri = f"{self._source_root.rstrip('/')}/{video.ref.key}"
        try:
            return replace(video, ref=ref_of(uri))
        except FileNotFoundError as error:
            raise BadInput(str(error), "missing_video") from error


def shown_width(min_width: int, video: Video) -> int:
    """The width in pixels that a frame is sent with: the next of `WIDTHS` from `asked` on, at most the video's own."""
    native = video.size_hw[1]
    return min(native, next((width for width in WIDTHS if width >= min_width), native))


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
class FrameRequest:
    """Frames of one video, `width` pixels across, that a reviewer is about to see; `later` ones yield to all others."""

    video: Video
    frame_indices: tuple[int, ...]
    width: int
    later: bool = False


class Prefetcher:
    """Encodes requested frames into the cache in one background thread; `close` ends it."""

    def __init__(self, frames: FrameCache) -> None:
        self._frames = frames
        self._requests: list[FrameRequest] = []
        # Whether a request came since the current one was begun.
        self._anew = False
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def request(self, video: Video, frame_indices: Sequence[int], *, width: int, later: Sequence[int] = ()) -> None:
        """Queue frames, and others for `later`; returns at once. The two newest requests of each kind wait, others go."""
        requests = (FrameRequest(video, tuple(later), width, later=True), FrameRequest(video, tuple(frame_indices), width))
        with self._changed:
            fresh = [request for request in requests if request.frame_indices and request not in self._requests]
            if self._closed or not fresh:
                return
            self._requests = _newest([*self._requests, *fresh])
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
        while (request := self._next()) is not None:
            try:
                self._fill(request)
            except Exception as error:  # a request for the frame itself meets the same error and answers with it
                log.debug("frames of %s are not made ahead: %s", request.video.ref.uri, error)

    def _next(self) -> FrameRequest | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._requests))
            if self._closed:
                return None
            soon = [request for request in self._requests if not request.later]
            self._requests.remove(chosen := soon[-1] if soon else self._requests[0])
            self._anew = False
            return chosen

    def _interrupted(self, request: FrameRequest) -> bool:
        """Whether a more urgent request waits; this one is queued again behind it, unless two newer ones of its kind wait."""
        with self._changed:
            if not self._closed and not (self._anew and any(not other.later for other in self._requests)):
                return False
            if request not in self._requests:
                self._requests = _newest([request, *self._requests])
            return True

    def _fill(self, request: FrameRequest) -> None:
        missing = [i for i in request.frame_indices if not self._frames.has_jpeg(request.video, i, width=request.width)]
        if not missing:
            return
        left = MOST_BYTES
        with self._frames.reading(request.video, missing) as reader:
            for position, frame_idx in enumerate(missing):
                if left < 0 or self._interrupted(request):
                    return
                if not self._frames.has_jpeg(request.video, frame_idx, width=request.width):
                    left -= self._frames.keep_jpeg(request.video, frame_idx, reader.scaled(position, width=request.width))


def _newest(requests: Sequence[FrameRequest]) -> list[FrameRequest]:
    """The last requests of each kind, oldest first."""
    return [last for later in (True, False) for last in [request for request in requests if request.later is later][-WAITING:]]


def ahead_of(frame_indices: Sequence[int], focus: Iterable[int], *, most: int) -> list[int]:
    """Return the frames to encode ahead, ascending: `most` of them, from `most // 8` before the first one of `focus`."""
    first = min(focus, default=frame_indices[0] if frame_indices else 0)
    position = next((k for k, frame_idx in enumerate(frame_indices) if frame_idx >= first), 0)
    start = max(0, min(position - most // 8, len(frame_indices) - most))
    return list(frame_indices[start:start + most])
