"""The DAVIS 2017 layout: JPEG frames, and one palette PNG a frame whose values are the objects' numbers.

    <root>/JPEGImages/480p/<video>/00000.jpg      the level 480p may be Full-Resolution, or not be there
    <root>/Annotations/480p/<video>/00000.png
    <root>/ImageSets/2017/<split>.txt             the videos, one a line

Source: Pont-Tuset et al. 2017, "The 2017 DAVIS Challenge". 255 is void there: it belongs to no object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sam2.training.datasets.labelled import Image8, LabelledClips, Masks

LEVELS = ("480p", "Full-Resolution", "")
VOID = 255
SUFFIXES = (".jpg", ".jpeg", ".png")


class Davis(LabelledClips):
    """A source of clips from a folder in DAVIS layout; `split` names a list in ImageSets."""

    __slots__ = ()

    def _names(self) -> Sequence[str]:
        return _names(Path(self.root), self.split)

    def _open(self, name: str) -> "DavisVideo":
        root = Path(self.root)
        masks = sorted((_level(root, "Annotations") / name).glob("*.png"))
        files = (_level(root, "JPEGImages") / name).glob("*")
        pictures = {path.stem: path for path in files if path.suffix.lower() in SUFFIXES}
        if not masks:
            raise ValueError(f"{_level(root, 'Annotations') / name} has no masks; expected files such as 00000.png")
        if lost := [path.stem for path in masks if path.stem not in pictures]:
            raise ValueError(f"{_level(root, 'JPEGImages') / name} has no frame {lost[0]}, which is labelled")
        return DavisVideo(name, tuple(pictures[path.stem] for path in masks), tuple(masks))


@dataclass(frozen=True, slots=True)
class DavisVideo:
    """One video's labelled frames, each a picture and a file of masks."""

    name: str
    pictures: tuple[Path, ...]
    masks: tuple[Path, ...]

    @property
    def num_frames(self) -> int:
        return len(self.masks)

    def shares(self, frame: int) -> dict[int, float]:
        """Return each object that a frame shows with the share of the frame that it covers."""
        numbers_HW = read_numbers(self.masks[frame])
        counts = np.bincount(numbers_HW.ravel(), minlength=256)
        return {k: counts[k] / numbers_HW.size for k in range(1, VOID) if counts[k]}

    def knows(self, object_id: int, frame: int) -> bool:
        """Return True: every object is marked on every frame."""
        return True

    def read(self, frames: range, object_ids: Sequence[int]) -> tuple[list[Image8], list[Masks]]:
        """Return pictures and masks of a stretch of frames."""
        numbers = [read_numbers(self.masks[frame]) for frame in frames]
        ids = np.asarray(object_ids)[:, None, None]
        return [read_picture(self.pictures[frame]) for frame in frames], [frame_HW == ids for frame_HW in numbers]


def read_picture(path: Path) -> Image8:
    """Return an image file as RGB (H, W, 3); a ValueError names a file that is none."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as problem:
        raise ValueError(f"{path} cannot be read as an image: {problem}") from problem


def read_numbers(path: Path) -> Image8:
    """Return a palette or grey PNG as numbers (H, W), not as colours."""
    try:
        with Image.open(path) as picture:
            numbers = np.asarray(picture)
    except (OSError, UnidentifiedImageError) as problem:
        raise ValueError(f"{path} cannot be read as an image: {problem}") from problem
    if numbers.ndim != 2 or numbers.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"{path} is {numbers.dtype} {numbers.shape}; expected a PNG with a palette, or of 8-bit grey")
    return numbers.astype(np.uint8)


def _names(root: Path, split: str | None) -> list[str]:
    if split is None:
        return sorted(path.name for path in _level(root, "Annotations").iterdir() if path.is_dir())
    lists = [path for folder in ("ImageSets/2017", "ImageSets", "") if (path := root / folder / f"{split}.txt").is_file()]
    if not lists:
        known = sorted(path.stem for path in root.glob("ImageSets/**/*.txt"))
        raise ValueError(f"split is {split!r}, and {root} has no such list; it has {', '.join(known) or 'none'}")
    return lists[0].read_text().split()


def _level(root: Path, kind: str) -> Path:
    """Return the folder that holds one folder a video."""
    for level in LEVELS:
        if (root / kind / level).is_dir():
            return root / kind / level
    raise ValueError(f"{root} has no folder {kind}; expected the DAVIS layout: JPEGImages, Annotations, ImageSets")
