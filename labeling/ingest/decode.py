"""Frames of a video file as upright RGB, each exactly once in presentation order, or any of them on demand.

Shape suffixes: H height, W width, 3 red, green and blue.
"""

import bisect
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import av.error

from labeling.errors import BadInput
from labeling.ingest.frame_index import FrameIndex, broken, index_frames, opened
from labeling.ingest.orientation import Image8, Orientation, orientation_of
from labeling.types import Video

_KEPT_BYTES = 256 << 20  # of decoded frames while a video is read backwards
_WORTH_A_SEEK = 8  # frames: fewer are decoded and dropped faster than found again
_KEYS_TRIED = 3
_BEGINNING = -1


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
    index = index_frames(path, video.ref.uri)
    frames = range(len(index.pts))
    first = bisect.bisect_left(frames, start, key=index.seconds)
    last = bisect.bisect_left(frames, end, key=index.seconds)
    if first >= last:
        span = f"{index.seconds(0):.3f} to {index.seconds(len(index.pts) - 1):.3f} s"
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
    is sought. Raises BadInput (`decode_error`) at the frame where the file breaks, with the number that was expected.
    """

    def __init__(self, path: str | Path, video: Video, frame_indices: Sequence[int], *, kept_bytes: int = _KEPT_BYTES) -> None:
        self._video, self._wanted = video, tuple(frame_indices)
        _check_indices(self._wanted, video)
        index = index_frames(path, video.ref.uri)
        if len(index.pts) != video.num_frames:
            raise BadInput(f"{path} has {len(index.pts)} frames; expected {video.num_frames}, as when probed", "decode_error")
        self._index = index
        self._decoder = _Decoder(path, video.ref.uri, index)
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._sampled = frozenset(self._wanted)
        self._kept_bytes = kept_bytes
        self._orientation: Orientation | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames cannot be read afterwards."""
        self._kept.clear()
        self._decoder.close()

    def __len__(self) -> int:
        return len(self._wanted)

    @overload
    def __getitem__(self, i: int) -> Image8: ...
    @overload
    def __getitem__(self, i: slice) -> list[Image8]: ...
    def __getitem__(self, i: int | slice) -> Image8 | list[Image8]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return self._rgb(self._frame(self._wanted[i]))

    def scaled(self, i: int, *, width: int) -> Image8:
        """The i-th sampled frame, upright and `width` pixels across: scaled before it becomes RGB, which is the dearer step."""
        frame = self._frame(self._wanted[i])
        height = max(1, round(self._video.size_hw[0] * width / self._video.size_hw[1]))
        return self._rgb(frame, (height, width))

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """The source's frame index of each sampled frame."""
        return self._wanted

    def pts_seconds(self, i: int) -> float:
        """The presentation time of the i-th sampled frame, in seconds from the file's start."""
        return self._index.seconds(self._wanted[i])

    def _frame(self, frame_idx: int) -> Any:
        if frame_idx in self._kept:
            return self._kept[frame_idx]
        backwards = frame_idx < self._decoder.next_idx
        if not backwards:
            self._kept.clear()
        height, width = self._video.size_hw
        room = self._kept_bytes // (3 * height * width // 2) if backwards else 0
        for at, frame in self._decoder.frames_up_to(frame_idx, shown_from=frame_idx - room):
            if at in self._sampled and (backwards or at == frame_idx):
                self._keep(at, frame)
        return self._kept[frame_idx]

    def _keep(self, frame_idx: int, frame: Any) -> None:
        """Keep a decoded frame and let go of the oldest that no longer fit."""
        self._kept[frame_idx] = frame
        frame_bytes = sum(plane.buffer_size for plane in frame.planes)
        while len(self._kept) > max(1, self._kept_bytes // max(1, frame_bytes)):
            self._kept.popitem(last=False)

    def _rgb(self, frame: Any, upright_hw: tuple[int, int] | None = None) -> Image8:
        if self._orientation is None:
            self._orientation = orientation_of(frame)
        height, width = self._orientation.upright_size(upright_hw or self._video.size_hw)
        if (frame.height, frame.width) != (height, width):  # asked for, or the stream changes its size on the way
            frame = frame.reformat(width=width, height=height, format="rgb24", interpolation=upright_hw and "AREA")
        return self._orientation.upright(frame.to_ndarray(format="rgb24"))


def _check_indices(wanted: tuple[int, ...], video: Video) -> None:
    ascending = all(a < b for a, b in zip(wanted, wanted[1:], strict=False))
    if not wanted or not ascending or wanted[0] < 0 or wanted[-1] >= video.num_frames:
        shown = f"{list(wanted[:4])}...{list(wanted[-1:])}"
        raise ValueError(f"frame_indices are {shown}; expected ascending indices below {video.num_frames}, at least one")


class _Decoder:
    """Decodes one file from where it stands; `next_idx` is the frame that comes next if nothing is sought."""

    def __init__(self, path: str | Path, name: str, index: FrameIndex) -> None:
        self._path, self._name, self._index = path, name, index
        self._places = {} if index.by_order else {pts: i for i, pts in enumerate(index.pts)}
        self._keys = [self._places[pts] for pts in index.key_pts if pts in self._places]
        self._open = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._sought = False
        self._shown_pts = -math.inf
        self.next_idx = 0
        self._begin()

    def close(self) -> None:
        self._frames = iter(())
        self._open.close()

    def frames_up_to(self, frame_idx: int, *, shown_from: int) -> Iterator[tuple[int, Any]]:
        """Yield (index, frame) in order from here or from the best key frame, the last being `frame_idx` itself.

        On a long way, of those before `shown_from` only what others are decoded from is sure to come.
        """
        for key in self._starts_for(frame_idx):
            self._go_to(key)
            far = self._places and shown_from > self.next_idx + _WORTH_A_SEEK
            self._shown_pts = self._index.pts[shown_from] if far else -math.inf
            for at, frame in self._frames:
                if at > frame_idx:
                    break
                self.next_idx = at + 1
                yield at, frame
                if at == frame_idx:
                    return
        raise self._lost(frame_idx)

    def _starts_for(self, frame_idx: int) -> Iterator[int | None]:
        """Yield where to decode from: None is right here, then the nearest key frames before, then the beginning (-1).

        Those after the first are for files whose seeking lands late or whose key frames do not decode by themselves.
        """
        keys = [key for key in self._keys[:bisect.bisect_right(self._keys, frame_idx)][-_KEYS_TRIED:][::-1] if key > 0]
        ahead = self.next_idx <= frame_idx
        if ahead and not (keys and keys[0] > self.next_idx + _WORTH_A_SEEK):
            from_the_start = not self._sought
            yield None
            if from_the_start:
                return
        yield from keys
        yield _BEGINNING

    def _go_to(self, key: int | None) -> None:
        if key is None:
            return
        if key == _BEGINNING:
            self._begin()
            return
        self._container.seek(self._index.pts[key], stream=self._stream)
        self._frames, self._sought, self.next_idx = self._decoded(sought=True), True, key

    def _begin(self) -> None:
        self._open.close()
        self._container, self._stream = self._open.enter_context(opened(self._path, self._name))
        self._stream.thread_type = "AUTO"
        self._frames, self._sought, self.next_idx = self._decoded(sought=False), False, 0

    def _decoded(self, *, sought: bool) -> Iterator[tuple[int, Any]]:
        """Yield (index, frame) from where the file stands; after seeking, from the first key frame met."""
        lowest, waiting, count = 0, sought, 0
        try:
            for packet in self._container.demux(self._stream):
                if waiting and packet.size > 0:
                    if not packet.is_keyframe:
                        continue
                    # Frames shown before it need what was not decoded.
                    lowest, waiting = self._places.get(packet.pts, 0), False
                passed = packet.pts is not None and packet.pts < self._shown_pts
                self._stream.codec_context.skip_frame = "NONREF" if passed else "DEFAULT"
                for frame in packet.decode():
                    at = count if self._index.by_order else self._places.get(frame.pts, -1)
                    count += 1
                    if at >= lowest:
                        yield at, frame
        except (av.error.FFmpegError, OSError) as error:
            raise broken(self._name, self.next_idx, len(self._index.pts), error.strerror or error) from error

    def _lost(self, frame_idx: int) -> BadInput:
        at = min(self.next_idx, frame_idx)
        self._frames, self._sought, self.next_idx = iter(()), True, len(self._index.pts)
        return broken(self._name, at, len(self._index.pts), "no such frame comes out of the decoder")
