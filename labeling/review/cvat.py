"""CVAT for video 1.1: masks as CVAT's importer reads them and its exporter writes them.

CVAT tracks no masks: of a track of masks its importer keeps the first, and a mask that it exports is a track of its own. So
each mask is a track here; the item's number is its group, which survives the way through CVAT, and its identity the
attribute `item`, which does where the task's label has that attribute. `rle` counts row by row inside the box, zeros first.
"""

import io
import xml.etree.ElementTree as ET
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labeling import rle
from labeling.errors import BadInput
from labeling.review.exchange import Lent, Returned, joined
from labeling.types import RLE, require

ANNOTATIONS = "annotations.xml"


def cvat_xml(lent: Sequence[Lent]) -> bytes:
    """Return the items of one video as a file to upload to a task of that video; BadInput when they are of several."""
    videos = {one.masklet.video.ref.key: one.masklet.video for one in lent}
    if len(videos) != 1:
        named = ", ".join(sorted(videos)) or "none"
        raise BadInput(f"items are of {len(videos)} videos ({named}); expected one: a CVAT task is one video", "several_videos")
    root = ET.Element("annotations")
    _text(root, "version", "1.1")
    root.append(_meta(lent))
    masks = ((one, frame_idx, mask) for one in lent for frame_idx, mask in one.masks.items())
    for number, (one, frame_idx, mask) in enumerate(masks):
        group = str(one.item.item_id)
        track = ET.SubElement(root, "track", id=str(number), label=one.label, source="auto", group_id=group)
        shape = ET.SubElement(track, "mask", _attributes(frame_idx, mask))
        ET.SubElement(shape, "attribute", name="item").text = str(one.item.key)
        ET.SubElement(shape, "attribute", name="accepted").text = "false"
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def label_setup(lent: Sequence[Lent]) -> list[dict[str, Any]]:
    """Return the labels that the task needs, as CVAT's raw label editor takes them."""
    kinds = (("item", "text", ""), ("accepted", "checkbox", "false"))
    attributes = [
        {"name": name, "mutable": False, "input_type": kind, "default_value": default, "values": [default]}
        for name, kind, default in kinds
    ]
    return [{"name": name, "type": "mask", "attributes": attributes} for name in sorted({one.label for one in lent})]


def read_cvat(path: Path) -> list[Returned]:
    """Read CVAT's export (XML, or the ZIP around it); an item is accepted where a mask of it has the attribute `accepted`.

    Raises BadInput that names the file and the first thing in it that cannot be read.
    """
    root = _root_of(path)
    try:
        size_hw = _size_of(root)
        masks: dict[str, dict[int, list[RLE]]] = defaultdict(lambda: defaultdict(list))
        accepted, named = set(), set()
        for where, name, shape in _masks_of(root):
            try:
                masks[name][_integer(shape, "frame")].append(_mask(shape, size_hw))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            accepted |= {name} if _attribute(shape, "accepted") == "true" else set()
            named |= {name} if _attribute(shape, "item") else set()
    except ValueError as error:
        raise BadInput(f"{path}: {error}", "bad_exchange_file") from error
    if not masks:
        raise BadInput(f"{path}: no track holds a mask; expected CVAT for video 1.1 with masks", "bad_exchange_file")
    whole = {name: {f: joined(parts) for f, parts in by_frame.items()} for name, by_frame in masks.items()}
    return [Returned(name, own, accepted=name in accepted, certain=name in named) for name, own in whole.items()]


def _meta(lent: Sequence[Lent]) -> ET.Element:
    video, meta = lent[0].masklet.video, ET.Element("meta")
    task = ET.SubElement(meta, "task")
    told = {"name": video.ref.key, "size": video.num_frames, "mode": "interpolation", "start_frame": 0}
    for name, value in (told | {"stop_frame": video.num_frames - 1}).items():
        _text(task, name, str(value))
    labels = ET.SubElement(task, "labels")
    for wanted in label_setup(lent):
        label = ET.SubElement(labels, "label")
        _text(label, "name", wanted["name"])
        _text(label, "type", wanted["type"])
        attributes = ET.SubElement(label, "attributes")
        for attribute in wanted["attributes"]:
            inside = ET.SubElement(attributes, "attribute")
            for part, value in attribute.items():
                _text(inside, part, value[0] if isinstance(value, list) else str(value))
    size = ET.SubElement(task, "original_size")
    _text(size, "width", str(video.size_hw[1]))
    _text(size, "height", str(video.size_hw[0]))
    return meta


def _attributes(frame_idx: int, mask: RLE) -> dict[str, str]:
    box = rle.box_xywh(mask)
    assert box is not None, "only masks with a pixel are lent"
    left, top, width, height = map(int, box)
    flat = rle.decode(mask)[top:top + height, left:left + width].ravel(order="C")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(changes, prepend=0, append=flat.size).tolist()
    runs = [0, *runs] if flat[0] else runs
    place = {"left": left, "top": top, "width": width, "height": height}
    said = {"frame": frame_idx, "keyframe": 1, "outside": 0, "occluded": 0, **place, "z_order": 0}
    return {name: str(value) for name, value in said.items()} | {"rle": ", ".join(map(str, runs))}


def _root_of(path: Path) -> ET.Element:
    try:
        body = path.read_bytes()
        if zipfile.is_zipfile(io.BytesIO(body)):
            body = zipfile.ZipFile(io.BytesIO(body)).read(ANNOTATIONS)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        expected = f"expected XML, or a ZIP with {ANNOTATIONS}"
        raise BadInput(f"{path} cannot be read ({error}); {expected}", "bad_exchange_file") from error
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise BadInput(f"{path} declares a document type; expected CVAT's XML, which has none", "bad_exchange_file")
    try:
        root = ET.fromstring(body)
    except ET.ParseError as error:
        raise BadInput(f"{path} is no XML ({error}); expected CVAT for video 1.1", "bad_exchange_file") from error
    if root.tag != "annotations":
        raise BadInput(f"{path} begins with <{root.tag}>; expected <annotations>, CVAT for video 1.1", "bad_exchange_file")
    return root


def _size_of(root: ET.Element) -> tuple[int, int]:
    size = root.find(".//original_size")
    texts = [size.findtext(side, "") for side in ("height", "width")] if size is not None else []
    good = len(texts) == 2 and all(text.isdecimal() for text in texts)
    require(good, "original_size", texts, "the video's height and width in <meta>")
    return int(texts[0]), int(texts[1])


def _masks_of(root: ET.Element) -> Iterator[tuple[str, str, ET.Element]]:
    """Yield where a mask stands, which item it is of, and its element; what is outside is no mask."""
    for track in root.iter("track"):
        for shape in track:
            where = f"track {track.get('id')}, frame {shape.get('frame')}"
            require(shape.tag == "mask", where, f"a {shape.tag}", "a mask: convert it in CVAT, or leave it out")
            if shape.get("outside") == "1":
                continue
            group = track.get("group_id", "0")
            name = _attribute(shape, "item") or (group if group != "0" else "")
            require(bool(name), where, "a mask of no item", "the attribute `item`, or the group of the object's other masks")
            yield where, name, shape


def _attribute(shape: ET.Element, name: str) -> str:
    return next(((a.text or "").strip() for a in shape.iter("attribute") if a.get("name") == name), "")


def _integer(shape: ET.Element, name: str) -> int:
    value = shape.get(name, "")
    require(value.isdecimal(), name, value, "a whole number")
    return int(value)


def _mask(shape: ET.Element, size_hw: tuple[int, int]) -> RLE:
    left, top, width, height = (_integer(shape, name) for name in ("left", "top", "width", "height"))
    inside = left + width <= size_hw[1] and top + height <= size_hw[0] and min(width, height) > 0
    require(inside, "left, top, width, height", (left, top, width, height), f"a box inside the video's {size_hw} (h, w)")
    texts = [text.strip() for text in shape.get("rle", "").split(",")]
    require(all(t.isdecimal() for t in texts), "rle", shape.get("rle", "")[:40], "run lengths with commas between")
    runs = np.array([int(t) for t in texts], np.int64)
    require(int(runs.sum()) == width * height, "rle", f"{int(runs.sum())} pixels", f"{width} x {height}, as its box has")
    mask_HW = np.zeros(size_hw, bool)
    mask_HW[top:top + height, left:left + width] = np.repeat(np.arange(runs.size) % 2 == 1, runs).reshape(height, width)
    require(bool(mask_HW.any()), "rle", "no pixel", "at least one")
    return rle.encode(mask_HW)


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
