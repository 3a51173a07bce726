"""A folder of JPEG files named by their frame numbers: 00000.jpg, 00001.jpg, ..."""

import io
import os
from pathlib import Path

from PIL import Image

from sam2.errors import NotThere
from sam2.video.source import Rgb, shrink

SUFFIXES = {".jpg", ".jpeg"}


HELD_BYTES = 2**30      # of JPEG files: a folder that is larger stays on disk


class JpegFolder:
    """Frames of a folder in the order of the numbers that are their names.

    With `hold` the files, as they are, are kept in memory, so that the folder may go; otherwise they are read when
    asked for. Raises ValueError for a folder without JPEGs, a name that is not a number, or a file that cannot be
    decoded or is not the one that it was at the start.
    """

    one_pass = False

    def __init__(self, folder: Path, *, side: int, hold: bool = False) -> None:
        self._paths = _numbered(folder)
        self._side = side
        self._stamps = [_stamp(path.stat()) for path in self._paths]
        hold = hold and sum(size for size, _ in self._stamps) <= HELD_BYTES
        self._files = [path.read_bytes() for path in self._paths] if hold else None
        with self._opened(0) as picture:
            self.size_hw = (picture.height, picture.width)

    @property
    def num_frames(self) -> int:
        return len(self._paths)

    def reaches(self, frame_idx: int) -> bool:
        return 0 <= frame_idx < len(self._paths)

    def holds(self, frame_idx: int) -> bool:
        return self.reaches(frame_idx)

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        with self._opened(frame_idx) as picture:
            try:
                return shrink(picture, self._side)
            except OSError as problem:
                raise ValueError(f"frame {frame_idx} cannot be decoded: {self._paths[frame_idx]}: {problem}") from problem

    def _opened(self, frame_idx: int) -> Image.Image:
        path = self._paths[frame_idx]
        try:
            file = self._read(frame_idx) if self._files is None else self._files[frame_idx]
            return Image.open(io.BytesIO(file))
        except FileNotFoundError:
            raise ValueError(f"frame {frame_idx} is gone: {path} was there when the video was opened") from None
        except OSError as problem:
            raise ValueError(f"{path} is not an image that can be read: {problem}") from problem

    def _read(self, frame_idx: int) -> bytes:
        path = self._paths[frame_idx]
        with path.open("rb") as file:
            if _stamp(os.fstat(file.fileno())) != self._stamps[frame_idx]:
                raise ValueError(f"frame {frame_idx} has changed since the video was opened: {path}; open the video again")
            return file.read()


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _numbered(folder: Path) -> list[Path]:
    paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise NotThere(f"no frames in {folder}: expected files such as 00000.jpg, 00001.jpg")
    for path in paths:
        if not path.stem.isdecimal():
            raise ValueError(f"{path} is not named by a frame number: expected names such as 00000.jpg")
    return sorted(paths, key=lambda path: int(path.stem))
