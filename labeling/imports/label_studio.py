"""Label Studio's JSON: boxes on videos, boxes, polygons and brush masks on pictures.

A video's regions are key frames; between two that are enabled boxes lie on a line, as its player shows them. Frames count
from 1. A picture's frame is the task's `video` and `frame` where it has them, as the ones that this project writes, or else
its file name, as in COCO.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np

from labeling.errors import BadInput, require
from labeling.imports.coco import frame_of_name
from labeling.imports.labels import BAD_FILE, ForeignLabel, LabelFile, Size, mask_of_polygons, naming, real, size_of, whole
from labeling.imports.yolo import SizeOf
from labeling.review.foreign import objects_of, require_file
from labeling.review.label_studio import decode_brush
from labeling.types import Box

_KINDS = {"rectanglelabels": "rectanglelabels", "polygonlabels": "polygonlabels", "brushlabels": "brushlabels"}


def read_label_studio_labels(path: Path, size_of_video: SizeOf) -> LabelFile:
    """Read the annotations that were not cancelled; `size_of_video` gives the height and width that boxes are shares of."""
    read = LabelFile()
    with naming(path):
        require_file(path)
        for number, task in enumerate(objects_of(path), start=1):
            name = f"task {task.get('id', number) if isinstance(task, Mapping) else number}"
            with naming(path, name):
                require(isinstance(task, Mapping), "the task", task, "a mapping")
                assert isinstance(task, Mapping)
                for label in _labels(task, name, size_of_video, read):
                    read.add(label)
    return read


def _labels(task: Mapping[str, Any], where: str, size_of_video: SizeOf, read: LabelFile) -> Iterator[ForeignLabel]:
    data = task["data"]
    for annotation in task.get("annotations") or ():
        if annotation.get("was_cancelled"):
            continue
        for region in annotation["result"]:
            kind = region.get("type")
            place = f"{where}, region {region.get('id')}"
            if kind == "videorectangle":
                yield from _of_video(data, region, place, size_of_video, read)
            elif kind in _KINDS:
                yield _of_picture(data, region, place, read)
            else:
                read.lost[f"regions of type {str(kind)[:40]}"] += 1


def _of_video(
    data: Mapping[str, Any], region: Mapping[str, Any], where: str, size_of_video: SizeOf, read: LabelFile
) -> Iterator[ForeignLabel]:
    value = region["value"]
    video = _name(next(str(data[name]) for name in ("video", "video_url", *data) if name in data))
    size_hw = size_of_video(video)
    if size_hw is None:
        raise BadInput(f"{where}: the size of {video!r} is not known; give source.uri, or --size WIDTHxHEIGHT", BAD_FILE)
    category, track = _first(value.get("labels")), str(region["id"])
    keys = sorted((whole(k["frame"], "frame", least=1), k) for k in value["sequence"])
    for (frame, key), later in zip(keys, [*keys[1:], None], strict=True):
        if not key.get("enabled", True):
            last = frame + 1
        else:
            last = later[0] if later else frame + 1
        read.lost["turned boxes' angles"] += bool(key.get("rotation"))
        for k in range(frame, last):
            share = (k - frame) / max(1, last - frame)
            box = _between(key, later[1] if later else key, share, size_hw)
            yield ForeignLabel(video, k - 1, track, category, where, box)


def _of_picture(data: Mapping[str, Any], region: Mapping[str, Any], where: str, read: LabelFile) -> ForeignLabel:
    value, size_hw = region["value"], size_of(region["original_height"], region["original_width"])
    if "video" in data and "frame" in data:
        video, frame_idx = str(data["video"]), whole(data["frame"], "frame")
    else:
        video, frame_idx = frame_of_name(_name(str(data["image"])))
    track = str(data["item"]) if "item" in data else None
    category = _first(value.get(region["type"]))
    if region["type"] == "brushlabels":
        require(value.get("format") == "rle", "format", value.get("format"), "rle")
        return ForeignLabel(video, frame_idx, track, category, where, mask=decode_brush(value["rle"], size_hw))
    if region["type"] == "polygonlabels":
        points = np.array(value["points"], float) / 100 * (size_hw[1], size_hw[0])
        return ForeignLabel(video, frame_idx, track, category, where, mask=mask_of_polygons([points.ravel().tolist()], size_hw))
    read.lost["turned boxes' angles"] += bool(value.get("rotation"))
    return ForeignLabel(video, frame_idx, track, category, where, _between(value, value, 0.0, size_hw))


def _between(first: Mapping[str, Any], last: Mapping[str, Any], share: float, size_hw: Size) -> Box:
    """Return the box a share of the way from one key frame to the next, from percents of the frame to pixels."""
    x, y, width, height = (
        (1 - share) * real(first[name], name) + share * real(last[name], name) for name in ("x", "y", "width", "height")
    )
    require(width > 0 and height > 0, "width, height", (width, height), "more than 0 percent")
    right, down = size_hw[1] / 100, size_hw[0] / 100
    return x * right, y * down, (x + width) * right, (y + height) * down


def _name(address: str) -> str:
    """The file's name in an address, `?d=` of local storage among them."""
    url = urlparse(address)
    path = unquote(url.query.removeprefix("d=")) if url.query.startswith("d=") else unquote(url.path)
    return str(PurePosixPath(path.lstrip("/")))


def _first(names: Sequence[str] | None) -> str | None:
    return str(names[0]) if names else None
