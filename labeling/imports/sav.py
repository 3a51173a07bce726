"""SA-V's JSON of a training video: run lengths by frame and object, of every fourth frame; and its folders of masks.

    <video>_manual.json, <video>_auto.json
    Annotations_6fps/<video>/<object>/00000.png, 00004.png, ...

Source: Ravi et al. 2024, "SAM 2", section 5.
"""

from collections.abc import Mapping
from pathlib import Path

from labeling import rle
from labeling.errors import BadInput, require
from labeling.imports.labels import BAD_FILE, ForeignLabel, LabelFile, files_below, mask_of_counts, naming, read_json
from labeling.imports.pictures import label_of_mask, read_values
from labeling.types import Cell

FRAMES_A_LABEL = 4      # of SA-V's own; a file may say otherwise in `frames_per_label`
FOLDER = "Annotations_6fps"


def read_sav(path: Path) -> LabelFile:
    """Read one JSON, every one below a folder, or the folder's masks where it has the other layout."""
    read = LabelFile()
    masks = path if path.name == FOLDER else path / FOLDER
    if masks.is_dir():
        _read_folders(masks, read)
        return read
    for file in files_below(path, "*.json", "<video>_manual.json, or a folder Annotations_6fps"):
        _read_video(file, read_json(file), read)
    return read


def _read_video(file: Path, document: Mapping[str, Cell], read: LabelFile) -> None:
    with naming(file):
        rows = document["masklet"]
        require(isinstance(rows, list), "masklet", rows, "a list of frames")
        ids = document.get("masklet_id") or list(range(len(rows[0]) if rows else 0))
        video = str(document.get("video_id") or file.stem.removesuffix("_manual").removesuffix("_auto"))
        step = int(document.get("frames_per_label", FRAMES_A_LABEL))
        categories = document.get("masklet_category") or [None] * len(ids)
        require(len(categories) == len(ids), "masklet_category", len(categories), f"one for each of {len(ids)} objects")
    for number, row in enumerate(rows):
        with naming(file, f"frame {number} of masklet"):
            fits = isinstance(row, list) and len(row) == len(ids)
            require(fits, "the frame", row, f"a mask or null for each of {len(ids)} ids")
            for object_id, counts, category in zip(ids, row, categories, strict=True):
                if counts is not None:
                    mask = mask_of_counts(counts)
                    where = f"frame {number}, object {object_id}"
                    label = label_of_mask(video, number * step, str(object_id), category, where, mask)
                    if label:
                        read.add(label)


def _read_folders(folder: Path, read: LabelFile) -> None:
    files = files_below(folder, "*.png", "<video>/<object>/<frame>.png")
    for file in files:
        with naming(file):
            require(file.stem.isdecimal(), "the file's name", file.name, "the frame's number")
            values = read_values(file)
            label = label_of_values(file, values)
            if label:
                read.add(label)
    if not read.labels:
        raise BadInput(f"{folder} has no mask with a pixel in {len(files)} files; expected some", BAD_FILE)


def label_of_values(file: Path, values_HW: Cell) -> ForeignLabel | None:
    """Return an object's mask on a frame from its file; None of an empty one."""
    video, object_id = file.parent.parent.name, file.parent.name
    name = str(int(object_id)) if object_id.isdecimal() else object_id
    return label_of_mask(video, int(file.stem[-9:]), name, None, file.name, rle.encode(values_HW != 0))
