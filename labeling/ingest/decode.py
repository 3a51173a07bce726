"""Frames of a video file as upright RGB, each exactly once in presentation order, or any of them on demand.

Shape suffixes: H height, W width, 3 red, green and blue.
"""

import bisect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, overload

from labeling.errors import BadInput
from labeling.types import Video
from sam2.video.container import Image8
from sam2.video.decoder import KEPT_BYTES, FrameDecoder
from sam2.video.file_index import index_frames
from sam2.video.files import UnreadableVideo


def sampled_frames(
    path: str | Path,
    video: Video,
    time_range: Sequence[float | None] | None = None,
    frame_stride: int = 1,
) -> tuple[int, ...]:
    """The source frame indices to track: every `frame_stride`-th frame of those with time in [start, end) seconds.

    Seconds count from the file's start as players show it; None in `time_range` is an open end. BadInput says so when the
    range holds no frame.
    """
    if frame_stride < 1:
        raise ValueError(f"frame_stride is {frame_stride}; expected 1 or more")
    if time_range is None or all(end is None for end in time_range):
        return tuple(range(0, video.num_frames, frame_stride))
    start, end = checked_range(time_range)
    with as_bad_input():
        index = index_frames(path, video.ref.uri)
    frames = range(index.num_frames)
    first = bisect.bisect_left(frames, start, key=index.seconds)
    last = bisect.bisect_left(frames, end, key=index.seconds)
    if first >= last:
        span = f"{index.seconds(0):.3f} to {index.seconds(index.num_frames - 1):.3f} s"
        message = f"{video.ref.uri} has no frame in the time range {list(time_range)}"
        raise BadInput(f"{message}; its frames lie at {span}", "empty_video")
    return tuple(range(first, last, frame_stride))


def checked_range(time_range: Sequence[float | None]) -> tuple[float, float]:
    """Return [start, end) in seconds with open ends as infinities; a ValueError where it is none."""
    if len(time_range) == 2:
        start, end = time_range
        low, high = -math.inf if start is None else float(start), math.inf if end is None else float(end)
        if low < high:
            return low, high
    expectation = "[start, end) in seconds with start < end, null for an open end"
    raise ValueError(f"time_range is {list(time_range)}; expected {expectation}")


class FrameReader(Sequence[Image8]):
    """The sampled frames of a video, as a sequence of upright RGB arrays (H, W, 3) uint8; a context manager.

    Reading on streams; reading backwards decodes from one key frame to the next and keeps what it passes; any other frame
    is sought. Raises BadInput: `decode_error` at the frame where the file breaks, with the number that was expected,
    `source_unavailable` where it is no longer the file that was opened.
    """

    def __init__(self, path: str | Path, video: Video, frame_indices: Sequence[int], *, kept_bytes: int = KEPT_BYTES) -> None:
        self._video, self._frame_indices = video, tuple(frame_indices)
        _check_indices(self._frame_indices, video)
        with as_bad_input():
            self._decoder = FrameDecoder(path, video.ref.uri, sampled=frozenset(self._frame_indices), kept_bytes=kept_bytes)
        # With another count of frames, masks would lie on other frames than those that were planned.
        num_frames = self._decoder.index.num_frames
        if num_frames != video.num_frames:
            self.close()
            raise BadInput(f"{path} has {num_frames} frames; expected {video.num_frames}, as when probed", "decode_error")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames cannot be read afterwards."""
        self._decoder.close()

    def __len__(self) -> int:
        return len(self._frame_indices)

    @overload
    def __getitem__(self, i: int) -> Image8: ...
    @overload
    def __getitem__(self, i: slice) -> list[Image8]: ...
    def __getitem__(self, i: int | slice) -> Image8 | list[Image8]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        with as_bad_input():
            return self._decoder.rgb_HW3(self._frame_indices[i])

    def scaled(self, i: int, *, width: int) -> Image8:
        """The i-th sampled frame, upright and `width` pixels across: scaled before it becomes RGB, which is the dearer step."""
        height = max(1, round(self._video.size_hw[0] * width / self._video.size_hw[1]))
        with as_bad_input():
            return self._decoder.rgb_HW3(self._frame_indices[i], (height, width))

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """The source's frame index of each sampled frame."""
        return self._frame_indices

    def pts_seconds(self, i: int) -> float:
        """The presentation time of the i-th sampled frame, in seconds from the file's start."""
        return self._decoder.index.seconds(self._frame_indices[i])


@contextmanager
def as_bad_input() -> Iterator[None]:
    """Turn what the reader of videos says of a file into BadInput with the same words and reason."""
    try:
        yield
    except UnreadableVideo as error:
        raise BadInput(str(error), error.reason) from error


def _check_indices(frame_indices: tuple[int, ...], video: Video) -> None:
    ascending = all(a < b for a, b in zip(frame_indices, frame_indices[1:], strict=False))
    if not frame_indices or not ascending or frame_indices[0] < 0 or frame_indices[-1] >= video.num_frames:
        shown = f"{list(frame_indices[:4])}...{list(frame_indices[-1:])}"
        raise ValueError(f"frame_indices are {shown}; expected ascending indices below {video.num_frames}, at least one")
