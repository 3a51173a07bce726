"""The frames of whatever a video was given as: opened, held or passed on one by one, and read before they are asked for."""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sam2.video.jpeg_folder import JpegFolder
from sam2.video.source import FrameSource, Rgb, shrink
from sam2.video.video_file import VideoFile

HELD_BY_WINDOW = 16     # frames of an iterator that can still be prompted with a memory window


def open_frames(video: object, *, side: int, read_ahead: int = 0, hold_all: bool = True) -> FrameSource:
    """Return the frames of a video at `side` x `side` pixels.

    `video`: a folder of JPEGs, a video file (path or bytes), an array (N, H, W, 3) of uint8 RGB, a sequence of
    frames, or any other iterable of them, which goes forward once; `hold_all` keeps such frames, and a folder's files, for
    later prompts.
    `read_ahead` frames are read in a thread before they are asked for.
    Raises ValueError for anything else, and for what cannot be read.
    """
    source = _source(video, side=side, hold_all=hold_all)
    return ReadAhead(source, depth=read_ahead) if read_ahead else source


def _source(video: object, *, side: int, hold_all: bool) -> FrameSource:
    if isinstance(video, (bytes, bytearray)):
        return VideoFile(bytes(video), side=side)
    if isinstance(video, (str, os.PathLike)):
        return _from_path(Path(video), side=side, hold_all=hold_all)
    if isinstance(video, (np.ndarray, torch.Tensor)) and video.ndim != 4:
        raise ValueError(f"the video is an array of shape {tuple(video.shape)}: expected (frames, height, width, 3)")
    if hasattr(video, "__len__") and hasattr(video, "__getitem__"):
        return FrameList(video, side=side)
    if isinstance(video, Iterable):
        return PassingFrames(video, side=side, hold_all=hold_all)
    raise ValueError(
        f"a video of type {type(video).__name__} cannot be read: expected a folder of JPEGs, a video file, "
        "an array (frames, height, width, 3) or an iterable of frames"
    )


def _from_path(path: Path, *, side: int, hold_all: bool) -> FrameSource:
    if _is_folder(path):
        return JpegFolder(path, side=side, hold=hold_all)
    if not os.path.lexists(path):
        raise ValueError(f"there is no video at {path}: expected a folder of JPEGs or a video file")
    return VideoFile(path, side=side)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise ValueError(f"{path} cannot be looked at: {error.strerror}") from error


class FrameList:
    """Frames of an array (N, H, W, 3), a list, or any sequence that gives frames by index; read when asked for.

    A frame is uint8 RGB (H, W, 3), as array or tensor, or a PIL image. Raises ValueError for an empty sequence and
    for what is not a frame.
    """

    one_pass = False

    def __init__(self, frames: Sequence[object], *, side: int) -> None:
        if not len(frames):
            raise ValueError("the video is empty: expected at least one frame")
        self._frames = frames
        self._side = side
        self.size_hw = _height_width(as_picture(frames[0], 0))

    @property
    def num_frames(self) -> int:
        return len(self._frames)

    def reaches(self, frame_idx: int) -> bool:
        return 0 <= frame_idx < len(self._frames)

    def holds(self, frame_idx: int) -> bool:
        return self.reaches(frame_idx)

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        return shrink(as_picture(self._frames[frame_idx], frame_idx), self._side)


class PassingFrames:
    """Frames of an iterator: forward, once. What has been read is held at the network's size, all of it or the newest.

    The length stays open until the iterator ends, unless it tells it (`len`). Raises ValueError where the iterator
    is empty, gives something else than frames, or raises.
    """

    one_pass = True

    def __init__(self, frames: Iterable[object], *, side: int, hold_all: bool) -> None:
        self._iterator = iter(frames)
        self._length = len(frames) if hasattr(frames, "__len__") else None
        self._side = side
        self._held: deque[Rgb] = deque(maxlen=None if hold_all else HELD_BY_WINDOW)
        self._count = 0
        first = self._read()
        if first is None:
            raise ValueError("the video is empty: the iterable gave no frame")
        self.size_hw = _height_width(first)

    @property
    def num_frames(self) -> int | None:
        return self._length

    def reaches(self, frame_idx: int) -> bool:
        while self._count <= frame_idx and self._read() is not None:
            pass
        return 0 <= frame_idx < self._count

    def holds(self, frame_idx: int) -> bool:
        return self._count - len(self._held) <= frame_idx < self._count

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        if not self.reaches(frame_idx) or not self.holds(frame_idx):
            raise ValueError(f"frame {frame_idx} of frames handed over one by one has passed, or never came")
        return self._held[frame_idx - self._count]

    def _read(self) -> Rgb | Image.Image | None:
        """Read the next frame and hold it; None at the end."""
        try:
            given = next(self._iterator)
        except StopIteration:
            self._length = self._count
            return None
        picture = as_picture(given, self._count)
        self._held.append(shrink(picture, self._side))
        self._count += 1
        return picture


def as_picture(frame: object, frame_idx: int) -> Rgb | Image.Image:
    """Return a frame as uint8 RGB (H, W, 3) or PIL image; ValueError for anything else."""
    if isinstance(frame, Image.Image):
        return frame
    pixels = frame.detach().cpu().numpy() if isinstance(frame, torch.Tensor) else np.asarray(frame)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size or pixels.dtype != np.uint8:
        raise ValueError(
            f"frame {frame_idx} has shape {pixels.shape} and type {pixels.dtype}: "
            "expected uint8 RGB of shape (height, width, 3)"
        )
    return np.ascontiguousarray(pixels)


def _height_width(picture: Rgb | Image.Image) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    return picture.shape[0], picture.shape[1]


class ReadAhead:
    """A source whose next `depth` frames, in the direction of the last step, are on their way when they are asked for.

    One thread does all the reading, so the source behind is never used from two at once; `close` waits for it.
    """

    def __init__(self, frames: FrameSource, *, depth: int = 1) -> None:
        self._behind = frames
        self._depth = depth
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self._coming: deque[tuple[int, Future[Rgb]]] = deque()
        self._last = -1
        self.size_hw = frames.size_hw
        self.one_pass = frames.one_pass

    @property
    def num_frames(self) -> int | None:
        return self._behind.num_frames

    def reaches(self, frame_idx: int) -> bool:
        # a length that is known needs no reading, and no waiting for what is being read
        if self.num_frames is not None and not self.one_pass:
            return self._behind.reaches(frame_idx)
        return self._reader.submit(self._behind.reaches, frame_idx).result()

    def holds(self, frame_idx: int) -> bool:
        if self.num_frames is not None and not self.one_pass:
            return self._behind.holds(frame_idx)
        return self._reader.submit(self._behind.holds, frame_idx).result()

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        while self._coming and self._coming[0][0] != frame_idx:
            self._coming.popleft()[1].cancel()
        pending = self._coming.popleft()[1] if self._coming else self._reader.submit(self._behind.rgb_SS3, frame_idx)
        step = -1 if frame_idx < self._last else 1
        self._last = frame_idx
        self._look_ahead(frame_idx, step)
        return pending.result()

    def close(self) -> None:
        """Stop reading; the source behind may be closed afterwards."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _look_ahead(self, frame_idx: int, step: int) -> None:
        """Have the frames after this one on their way, and none that lies elsewhere."""
        next_frames = [frame_idx + step * k for k in range(1, self._depth + 1)]
        if [k for k, _ in self._coming] != next_frames[: len(self._coming)]:
            for _, frame in self._coming:
                frame.cancel()
            self._coming.clear()
        for k in next_frames[len(self._coming) :]:
            self._coming.append((k, self._reader.submit(self._read_if_there, k)))

    def _read_if_there(self, frame_idx: int) -> Rgb:
        if not self._behind.reaches(frame_idx):
            raise ValueError(f"the video ends before frame {frame_idx}")
        return self._behind.rgb_SS3(frame_idx)
