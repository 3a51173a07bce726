"""True masks of one object from a folder in the DAVIS layout, as run lengths by frame."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from labeling import rle
from labeling.types import RLE
from sam2.training.datasets.davis import LEVELS, read_numbers


def true_masks(folder: Path, video_key: str, number: int) -> Mapping[int, RLE] | None:
    """The masks of the object with a number; None where the folder has no such video, or the video no such object.

    A video's folder is named by its key without suffix, or by the last part of that. Files named by numbers give the frame
    index, others follow each other. ValueError names a picture that is none.
    """
    name = PurePosixPath(video_key).with_suffix("")
    places = [folder / "Annotations" / level / one for one in (name, name.name) for level in LEVELS]
    files = next((sorted(place.glob("*.png")) for place in places if place.is_dir()), [])
    numbered = all(path.stem.isdecimal() for path in files)
    found = {int(path.stem) if numbered else k: read_numbers(path) == number for k, path in enumerate(files)}
    return {k: rle.encode(mask_HW) for k, mask_HW in found.items()} if any(m.any() for m in found.values()) else None
