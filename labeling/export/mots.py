"""MOTS and MOTChallenge: masks of each pixel's owner as text or 16-bit PNG, and boxes.

    <out>/<split>/instances_txt/<video>.txt                    frame, id, class, height, width, COCO run lengths
    <out>/<split>/instances/<video>/<frame, six digits>.png    class x 1000 + number of the object
    <out>/<split>/images/<video>/<frame, six digits>.jpg       with `--frames jpg`
    <out>/<split>/<video>/gt/gt.txt, seqinfo.ini, img1/        boxes, and frames with `--frames jpg`

Frames count from 1, so does a box's first pixel. MOTS knows `car` (1), `pedestrian` (2) and 10 for what is ignored, MOT twelve
classes; other categories get the numbers after these: `classes.json`. No pixel has two objects: where masks overlap the smaller
(by median visible area) lies on top, as in DAVIS, and what the others lost is counted.
"""

import statistics
from collections.abc import Collection, Mapping
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeling import rle
from labeling.export.folder import Choice, Export, Pictures, Summary, exporting, summary_of
from labeling.export.selection import ObjectOnFrame, SelectedVideo
from labeling.types import RLE

MOTS_CLASSES = {"car": 1, "pedestrian": 2}
MOT_CLASSES = {
    "pedestrian": 1, "person on vehicle": 2, "car": 3, "bicycle": 4, "motorbike": 5, "non motorized vehicle": 6,
    "static person": 7, "distractor": 8, "occluder": 9, "occluder on the ground": 10, "occluder full": 11, "reflection": 12,
}
_IGNORED = 10
_MOST_OBJECTS, _MOST_CLASS = 999, 64  # what class x 1000 + number holds in 16 bits
_JPG = ("none", "jpg")


def export_mots(root: str, out: Path, choice: Choice | None = None, *, pictures: bool = False) -> Summary:
    """Write masks into the folder `out` as text, or as PNG with `pictures`, taking an earlier export's place.

    Raises ValueError as `exporting` does, and for more categories or objects of a video than 16 bits tell apart.
    """
    name = "mots-png" if pictures else "mots-txt"
    with exporting(root, out, choice or Choice(), name, frames=_JPG) as export:
        classes = classes_of(export.chosen.categories, MOTS_CLASSES, {_IGNORED})
        _require_few(export, classes)
        for split, video in export.videos():
            with export.pictures(video) as frames:
                (_write_png if pictures else _write_txt)(export, split, video, classes)
                _save_all(export, frames, video, f"{split}/images/{video.folder}")
        export.write_json("classes.json", classes)
    return summary_of(export, out)


def export_mot(root: str, out: Path, choice: Choice | None = None) -> Summary:
    """Write boxes into the folder `out` in MOTChallenge's layout, taking an earlier export's place.

    Raises ValueError as `exporting` does.
    """
    with exporting(root, out, choice or Choice(), "mot", frames=_JPG) as export:
        classes = classes_of(export.chosen.categories, MOT_CLASSES, ())
        for split, video in export.videos():
            with export.path(split, video.folder, "gt", "gt.txt").open("w", encoding="ascii", newline="\n") as writer:
                for frame_idx, entries in export.frames(video):
                    writer.writelines(_box_line(frame_idx, entry, classes) for entry in entries if entry.mask.visible)
            export.path(split, video.folder, "seqinfo.ini").write_text(_seqinfo(video), encoding="ascii")
            with export.pictures(video) as frames:
                _save_all(export, frames, video, f"{split}/{video.folder}/img1")
        export.lost["masks"] = export.counts["masks"]
        export.write_json("classes.json", classes)
    return summary_of(export, out)


def classes_of(categories: Collection[str], known: Mapping[str, int], reserved: Collection[int]) -> dict[str, int]:
    """Return the number of each category: that which the format has for its name, else the next that is free."""
    taken = {*known.values(), *reserved}
    free = (number for number in count(1) if number not in taken)
    return {name: known[name] if name in known else next(free) for name in categories}


def _write_txt(export: Export, split: str, video: SelectedVideo, classes: Mapping[str, int]) -> None:
    order = _bottom_first(export, video)
    with export.path(split, "instances_txt", f"{video.folder}.txt").open("w", encoding="ascii", newline="\n") as writer:
        for frame_idx, entries in export.frames(video):
            seen = [entry for entry in entries if entry.mask.visible]
            for entry, mask in zip(seen, _without_overlap(export, seen, order), strict=True):
                category, (height, width) = classes[entry.track.category], mask.size_hw
                identity = category * 1000 + entry.number
                if rle.area(mask):
                    writer.write(f"{frame_idx + 1} {identity} {category} {height} {width} {mask.counts}\n")


def _write_png(export: Export, split: str, video: SelectedVideo, classes: Mapping[str, int]) -> None:
    order = _bottom_first(export, video)
    values = np.array([0, *(classes[t.category] * 1000 + n for n, t in enumerate(video.tracks, start=1))], np.uint16)
    for frame_idx, entries in export.frames(video):
        numbers_HW = _painted(export, [entry for entry in entries if entry.mask.visible], order, video.video.size_hw)
        Image.fromarray(values[numbers_HW]).save(export.path(split, "instances", video.folder, f"{frame_idx + 1:06d}.png"))


def _bottom_first(export: Export, video: SelectedVideo) -> dict[int, int]:
    """The height of each object's number, 0 for the one painted first: the smaller by median visible area lies on top."""
    medians = {}
    for number, track in enumerate(video.tracks, start=1):
        areas = export.masks.rows(track.row, columns=["video_id", "track_id", "frame_idx", "area"])["area"].to_pylist()
        medians[number] = statistics.median([area for area in areas if area] or [0])
    ordered = sorted(medians, key=lambda number: (-medians[number], -number))
    return {number: height for height, number in enumerate(ordered)}


def _painted(
    export: Export, seen: list[ObjectOnFrame], order: Mapping[int, int], size_hw: tuple[int, int]
) -> npt.NDArray[np.uint16]:
    numbers_HW = np.zeros(size_hw, np.uint16)
    for entry in sorted(seen, key=lambda entry: order[entry.number]):
        on_HW = rle.decode(entry.mask.rle)
        export.lost["overlap_pixels"] += int(np.count_nonzero(numbers_HW[on_HW]))
        numbers_HW[on_HW] = entry.number
    return numbers_HW


def _without_overlap(export: Export, seen: list[ObjectOnFrame], order: Mapping[int, int]) -> list[RLE]:
    """What is left of each mask; nothing is decoded where a frame has one."""
    if len(seen) < 2:
        return [entry.mask.rle for entry in seen]
    numbers_HW = _painted(export, seen, order, seen[0].mask.rle.size_hw)
    return [rle.encode(numbers_HW == entry.number) for entry in seen]


def _box_line(frame_idx: int, entry: ObjectOnFrame, classes: Mapping[str, int]) -> str:
    assert entry.mask.box_xywh is not None, "a visible mask has a box"
    left, top, width, height = entry.mask.box_xywh
    box = ",".join(f"{edge:g}" for edge in (left + 1, top + 1, width, height))
    return f"{frame_idx + 1},{entry.number},{box},1,{classes[entry.track.category]},1\n"


def _seqinfo(video: SelectedVideo) -> str:
    height, width = video.video.size_hw
    fields = {
        "name": video.folder, "imDir": "img1", "frameRate": f"{float(video.video.frame_rate):g}",
        "seqLength": video.num_frames, "imWidth": width, "imHeight": height, "imExt": ".jpg",
    }
    return "[Sequence]\n" + "".join(f"{name}={value}\n" for name, value in fields.items())


def _save_all(export: Export, frames: Pictures, video: SelectedVideo, folder: str) -> None:
    """Save every frame of the video, for these formats count frames by their pictures."""
    for frame_idx in range(video.video.num_frames):
        frames.save(frame_idx, export.folder / folder / f"{frame_idx + 1:06d}.jpg")


def _require_few(export: Export, classes: Mapping[str, int]) -> None:
    if max(classes.values(), default=0) > _MOST_CLASS:
        raise ValueError(f"the export has {len(classes)} categories; MOTS holds classes up to {_MOST_CLASS}. Export COCO")
    for video in export.chosen.videos:
        if len(video.tracks) > _MOST_OBJECTS:
            raise ValueError(f"{video.video.ref.key} has {len(video.tracks)} objects; MOTS holds {_MOST_OBJECTS}. Export COCO")
