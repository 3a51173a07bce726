"""Semantic PNGs: one image of categories a frame, 0 where nothing was labelled.

    <out>/<split>/labels/<video>/<frame index>.png    8 bits, the category's number, with the colours of PASCAL VOC
    <out>/<split>/images/<video>/<frame index>.jpg    with `--frames jpg`
    <out>/classes.json                                names by number

Objects are not told apart. Where categories overlap the smaller object of the frame lies on top; `overlap_pixels` counts what
another category lost by that. At most 254 categories, as 255 stands for void.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeling import rle
from labeling.errors import require
from labeling.export.davis import palette
from labeling.export.folder import Choice, Summary, exporting, summary_of
from labeling.export.selection import ObjectOnFrame

MOST_CATEGORIES = 254


def export_semantic(root: str, out: Path, choice: Choice | None = None) -> Summary:
    """Write images of categories into the folder `out`. Raises ValueError as `exporting` does, and for over 254 categories."""
    with exporting(root, out, choice or Choice(), "semantic", frames=("none", "jpg")) as export:
        numbers, colours = export.chosen.categories, palette()
        require(len(numbers) <= MOST_CATEGORIES, "categories", len(numbers), f"at most {MOST_CATEGORIES} in an 8-bit image")
        for split, video in export.videos():
            with export.pictures(video) as pictures:
                for frame_idx, entries in export.frames(video):
                    numbers_HW, lost = category_map(entries, numbers)
                    export.lost["overlap_pixels"] += lost
                    picture = Image.fromarray(numbers_HW)
                    picture.putpalette(colours)
                    picture.save(export.path(split, "labels", video.folder, f"{frame_idx:05d}.png"))
                    pictures.save(frame_idx, export.folder / split / "images" / video.folder / f"{frame_idx:05d}.jpg")
        export.write_json("classes.json", {str(number): name for name, number in numbers.items()} | {"0": "background"})
    return summary_of(export, out)


def category_map(entries: list[ObjectOnFrame], numbers: dict[str, int]) -> tuple[npt.NDArray[np.uint8], int]:
    """Paint a frame's objects, the smaller on top; returns category numbers (H, W) and how many pixels changed category."""
    numbers_HW, lost = np.zeros(entries[0].mask.rle.size_hw, np.uint8), 0
    for entry in sorted(entries, key=lambda entry: (-entry.mask.area, -entry.number)):
        on_HW, number = rle.decode(entry.mask.rle), numbers[entry.track.category]
        under = numbers_HW[on_HW]
        lost += int(np.count_nonzero((under != 0) & (under != number)))
        numbers_HW[on_HW] = number
    return numbers_HW, lost
