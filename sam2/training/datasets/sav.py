"""The layouts of SA-V: its training set as videos with run lengths beside them, its other sets as pictures.

    <root>/**/<video>.mp4, <video>_manual.json, <video>_auto.json       training: COCO RLE by frame and object
    <root>/JPEGImages_24fps/<video>/00000.jpg                           validation and test
    <root>/Annotations_6fps/<video>/<object>/00000.png, 00004.png, ...
    <root>/sav_val.txt                                                  the videos of a split, one a line

Masks are there for every fourth frame; a clip is made of those. Source: Ravi et al. 2024, "SAM 2", section 5.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from sam2.training.datasets.davis import read_numbers, read_picture
from sam2.training.datasets.labelled import Image8, LabelledClips, LabelledVideo, Masks
from sam2.video.video_file import VideoFile

FRAMES_A_LABEL = 4
PICTURES, LABELS = "JPEGImages_24fps", "Annotations_6fps"
KINDS = ("manual", "auto")


class Sav(LabelledClips):
    """A source of clips from a folder in either layout of SA-V.

    `split`: of pictures the name of a list beside them (`sav_val`); of videos `manual` or `auto`, None for both.
    """

    __slots__ = ()

    def _names(self) -> Sequence[str]:
        return _names(Path(self.root), self.split)

    def _open(self, name: str) -> LabelledVideo:
        root = Path(self.root)
        if (root / LABELS).is_dir():
            return open_pictures(root, name)
        return open_run_lengths(root / f"{name}.mp4", (self.split,) if self.split else KINDS)


@dataclass(frozen=True, slots=True)
class PicturedVideo:
    """A video of pictures; every object has a folder of masks, by frame number."""

    name: str
    folder: Path
    frames: tuple[str, ...]
    objects: tuple[Path, ...]

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    def shares(self, frame: int) -> dict[int, float]:
        """Return each object that a frame shows with the share of the frame that it covers."""
        masks = {k: self._mask(k, frame) for k in range(len(self.objects))}
        return {k: float(mask.mean()) for k, mask in masks.items() if mask is not None and mask.any()}

    def knows(self, object_id: int, frame: int) -> bool:
        """Return True: an object without a file on a frame is not to be seen there."""
        return True

    def read(self, frames: range, object_ids: Sequence[int]) -> tuple[list[Image8], list[Masks]]:
        """Return pictures and masks of a stretch of labelled frames."""
        pictures = [read_picture(self.folder / f"{self.frames[frame]}.jpg") for frame in frames]
        masks = [
            np.stack([self._mask(k, frame, like=picture) for k in object_ids])
            for frame, picture in zip(frames, pictures, strict=True)
        ]
        return pictures, masks

    def _mask(self, object_id: int, frame: int, like: Image8 | None = None) -> Any:
        path = self.objects[object_id] / f"{self.frames[frame]}.png"
        if not path.is_file():
            return None if like is None else np.zeros(like.shape[:2], np.bool_)
        return read_numbers(path) > 0


@dataclass(frozen=True, slots=True)
class RunLengthVideo:
    """A video file; `rows` has for each labelled frame the run lengths of every object, None where there are none."""

    name: str
    path: Path
    rows: tuple[tuple[dict[str, Any] | None, ...], ...]

    @property
    def num_frames(self) -> int:
        return len(self.rows)

    def shares(self, frame: int) -> dict[int, float]:
        """Return each object that a frame shows with the share of the frame that it covers."""
        rles = {k: rle for k, rle in enumerate(self.rows[frame]) if rle is not None}
        areas = coco.area(list(rles.values())) if rles else ()
        sizes = [rle["size"] for rle in rles.values()]
        return {k: area / (h * w) for k, area, (h, w) in zip(rles, areas, sizes, strict=True) if area}

    def knows(self, object_id: int, frame: int) -> bool:
        """Return True: an object without run lengths on a frame is not to be seen there."""
        return True

    def read(self, frames: range, object_ids: Sequence[int]) -> tuple[list[Image8], list[Masks]]:
        """Decode a stretch of labelled frames and its masks."""
        video = VideoFile(self.path, side=1)
        pictures = [video.rgb_HW3(frame * FRAMES_A_LABEL) for frame in frames]
        masks = [
            np.stack([_decoded(self.rows[frame][k], picture) for k in object_ids])
            for frame, picture in zip(frames, pictures, strict=True)
        ]
        return pictures, masks


def open_pictures(root: Path, name: str) -> PicturedVideo:
    """Open a video of the validation or test layout; its labelled frames are those that any object has a mask of."""
    objects = tuple(sorted(path for path in (root / LABELS / name).iterdir() if path.is_dir()))
    frames = sorted({path.stem for folder in objects for path in folder.glob("*.png")})
    if not frames:
        raise ValueError(f"{root / LABELS / name} has no masks; expected files such as 000/00000.png")
    return PicturedVideo(name, root / PICTURES / name, tuple(frames), objects)


def open_run_lengths(path: Path, kinds: Sequence[str]) -> RunLengthVideo:
    """Open a video of the training layout with the labels of these kinds, as far as they are there."""
    files = [file for kind in kinds if (file := path.with_name(f"{path.stem}_{kind}.json")).is_file()]
    if not files:
        raise ValueError(f"{path} has no labels beside it; expected {path.stem}_{kinds[0]}.json")
    try:
        tables = [json.loads(file.read_text())["masklet"] for file in files]
    except (ValueError, KeyError, TypeError) as problem:
        raise ValueError(f"{files[0].parent}: labels of {path.stem} cannot be read: {problem!r}") from problem
    num_frames = min(map(len, tables))
    rows = tuple(tuple(rle for table in tables for rle in table[frame]) for frame in range(num_frames))
    return RunLengthVideo(path.stem, path, rows)


def _decoded(rle: dict[str, Any] | None, picture: Image8) -> Masks:
    if rle is None:
        return np.zeros(picture.shape[:2], np.bool_)
    return np.asarray(coco.decode(rle)).astype(np.bool_)


def _names(root: Path, split: str | None) -> list[str]:
    if not (root / LABELS).is_dir():
        return _videos(root, split)
    if split is None:
        return sorted(path.name for path in (root / LABELS).iterdir() if path.is_dir())
    listed = root / f"{split}.txt"
    if not listed.is_file():
        raise ValueError(f"split is {split!r}, and {listed} does not exist; expected the name of a list there")
    return listed.read_text().split()


def _videos(root: Path, split: str | None) -> list[str]:
    """Return the paths, without their suffix, of labelled videos under a folder."""
    if split not in (None, *KINDS):
        raise ValueError(f"split is {split!r}; expected one of {', '.join(KINDS)}, or none for both")
    ends = [f"_{kind}.json" for kind in ((split,) if split else KINDS)]
    labelled = {path.with_name(path.name.removesuffix(end)) for end in ends for path in root.rglob(f"*{end}")}
    names = sorted(str(path.relative_to(root)) for path in labelled if path.with_name(f"{path.name}.mp4").is_file())
    if not names:
        raise ValueError(
            f"{root} holds no SA-V: expected {LABELS} and {PICTURES}, or videos NAME.mp4 with NAME{ends[0]} beside them"
        )
    return names
