"""Every format that is written as a folder, with its line of the help and the frames that can go along."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from labeling.export.folder import Choice, Summary
from labeling.export.yolo import export_yolo


@dataclass(frozen=True, slots=True)
class Format:
    """A format of `labeling export`: `write` takes a store's root, a folder to write and what is asked of it."""

    write: Callable[[str, Path, Choice], Summary]
    says: str
    frames: tuple[str, ...] = ("none",)


PICTURES = ("none", "jpg")
FOLDERS = {
    "yolo": Format(export_yolo, "YOLO segment labels, an object as one polygon", PICTURES),
    "yolo-detect": Format(partial(export_yolo, boxes=True), "YOLO detect labels, an object as its box", PICTURES),
}
