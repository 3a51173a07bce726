"""A folder of JPEG files named by their frame numbers: 00000.jpg, 00001.jpg, ..."""

import io
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sam2.errors import NotThere
from sam2.video.source import Rgb, shrink

SUFFIXES = {".jpg", ".jpeg"}
HELD_BYTES = 1 << 30  # of JPEG files: a folder that is larger stays on disk
# What a picture may be, whatever its suffix says; none of these starts another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


@dataclass(frozen=True, slots=True)
class _Picture:
    """A frame's file as it was when the folder was opened."""

    path: Path
    num_bytes: int
    mtime_ns: int

    def read(self, frame_idx: int) -> bytes:
        """Return the file's content; ValueError where it is no longer the one that was seen."""
        try:
            with self.path.open("rb") as reader:
                status = os.fstat(reader.fileno())
                content = reader.read()
        except FileNotFoundError:
            raise ValueError(f"frame {frame_idx} is gone: {self.path} was there when the video was opened") from None
        except OSError as error:
            raise ValueError(f"frame {frame_idx} cannot be read: {self.path}: {error.strerror}") from error
        if (status.st_size, status.st_mtime_ns) != (self.num_bytes, self.mtime_ns):
            message = f"frame {frame_idx} has changed since the video was opened: {self.path}"
            raise ValueError(f"{message}; open the video again once it no longer changes")
        return content


class JpegFolder:
    """Frames of a folder in the order of the numbers that are their names.

    With `hold` the files, as they are, are kept in memory up to `HELD_BYTES` together, so that the folder may go; otherwise
    they are read when asked for. Raises ValueError for a folder without JPEGs, a name that is not a number, what is no
    regular file, a file that cannot be decoded, and one that is not what it was when the folder was opened.
    """

    one_pass = False

    def __init__(self, folder: Path, *, side: int, hold: bool = False) -> None:
        self._pictures = _numbered(folder)
        self._side = side
        hold = hold and sum(picture.num_bytes for picture in self._pictures) <= HELD_BYTES
        self._held = [picture.read(k) for k, picture in enumerate(self._pictures)] if hold else []
        with self._opened(0) as picture:
            self.size_hw = (picture.height, picture.width)

    @property
    def num_frames(self) -> int:
        return len(self._pictures)

    def reaches(self, frame_idx: int) -> bool:
        return 0 <= frame_idx < len(self._pictures)

    def holds(self, frame_idx: int) -> bool:
        return self.reaches(frame_idx)

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        with self._opened(frame_idx) as picture:
            return shrink(picture, self._side)

    @contextmanager
    def _opened(self, frame_idx: int) -> Iterator[Image.Image]:
        path = self._pictures[frame_idx].path
        content = self._held[frame_idx] if self._held else self._pictures[frame_idx].read(frame_idx)
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                yield picture
        except Image.UnidentifiedImageError as error:
            raise ValueError(f"frame {frame_idx} is not an image that can be read: {path}") from error
        except MemoryError:
            raise
        except Exception as error:  # decoders of pictures raise many kinds
            raise ValueError(f"frame {frame_idx} cannot be decoded: {path}: {error}") from error


def _numbered(folder: Path) -> list[_Picture]:
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror}") from error
    frames = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if not frames:
        others = Counter(path.suffix.lower() for path in paths if path.suffix).most_common(1)
        what = f"; most files are {others[0][0]}" if others else ""
        raise NotThere(f"no frames in {folder}: expected files such as 00000.jpg, 00001.jpg{what}")
    return [_seen(path) for _, path in sorted(((_number(path), path) for path in frames), key=lambda frame: frame[0])]


def _number(path: Path) -> int:
    try:
        return int(path.stem)
    except ValueError as error:
        raise ValueError(f"{path} is not named by a frame number: expected names such as 00000.jpg") from error


def _seen(path: Path) -> _Picture:
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is no regular file: expected a JPEG")
    return _Picture(path, status.st_size, status.st_mtime_ns)
