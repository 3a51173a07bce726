"""CVAT's XML 1.1, for video and for images: boxes, polygons and masks of tracks and of single frames."""

import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from labeling.errors import BadInput, require
from labeling.imports.coco import frame_of_name
from labeling.imports.labels import BAD_FILE, ForeignLabel, LabelFile, Size, mask_of_polygons, real, size_of, whole
from labeling.review.cvat import mask_of_shape, opened, parsed

_SHAPES = {"box", "polygon", "mask"}
_LOST = {"points", "polyline", "ellipse", "cuboid", "skeleton", "tag"}


def read_cvat_labels(path: Path) -> LabelFile:
    """Read an export, XML or the ZIP around it; the video is named as the task's source, or else as the task."""
    read = LabelFile()
    try:
        with closing(opened(path)) as reader:
            _read(reader, read, path.stem)
    except (ValueError, KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile, RecursionError) as error:
        raise BadInput(f"{path}: {str(error)[:500]}", BAD_FILE) from error
    return read


def _read(reader: IO[bytes], read: LabelFile, name: str) -> None:
    video, size_hw, above = name, None, list[ET.Element]()
    for event, element in parsed(reader):
        if event == "start":
            require(bool(above) or element.tag == "annotations", "the XML", element.tag, "<annotations>, CVAT's XML 1.1")
            above.append(element)
            continue
        above.pop()
        if element.tag == "original_size":
            size_hw = size_of(element.findtext("height"), element.findtext("width"))
        elif element.text and above and _names_video(element.tag, above[-1].tag, video == name):
            video = element.text.strip()
        elif element.tag in ("track", "image") and len(above) == 1:
            for label in _labels(element, video, size_hw, read):
                read.add(label)
            above[-1].remove(element)


def _names_video(tag: str, above: str, unnamed: bool) -> bool:
    return (tag == "source" and above in ("meta", "task")) or (tag == "name" and above == "task" and unnamed)


def _labels(element: ET.Element, video: str, size_hw: Size | None, read: LabelFile) -> Iterator[ForeignLabel]:
    identity = element.get("id", "?")
    for shape in element:
        where = f"{element.tag} {identity}" + (f", frame {shape.get('frame')}" if element.tag == "track" else "")
        if shape.tag in _LOST:
            read.lost[f"shapes of kind {shape.tag}"] += 1
        if shape.tag not in _SHAPES or shape.get("outside") == "1":
            continue
        read.lost["attributes"] += sum(1 for _ in shape.iter("attribute"))
        try:
            yield _label(element, shape, video, size_hw, where)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{where}: {error}") from error


def _label(element: ET.Element, shape: ET.Element, video: str, size_hw: Size | None, where: str) -> ForeignLabel:
    is_track = element.tag == "track"
    category = (element if is_track else shape).get("label")
    if is_track:
        frame_idx, track = whole(shape.get("frame"), "frame"), str(element.get("id"))
    else:
        size_hw = size_of(element.get("height"), element.get("width"))
        video, frame_idx = frame_of_name(str(element.get("name", "")))
        track = None
    if shape.tag == "box":
        x0, y0, x1, y1 = (real(shape.get(name), name) for name in ("xtl", "ytl", "xbr", "ybr"))
        require(x0 < x1 and y0 < y1, "the box", (x0, y0, x1, y1), "corners in order")
        return ForeignLabel(video, frame_idx, track, category, where, (x0, y0, x1, y1))
    require(size_hw is not None, "original_size", None, "the video's height and width in <meta>, before all tracks")
    assert size_hw is not None
    if shape.tag == "mask":
        return ForeignLabel(video, frame_idx, track, category, where, mask=mask_of_shape(shape, size_hw))
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair.strip()]
    require(all(len(pair) == 2 for pair in pairs), "points", shape.get("points"), "x,y;x,y;...")
    return ForeignLabel(video, frame_idx, track, category, where, mask=mask_of_polygons([sum(pairs, [])], size_hw))
