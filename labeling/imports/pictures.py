"""Masks as pictures whose values are the objects' numbers: DAVIS' palette PNGs."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from labeling import rle
from labeling.errors import require
from labeling.imports.labels import ForeignLabel, LabelFile, files_below, naming, size_of
from labeling.types import RLE, Cell

MAPPING = "mapping.json"        # ours: which object of which video each number is
_VOID = 255


def read_davis(path: Path) -> LabelFile:
    """Read `<video>/<frame>.png` below a folder, as `Annotations/Full-Resolution` holds them; 255 is void."""
    read, mapping = LabelFile(), _mapping(path)
    for file in files_below(path, "*.png", "palette PNGs, <video>/<frame>.png"):
        with naming(file):
            require(file.stem.isascii() and file.stem.isdecimal(), "the file's name", file.name, "the frame's number")
            video, described = file.parent.name, mapping.get(file.parent.name, {})
            values_HW = read_values(file)
            read.lost["void pixels"] += int((values_HW == _VOID).sum())
            for number in sorted(set(np.unique(values_HW).tolist()) - {0, _VOID}):
                known = described.get("objects", {}).get(str(number), {})
                label = label_of_mask(
                    str(described.get("key", video)), int(file.stem[-9:]), str(known.get("object_id", number)),
                    known.get("category"), file.name, rle.encode(values_HW == number),
                )
                if label:
                    read.add(label)
    return read


def read_values(file: Path) -> npt.NDArray[np.uint8]:
    """Return a picture's values (H, W): the index of each pixel's colour, or its grey; ValueError where it has neither."""
    try:
        with Image.open(file) as picture:
            size_of(picture.height, picture.width)
            require(picture.mode in ("P", "L", "1"), "the picture", picture.mode, "a palette or grey values")
            return np.asarray(picture if picture.mode != "1" else picture.convert("L"), np.uint8)
    except (UnidentifiedImageError, SyntaxError, Image.DecompressionBombError, OSError) as error:
        raise ValueError(f"the picture cannot be read ({error})") from error


def label_of_mask(
    video: str, frame_idx: int, track: str, category: str | None, where: str, mask: RLE
) -> ForeignLabel | None:
    """Return the label, None where the mask is empty: the object is not to be seen there."""
    return ForeignLabel(video, frame_idx, track, category, where, mask=mask) if rle.area(mask) else None


def _mapping(path: Path) -> Mapping[str, Cell]:
    file = path / MAPPING
    if not file.is_file():
        return {}
    with naming(file):
        videos = json.loads(file.read_bytes())["videos"]
        require(isinstance(videos, dict), "videos", videos, "a mapping")
        return dict(videos)
