"""Frames of videos as JPEG: few videos stay open, and what was made is kept.

Legend: H, W height and width in pixels, 3 red, green and blue.
"""

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
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
class _VideoFile:
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
        self._opened: OrderedDict[str, _VideoFile] = OrderedDict()
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
    def _borrowed(self, video: Video) -> Iterator[_VideoFile]:
        key = f"{video.ref.video_id} {video.ref.content_id}"
        with self._lock:
            opened = self._opened.setdefault(key, _VideoFile())
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

    def _idle(self) -> list[_VideoFile]:
        """Take out the least used that nobody holds, until few enough are open."""
        taken = []
        for key in list(self._opened):
            if len(self._opened) <= self._most_open:
                break
            if not self._opened[key].users:
                taken.append(self._opened.pop(key))
        return taken

    def _local_path(self, video: Video, opened: _VideoFile) -> Path:
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
