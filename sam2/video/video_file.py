"""A video file as frames by index: decoded in order as they are asked for, never more than a stretch held.

Frames are numbered in presentation order, each coded frame once, whatever its duration: a variable frame rate neither
repeats nor drops any. Needs PyAV.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import av
import numpy as np

from sam2.video.file_index import FileIndex, read_index
from sam2.video.source import Rgb, shrink

STRETCH = 64        # frames held while going backward: a longer group of pictures is decoded several times


class VideoFile:
    """Frames of a video file, or of its bytes; upright, at the network's size.

    Going forward decodes each frame once. Going backward decodes from the key frame before, and holds up to `STRETCH`
    frames that lead to the one asked for. Raises ValueError for a file that cannot be opened, has no video frames or
    ends early, and for a frame that cannot be decoded.
    """

    one_pass = False

    def __init__(self, video: Path | bytes, *, side: int) -> None:
        self._name = str(video) if isinstance(video, Path) else "the video's bytes"
        self._side = side
        with _readable(self._name):
            self._index: FileIndex = read_index(_open(video), self._name)
        self._video = video
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next = -1
        self._held: dict[int, Rgb] = {}
        first = self._frame(0)
        self.size_hw = _upright(first).shape[:2]
        self._held = {0: self._shrunk(first)}

    @property
    def num_frames(self) -> int:
        return self._index.num_frames

    def reaches(self, frame_idx: int) -> bool:
        return 0 <= frame_idx < self.num_frames

    def holds(self, frame_idx: int) -> bool:
        return self.reaches(frame_idx)

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        if frame_idx in self._held:
            return self._held[frame_idx]
        backward = bool(self._held) and frame_idx == min(self._held) - 1
        self._held = self._stretch(frame_idx) if backward else {frame_idx: self._shrunk(self._frame(frame_idx))}
        return self._held[frame_idx]

    def rgb_HW3(self, frame_idx: int) -> Rgb:
        """Return the frame upright at its own size; for reading forward, nothing is held."""
        return _upright(self._frame(frame_idx))

    def _stretch(self, frame_idx: int) -> dict[int, Rgb]:
        """Return the frames of one group of pictures up to this one, the last `STRETCH` of them."""
        first = max(self._index.key_before(frame_idx), frame_idx - STRETCH + 1)
        return {k: self._shrunk(self._frame(k)) for k in range(first, frame_idx + 1)}

    def _frame(self, frame_idx: int) -> av.VideoFrame:
        if frame_idx < self._next or frame_idx >= self._next and self._next < self._index.key_before(frame_idx):
            self._seek(frame_idx)
        with _readable(f"frame {frame_idx} of {self._name}"):
            for index, frame in self._frames:
                self._next = index + 1
                if index == frame_idx:
                    return frame
                if index > frame_idx:
                    break
        raise ValueError(f"frame {frame_idx} of {self._name} cannot be decoded: the file is damaged or cut off there")

    def _seek(self, frame_idx: int) -> None:
        """Make the next decoded frame one at or before this: from the key frame before it, or an earlier one.

        Containers that are searched by decoding time land late now and then; the file's start is always right.
        """
        key = self._index.key_before(frame_idx)
        while True:
            with _readable(f"frame {frame_idx} of {self._name}"):
                self._frames = self._from_start() if key == 0 else self._from_key(key)
                first = next(self._frames, None)
            if key == 0 or (first is not None and first[0] <= frame_idx):
                break
            key = self._index.key_before(key - 1)
        if first is None:
            raise ValueError(f"{self._name} has no frame that can be decoded")
        self._frames = chain([first], self._frames)
        self._next = first[0]

    def _from_start(self) -> Iterator[tuple[int, av.VideoFrame]]:
        if self._container is not None:
            self._container.close()
        self._container = _open(self._video)
        self._container.streams.video[0].thread_type = "AUTO"
        return self._numbered()

    def _from_key(self, key: int) -> Iterator[tuple[int, av.VideoFrame]]:
        self._container.seek(self._index.times[key], stream=self._container.streams.video[0], backward=True)
        return self._numbered()

    def _numbered(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield decoded frames with their indices; by counting from the start where the file has no usable times."""
        for count, frame in enumerate(self._container.decode(video=0)):
            index = self._index.number_of(frame.pts) if self._index.times else count
            if index is not None:
                yield index, frame

    def _shrunk(self, frame: av.VideoFrame) -> Rgb:
        return shrink(_upright(frame), self._side)


def _upright(frame: av.VideoFrame) -> Rgb:
    """Return the frame as RGB, turned as its display matrix says (counterclockwise degrees)."""
    rgb_HW3 = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb_HW3, turns)) if turns else rgb_HW3


def _open(video: Path | bytes) -> av.container.InputContainer:
    return av.open(io.BytesIO(video) if isinstance(video, bytes) else str(video))


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what the decoder raises into a ValueError that names the file."""
    try:
        yield
    except (av.FFmpegError, OSError, EOFError) as problem:
        raise ValueError(f"{name} cannot be read as video: {problem}") from problem
