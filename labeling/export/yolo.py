"""YOLO's layout, as Ultralytics reads it: a text file a frame, a line an object, lengths as shares of the picture's sides.

    <out>/data.yaml                                   names of the classes, and where the pictures of each split are
    <out>/labels/<split>/<video>_<frame index>.txt    `class x y x y ...` (segment) or `class x y width height` (detect)
    <out>/images/<split>/<video>_<frame index>.jpg    with `--frames jpg`

A file is there for each tracked frame, empty where nothing is seen: such a frame teaches what is background. An object's
number is not kept. Polygons: `labeling/export/polygons.py`; parts and holes of an object are joined into one.
"""

import json
from pathlib import Path

from labeling.export.folder import Choice, Export, Summary, exporting, summary_of
from labeling.export.polygons import one_ring, rings_of
from labeling.export.selection import ObjectOnFrame, SelectedVideo

SPLITS = ("train", "val", "test")


def export_yolo(root: str, out: Path, choice: Choice | None = None, *, boxes: bool = False) -> Summary:
    """Write masklets as polygons into the folder `out`, or their boxes, taking an earlier export's place.

    Raises ValueError as `exporting` does.
    """
    with exporting(root, out, choice or Choice(), "yolo-detect" if boxes else "yolo", frames=("none", "jpg")) as export:
        numbers = {name: number - 1 for name, number in export.chosen.categories.items()}
        used = set()
        for split, video in export.videos():
            used.add(split)
            _write_video(export, split, video, numbers, boxes=boxes)
        export.path("data.yaml").write_text(_data(used, numbers, segments=not boxes), encoding="ascii")
    return summary_of(export, out)


def _write_video(export: Export, split: str, video: SelectedVideo, numbers: dict[str, int], *, boxes: bool) -> None:
    with export.pictures(video) as pictures:
        for frame_idx, entries in export.frames(video):
            name = f"{video.folder}_{frame_idx:05d}"
            seen = [entry for entry in entries if entry.mask.visible]
            lines = [_line(export, entry, numbers[entry.track.category], boxes=boxes) for entry in seen]
            export.path("labels", split, f"{name}.txt").write_text("".join(lines), encoding="ascii")
            pictures.save(frame_idx, export.folder / "images" / split / f"{name}.jpg")


def _line(export: Export, entry: ObjectOnFrame, number: int, *, boxes: bool) -> str:
    height, width = entry.mask.rle.size_hw
    if boxes:
        assert entry.mask.box_xywh is not None, "a visible mask has a box"
        x, y, w, h = entry.mask.box_xywh
        shares = [(x + w / 2) / width, (y + h / 2) / height, w / width, h / height]
    else:
        rings = rings_of(entry.mask.rle, simplified=True)
        export.lost["polygons_joined"] += len(rings) > 1
        shares = (one_ring(rings) / (width, height)).ravel().tolist()
    return f"{number} {' '.join(f'{share:.6f}' for share in shares)}\n"


def _data(used: set[str], numbers: dict[str, int], *, segments: bool) -> str:
    """The file that a training is pointed to; without a split of its own, validation is by the training's pictures."""
    first = min(used, default="train")
    lines = [f"# task: {'segment' if segments else 'detect'}", "path: ."]
    for split in SPLITS:
        if split in used or split != "test":
            lines.append(f"{split}: images/{split if split in used else first}")
    lines += ["names:", *(f"  {number}: {json.dumps(name)}" for name, number in numbers.items())]
    return "\n".join(lines) + "\n"
