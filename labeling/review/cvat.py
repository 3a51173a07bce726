"""CVAT for video 1.1: masks as CVAT's importer reads them and its exporter writes them.

CVAT tracks no masks: of a track of masks its importer keeps the first, and a mask that it exports is a track of its own. So
each mask is a track here; the item's number is its group, which survives the way through CVAT, and its identity the
attribute `item`, which does where the task's label has that attribute. `rle` counts row by row inside the box, zeros first.
"""

import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, TypedDict

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.errors import BadInput, require, shown
from labeling.review.exchange import LentItem, ReturnedItem, row_runs
from labeling.review.foreign import MOST_BYTES, MOST_ITEM_BYTES, member_of, number_of, require_file, xml_text
from labeling.review.items import item_of
from labeling.types import MOST_FRAMES, MOST_PIXELS, RLE

Ints = npt.NDArray[np.int64]

ANNOTATIONS = "annotations.xml"
_MOST_IN_FILE = 1_000_000  # elements
_MOST_ELEMENTS, _MOST_DEPTH = 10_000, 32  # inside one element of a track or of the meta data
_MOST_RUNS = 1 << 20
_RUNS = re.compile(r"\s*[0-9]{1,10}\s*(?:,\s*[0-9]{1,10}\s*)*")


class LabelAttribute(TypedDict):
    """An attribute of a task's label, in the words of CVAT's raw label editor."""

    name: str
    mutable: bool
    input_type: str
    default_value: str
    values: list[str]


class TaskLabel(TypedDict):
    """A label that a task needs, in the same words."""

    name: str
    type: str
    attributes: list[LabelAttribute]


def cvat_xml(lent: Sequence[LentItem]) -> bytes:
    """Return the items of one video as a file to upload to a task of that video; BadInput when they are of several."""
    videos = {lent_item.masklet.video.ref.key: lent_item.masklet.video for lent_item in lent}
    if len(videos) != 1:
        named = ", ".join(sorted(videos)) or "none"
        raise BadInput(f"items are of {len(videos)} videos ({named}); expected one: a CVAT task is one video", "several_videos")
    root = ET.Element("annotations")
    _text(root, "version", "1.1")
    root.append(_meta(lent))
    masks = ((lent_item, frame_idx, mask) for lent_item in lent for frame_idx, mask in lent_item.masks.items())
    for number, (lent_item, frame_idx, mask) in enumerate(masks):
        group = str(lent_item.item.item_id)
        track = ET.SubElement(root, "track", id=str(number), label=xml_text(lent_item.label), source="auto", group_id=group)
        shape = ET.SubElement(track, "mask", _attributes(frame_idx, mask))
        ET.SubElement(shape, "attribute", name="item").text = str(lent_item.item.key)
        ET.SubElement(shape, "attribute", name="accepted").text = "false"
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def label_setup(lent: Sequence[LentItem]) -> list[TaskLabel]:
    """Return the labels that the task needs, as CVAT's raw label editor takes them."""
    kinds = (("item", "text", ""), ("accepted", "checkbox", "false"))
    attributes = [
        LabelAttribute(name=name, mutable=False, input_type=kind, default_value=default, values=[default])
        for name, kind, default in kinds
    ]
    names = sorted({xml_text(lent_item.label) for lent_item in lent})
    return [TaskLabel(name=name, type="mask", attributes=attributes) for name in names]


def read_cvat(path: Path) -> list[ReturnedItem]:
    """Read CVAT's export (XML, or the ZIP around it); an item is accepted where a mask of it has the attribute `accepted`.

    Raises BadInput that names the file and the first thing in it that cannot be read. A mask is dropped where it was read:
    what is held is run lengths.
    """
    masks: dict[str, dict[int, list[RLE]]] = defaultdict(lambda: defaultdict(list))
    accepted, named = set(), set()
    try:
        with closing(opened(path)) as reader:
            for where, name, shape, size_hw in _masks_of(reader):
                try:
                    masks[name][number_of(shape.get("frame"), "frame", MOST_FRAMES - 1)].append(mask_of_shape(shape, size_hw))
                except ValueError as error:
                    raise ValueError(f"{where}: {error}") from error
                accepted |= {name} if _attribute(shape, "accepted") == "true" else set()
                named |= {name} if _attribute(shape, "item") else set()
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: {str(error)[:500]}", "bad_exchange_file") from error
    if not masks:
        raise BadInput(f"{path}: no track holds a mask; expected CVAT for video 1.1 with masks", "bad_exchange_file")
    whole = {name: {f: rle.joined(parts) for f, parts in by_frame.items()} for name, by_frame in masks.items()}
    return [
        ReturnedItem(name, by_frame, accepted=name in accepted, certain=name in named) for name, by_frame in whole.items()
    ]


def _meta(lent: Sequence[LentItem]) -> ET.Element:
    video, meta = lent[0].masklet.video, ET.Element("meta")
    task = ET.SubElement(meta, "task")
    fields = {"name": video.ref.key, "size": video.num_frames, "mode": "interpolation", "start_frame": 0}
    for name, value in (fields | {"stop_frame": video.num_frames - 1}).items():
        _text(task, name, str(value))
    labels = ET.SubElement(task, "labels")
    for setup in label_setup(lent):
        label = ET.SubElement(labels, "label")
        _text(label, "name", setup["name"])
        _text(label, "type", setup["type"])
        attributes = ET.SubElement(label, "attributes")
        for attribute in setup["attributes"]:
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
    runs = row_runs(rle.decode(mask)[top:top + height, left:left + width]).tolist()
    box_fields = {"left": left, "top": top, "width": width, "height": height}
    fields = {"frame": frame_idx, "keyframe": 1, "outside": 0, "occluded": 0, **box_fields, "z_order": 0}
    return {name: str(value) for name, value in fields.items()} | {"rle": ", ".join(map(str, runs))}


class _Watched:
    """Bytes of XML on their way to the parser; ValueError for what would blow up in it, and for what CVAT never writes."""

    def __init__(self, reader: IO[bytes]) -> None:
        self.reader, self.num_bytes, self.since_tag, self.tail = reader, 0, 0, b""

    def read(self, num_bytes: int = -1, /) -> bytes:
        chunk = self.reader.read(num_bytes)
        self.num_bytes += len(chunk)
        require(self.num_bytes <= MOST_BYTES, "the XML", f"over {MOST_BYTES} bytes long", "a shorter one: split it")
        seen = self.tail + chunk
        declared = any(word in seen for word in (b"<!DOCTYPE", b"<!ENTITY"))
        require(not declared, "the XML", "one that declares a document type", "CVAT's XML, which has none")
        require(b"\0" not in chunk, "the XML", "not UTF-8", "UTF-8, as CVAT writes it")
        self.tail = chunk[-16:]
        end = chunk.rfind(b">")
        self.since_tag = len(chunk) - end if end >= 0 else self.since_tag + len(chunk)
        require(self.since_tag <= MOST_ITEM_BYTES, "a tag of the XML", f"over {MOST_ITEM_BYTES} bytes long", "a shorter one")
        return chunk


def opened(path: Path) -> IO[bytes]:
    """Open CVAT's export: XML, or the ZIP around it."""
    require_file(path)
    return member_of(path, ANNOTATIONS) if zipfile.is_zipfile(path) else path.open("rb")


def _masks_of(reader: IO[bytes]) -> Iterator[tuple[str, str, ET.Element, tuple[int, int]]]:
    """Yield where a mask stands, which item it is of, its element and the video's size; what is outside is no mask."""
    size_hw: tuple[int, int] | None = None
    above: list[ET.Element] = []
    count = in_file = 0
    for event, element in parsed(reader):
        if event == "start":
            if not above and element.tag != "annotations":
                raise ValueError(f"it begins with <{element.tag[:40]}>; expected <annotations>, CVAT for video 1.1")
            above.append(element)
            count, in_file = count + 1, in_file + 1
            require(in_file <= _MOST_IN_FILE, "the XML", f"over {_MOST_IN_FILE} elements long", "a shorter one: split it")
            require(count <= _MOST_ELEMENTS and len(above) <= _MOST_DEPTH, "the XML", "too many elements in one", "CVAT's")
            continue
        above.pop()
        if element.tag == "original_size":
            size_hw = _size_of(element)
        track = above[-1] if above and above[-1].tag == "track" else None
        if track is not None:
            where = f"track {_cut(track.get('id'))}, frame {_cut(element.get('frame'))}"
            require(element.tag == "mask", where, f"a {element.tag}", "a mask: convert it in CVAT, or leave it out")
            if element.get("outside") != "1":
                if size_hw is None:
                    raise ValueError("original_size is []; expected the video's height and width in <meta>, before all tracks")
                yield where, _name_of(element, track, where), element, size_hw
        if track is not None or len(above) == 1:
            above[-1].clear() if track is None else track.remove(element)
            count = len(above)


def parsed(reader: IO[bytes]) -> Iterator[tuple[str, ET.Element]]:
    """Yield the starts and ends of elements; ValueError for what is no XML, declares a type, or is too long."""
    try:
        yield from ET.iterparse(_Watched(reader), events=("start", "end"))
    except (ET.ParseError, LookupError) as error:
        raise ValueError(f"it is no XML ({error}); expected CVAT for video 1.1") from error


def _cut(text: str | None) -> str:
    return shown(text)[1:-1][:40] if text is not None else "None"


def _name_of(shape: ET.Element, track: ET.Element, where: str) -> str:
    group = track.get("group_id", "0")
    name = _attribute(shape, "item") or (group if group != "0" else "")
    require(bool(name), where, "a mask of no item", "the attribute `item`, or the group of the object's other masks")
    try:
        item_of(name)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return name


def _size_of(size: ET.Element) -> tuple[int, int]:
    texts = [size.findtext(side, "") for side in ("height", "width")]
    good = all(text.isascii() and text.isdecimal() for text in texts)
    require(good, "original_size", texts, "the video's height and width in <meta>")
    height, width = (number_of(text, "original_size", 1 << 16) for text in texts)
    require(0 < height * width <= MOST_PIXELS, "original_size", (height, width), f"1 to {MOST_PIXELS} pixels")
    return height, width


def _attribute(shape: ET.Element, name: str) -> str:
    return next(((a.text or "").strip() for a in shape.iter("attribute") if a.get("name") == name), "")


def mask_of_shape(shape: ET.Element, size_hw: tuple[int, int]) -> RLE:
    """Read a mask element; ValueError names what does not fit the video's size."""
    left, top, width, height = (number_of(shape.get(name), name, 1 << 16) for name in ("left", "top", "width", "height"))
    inside = left + width <= size_hw[1] and top + height <= size_hw[0] and min(width, height) > 0
    require(inside, "left, top, width, height", (left, top, width, height), f"a box inside the video's {size_hw} (h, w)")
    runs = _runs(shape.get("rle", ""), width * height)
    spans = _of_rectangles(runs, (height, width))
    if spans is None:
        spans = _of_pixels(runs, (height, width))
    require(spans[0].size > 0, "rle", "no pixel", "at least one")
    columns, rows = np.divmod(spans[0], height + 1)
    starts = (left + columns) * size_hw[0] + top + rows
    return rle.from_spans(starts, starts + spans[1] - spans[0], size_hw)


def _of_rectangles(runs: Ints, size_hw: tuple[int, int]) -> tuple[Ints, Ints] | None:
    """Spans down the columns of a box with a row more, from runs along its rows; None where pixels are fewer than steps.

    A run is the end of a row, whole rows, and the beginning of one, so a few runs cost little however large the box is.
    """
    height, width = size_hw
    first, end = rle.spans_of_runs(runs)
    (y0, x0), (y1, x1) = np.divmod(first, width), np.divmod(end - 1, width)
    same_row = y0 == y1
    full = np.full_like(x0, width)
    tops, bottoms = np.concatenate([y0, y0 + 1, y1]), np.concatenate([y0 + 1, y1, y1 + 1])
    lefts, rights = np.concatenate([x0, 0 * x0, 0 * x0]), np.concatenate([np.where(same_row, x1 + 1, full), full, x1 + 1])
    keep = (bottoms > tops) & ~np.concatenate([np.zeros_like(same_row), same_row, same_row])
    tops, bottoms, lefts, rights = tops[keep], bottoms[keep], lefts[keep], rights[keep]
    steps = rights - lefts
    if 4 * int(steps.sum()) > height * width:
        return None
    which = np.repeat(np.arange(steps.size), steps)
    columns = np.arange(which.size) - np.repeat(np.cumsum(steps) - steps, steps) + lefts[which]
    return columns * (height + 1) + tops[which], columns * (height + 1) + bottoms[which]


def _of_pixels(runs: Ints, size_hw: tuple[int, int]) -> tuple[Ints, Ints]:
    """The same spans by way of the box's pixels; the row more keeps a span from going on into the next column."""
    height, width = size_hw
    padded_HW = np.zeros((height + 1, width), bool)
    padded_HW[:-1] = np.repeat(np.arange(runs.size) % 2 == 1, runs).reshape(height, width)
    changes = int(np.count_nonzero(padded_HW[1:] != padded_HW[:-1]))
    require(changes <= _MOST_RUNS, "rle", f"a mask of {changes} changes down its columns", f"at most {_MOST_RUNS}")
    return rle.spans_of(rle.encode(padded_HW))


def _runs(text: str, num_pixels: int) -> Ints:
    """Read run lengths; each is looked at before they are added up, for a sum can wrap around."""
    require(text.count(",") < _MOST_RUNS, "rle", f"{text.count(',') + 1} runs", f"at most {_MOST_RUNS}")
    good = _RUNS.fullmatch(text) is not None
    require(good, "rle", text[:40], f"run lengths up to {num_pixels} with commas between")
    runs = np.array(text.split(","), dtype="U16").astype(np.int64)
    total = int(runs.sum())
    require(total == num_pixels, "rle", f"{total} pixels", f"{num_pixels}, as its box has")
    return runs


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = xml_text(text)
