"""Label Studio JSON: a task for each frame of an item, its mask as a pre-annotation that BrushLabels can edit.

Label Studio has boxes on videos and no masks, so frames go there as pictures. A submitted annotation says that a frame was
looked at; an item all of whose tasks are submitted is accepted, or corrected where a mask was changed.

Brush masks are run lengths of the picture's RGBA bytes, row by row, packed into bits and written as a list of bytes. Layout,
as `@thi.ng/rle-pack` writes it: the number of words (32 bits), bits of a word less one (5), four run sizes less one (4 each);
then a bit that says whether one word is repeated, which size its count has (2), the count less one, and the word, or as many
words as counted. Every channel holds 255 where the mask is on.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeling import rle
from labeling.errors import BadInput, require, shown
from labeling.ingest.decode import FrameReader
from labeling.ingest.fetch import fetch_video
from labeling.review.exchange import LentItem, ReturnedItem, row_runs
from labeling.review.foreign import objects_of, require_file, xml_text
from labeling.review.items import item_of
from labeling.types import MOST_FRAMES, MOST_PIXELS, RLE

FROM_NAME, TO_NAME = "mask", "image"
QUALITY = 95
_MOST_REGIONS = 1_000  # of one frame
_MOST_SECONDS = 1e7
_EXPECTED = "expected Label Studio's export as JSON"
# Of brush masks.
_SIZES = (3, 4, 8, 16)
_CHANNELS, _WORD = 4, 8
_ALPHA = 3  # the channel
_MOST_BYTES = 1 << 21
_ON, _HALF = 255, 128


@dataclass(frozen=True, slots=True)
class _Task:
    """What a task says of one frame: `seen` where an annotation was submitted, `mask` None where it holds no pixel."""

    item: str
    frame_idx: int
    num_frames: int
    seen: bool
    mask: RLE | None
    seconds: float


def tasks_of(lent: Sequence[LentItem], *, image_url: str, every: int = 1) -> Iterator[Mapping[str, object]]:
    """Yield the tasks; a picture's address is `image_url` and its name. `every` n lends every n-th frame."""
    for lent_item in lent:
        frames = lent_item.masklet.frames[::every]
        height, width = lent_item.masklet.video.size_hw
        common = {"to_name": TO_NAME, "original_width": width, "original_height": height, "image_rotation": 0}
        for frame in frames:
            name = str(lent_item.item.key)
            picture = quote(picture_name(lent_item, frame.frame_idx))
            data = {"image": image_url + picture, "item": name, "frame": frame.frame_idx}
            data |= {"frames": len(frames), "video": lent_item.item.video_key}
            region_id = f"{lent_item.item.item_id}-{frame.frame_idx}"
            region: dict[str, object] = {"id": region_id, "type": "brushlabels", "from_name": FROM_NAME, **common}
            region["value"] = {"format": "rle", "rle": encode_brush(frame.rle), "brushlabels": [xml_text(lent_item.label)]}
            yield {"data": data, "predictions": [{"model_version": name, "result": [region] if frame.visible else []}]}


def label_config(lent: Sequence[LentItem]) -> str:
    """Return the labelling setup that a project needs for these tasks."""
    names = sorted({lent_item.label for lent_item in lent})
    labels = "".join(f"    <Label value={quoteattr(xml_text(name))}/>\n" for name in names)
    brush = f'  <BrushLabels name="{FROM_NAME}" toName="{TO_NAME}">\n{labels}  </BrushLabels>\n'
    return f'<View>\n  <Image name="{TO_NAME}" value="$image" zoom="true"/>\n{brush}</View>\n'


def picture_name(lent_item: LentItem, frame_idx: int) -> str:
    """Name a frame's picture; items of one video share it."""
    return f"{lent_item.item.key.video_id}-{frame_idx:06d}.jpg"


def write_pictures(lent: Sequence[LentItem], folder: Path, *, scratch: Path, every: int = 1) -> int:
    """Write the frames of the tasks as JPEG below `folder` and return how many; their videos are fetched to `scratch`."""
    folder.mkdir(parents=True, exist_ok=True)
    by_video: dict[str, list[LentItem]] = defaultdict(list)
    for lent_item in lent:
        by_video[lent_item.item.key.video_id].append(lent_item)
    count = 0
    for items in by_video.values():
        video = items[0].masklet.video
        frame_indices = sorted({f.frame_idx for lent_item in items for f in lent_item.masklet.frames[::every]})
        with fetch_video(video.ref, scratch, run_id="review") as path, FrameReader(path, video, frame_indices) as frames:
            for k, frame_idx in enumerate(frame_indices):
                Image.fromarray(frames[k]).save(folder / picture_name(items[0], frame_idx), quality=QUALITY)
        count += len(frame_indices)
    return count


def read_label_studio(path: Path) -> list[ReturnedItem]:
    """Read Label Studio's JSON export; tasks that nobody submitted say nothing, those that were skipped neither.

    Raises BadInput that names the file and the first task in it that cannot be read.
    """
    by_item: dict[str, list[_Task]] = defaultdict(list)
    try:
        require_file(path)
        for number, value in enumerate(objects_of(path), start=1):
            task = _checked(path, number, value)
            by_item[task.item].append(task)
    except (ValueError, RecursionError, OSError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} cannot be read: {_said(error)}; {_EXPECTED}", "bad_exchange_file") from error
    if not by_item:
        raise BadInput(f"{path} holds no list of tasks; {_EXPECTED}", "bad_exchange_file")
    return [_returned(name, tasks) for name, tasks in by_item.items()]


def _checked(path: Path, number: int, value: object) -> _Task:
    try:
        return _read_task(value)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BadInput(f"{path}, task {number}: {_said(error)}", "bad_exchange_file") from error


def _returned(name: str, tasks: Sequence[_Task]) -> ReturnedItem:
    seen = {task.frame_idx: task for task in tasks if task.seen}
    return ReturnedItem(
        name,
        {frame_idx: task.mask for frame_idx, task in seen.items() if task.mask is not None},
        frames=frozenset(seen),
        accepted=len(seen) == tasks[0].num_frames,
        seconds=sum(task.seconds for task in seen.values()),
    )


def _read_task(task: object) -> _Task:
    if not isinstance(task, Mapping):
        raise ValueError(f"task is {shown(task)}; expected a mapping")
    data = task["data"]
    item, frame, frames = data["item"], data["frame"], data["frames"]
    require(isinstance(item, str) and bool(item), "item", item, "the item's identity")
    item_of(item)
    for name, count in {"frame": frame, "frames": frames}.items():
        whole = isinstance(count, int) and not isinstance(count, bool) and 0 <= count < MOST_FRAMES
        require(whole, name, count, "a whole number below 2**31")
    submitted = [a for a in task["annotations"] if not a.get("was_cancelled")]
    where = f"{len(submitted)} of item {item}, frame {frame}"
    require(len(submitted) <= 1, "annotations", where, "one: keep the one that holds")
    regions = [region for a in submitted for region in a["result"]]
    require(len(regions) <= _MOST_REGIONS, "result", f"{len(regions)} regions", f"at most {_MOST_REGIONS}")
    try:
        masks = [_mask(region) for region in regions]
        parts = [mask for mask in masks if rle.area(mask)]
        mask = rle.joined(parts) if parts else None
    except ValueError as error:
        raise ValueError(f"{error} (item {item}, frame {frame})") from error
    seconds = sum(float(a.get("lead_time") or 0.0) for a in submitted)
    require(0 <= seconds <= _MOST_SECONDS, "lead_time", seconds, f"seconds, 0 to {_MOST_SECONDS:.0f}")
    return _Task(item, frame, frames, bool(submitted), mask, seconds)


def _mask(region: Mapping[str, Any]) -> RLE:
    kind, value = region["type"], region["value"]
    require(kind == "brushlabels" and value.get("format") == "rle", "region", kind, "brushlabels with format rle")
    return decode_brush(value["rle"], (region["original_height"], region["original_width"]))


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{shown(error.args[0])} is missing; expected a task that this project wrote"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:500]


def encode_brush(mask: RLE) -> list[int]:
    """Write a mask as Label Studio's list of bytes."""
    num_words = mask.size_hw[0] * mask.size_hw[1] * _CHANNELS
    header = f"{num_words:032b}{_WORD - 1:05b}" + "".join(f"{size - 1:04b}" for size in _SIZES)
    runs = (_run(int(n) * _CHANNELS, _ON * (k % 2)) for k, n in enumerate(row_runs(rle.decode(mask))))
    bits = header + "".join(runs)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _run(length: int, value: int) -> str:
    longest, parts = 1 << _SIZES[-1], []
    while length > 0:
        part = min(length, longest)
        which = next(k for k, size in enumerate(_SIZES) if part <= 1 << size)
        parts.append(f"1{which:02b}{part - 1:0{_SIZES[which]}b}{value:08b}")
        length -= part
    return "".join(parts)


def decode_brush(packed: Sequence[int], size_hw: tuple[int, int]) -> RLE:
    """Read Label Studio's list of bytes; on is where alpha is half or more. ValueError names what does not fit."""
    short = isinstance(packed, Sequence) and len(packed) <= _MOST_BYTES
    require(short, "rle", packed, f"a list of at most {_MOST_BYTES} bytes")
    require(all(isinstance(b, int) and 0 <= b < 256 for b in packed), "rle", packed, "a list of bytes")
    sides = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in size_hw)
    require(sides and size_hw[0] * size_hw[1] <= MOST_PIXELS, "the picture", size_hw, f"(h, w) of at most {MOST_PIXELS} pixels")
    alpha = _alpha_of(bytes(packed), size_hw[0] * size_hw[1])
    return rle.encode(alpha.reshape(size_hw))


def _alpha_of(body: bytes, num_pixels: int) -> npt.NDArray[np.bool_]:
    """Unpack the words and keep, of every fourth, whether it is half or more."""
    num_words, word = _number(body, 0, 32), _number(body, 32, 5) + 1
    require(word == _WORD, "rle", f"words of {word} bits", "8")
    require(num_words == num_pixels * _CHANNELS, "rle", f"{num_words} words", f"four for each of {num_pixels} pixels")
    sizes = [_number(body, 37 + 4 * k, 4) + 1 for k in range(4)]
    alpha, done, at = np.zeros(num_pixels, np.bool_), 0, 53
    while done < num_words:
        head = _number(body, at, 3)
        size = sizes[head & 3]
        count, start = _number(body, at + 3, size) + 1, at + 3 + size
        require(done + count <= num_words, "rle", f"{len(body)} bytes", "runs that fill the picture")
        first, last = -(-(done - _ALPHA) // _CHANNELS), (done + count - 1 - _ALPHA) // _CHANNELS + 1
        if head & 4:
            alpha[first:last] = _number(body, start, _WORD) >= _HALF
            at = start + _WORD
        else:
            at = start + _WORD * count
            words = _bytes(body, start, count)[first * _CHANNELS + _ALPHA - done :: _CHANNELS]
            alpha[first:last] = words >= _HALF
        done += count
    return alpha


def _bytes(body: bytes, start: int, count: int) -> npt.NDArray[np.uint8]:
    end = start + _WORD * count
    require(end <= 8 * len(body), "rle", f"{len(body)} bytes", "more: it ends inside a run")
    bits = np.unpackbits(np.frombuffer(body[start // 8 : -(-end // 8)], np.uint8))
    return np.packbits(bits[start % 8 : start % 8 + _WORD * count])


def _number(body: bytes, start: int, size: int) -> int:
    end = start + size
    require(end <= 8 * len(body), "rle", f"{len(body)} bytes", "more: it ends inside a run")
    last = -(-end // 8)
    return int.from_bytes(body[start // 8 : last], "big") >> (8 * last - end) & (1 << size) - 1
