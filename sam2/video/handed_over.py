"""Frames that the caller has in hand: an array or list of them, or an iterator that gives each once."""

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from PIL import Image

from sam2.video.source import Rgb, shrink

HELD_BY_WINDOW = 16     # frames of an iterator that can still be prompted with a memory window


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
