"""A folder of JPEG files named by their frame numbers: 00000.jpg, 00001.jpg, ..."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sam2.video.source import Rgb, shrink

SUFFIXES = {".jpg", ".jpeg"}


class JpegFolder:
    """Frames of a folder in the order of the numbers that are their names; nothing is kept in memory.

    Raises ValueError for a folder without JPEGs, a name that is not a number, or a file that cannot be decoded.
    """

    one_pass = False

    def __init__(self, folder: Path, *, side: int) -> None:
        self._paths = _numbered(folder)
        self._side = side
        with _opened(self._paths[0]) as picture:
            self.size_hw = (picture.height, picture.width)

    @property
    def num_frames(self) -> int:
        return len(self._paths)

    def reaches(self, frame_idx: int) -> bool:
        return 0 <= frame_idx < len(self._paths)

    def holds(self, frame_idx: int) -> bool:
        return self.reaches(frame_idx)

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        path = self._paths[frame_idx]
        with _opened(path) as picture:
            try:
                return shrink(picture, self._side)
            except OSError as problem:
                raise ValueError(f"frame {frame_idx} cannot be decoded: {path}: {problem}") from problem


def _numbered(folder: Path) -> list[Path]:
    paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise ValueError(f"no frames in {folder}: expected files such as 00000.jpg, 00001.jpg")
    for path in paths:
        if not path.stem.isdecimal():
            raise ValueError(f"{path} is not named by a frame number: expected names such as 00000.jpg")
    return sorted(paths, key=lambda path: int(path.stem))


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, UnidentifiedImageError) as problem:
        raise ValueError(f"{path} is not an image that can be read: {problem}") from problem
