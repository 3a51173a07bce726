"""COCO's JSON of pictures or of videos, and that of YouTube-VIS.

A picture's frame is `video_id` and `frame_id` (`frame_index`), or else its file name: `<video>/<number>.jpg`; any other file
name is a video of one frame. A track is `track_id` or `instance_id`. YouTube-VIS has a list of masks for each track, one an
entry of the video's `file_names`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from labeling.errors import require
from labeling.imports.labels import (
    ForeignLabel,
    LabelFile,
    Size,
    box_of_xywh,
    mask_of_counts,
    mask_of_polygons,
    naming,
    read_json,
    real,
    size_of,
    whole,
)
from labeling.types import RLE, Box, Cell

_UNREAD = ("keypoints", "caption")


def read_coco(path: Path) -> LabelFile:
    """Read the boxes and masks of `annotations`."""
    document, read = read_json(path), LabelFile()
    with naming(path):
        names = _categories(document)
        videos = {whole(v["id"], "videos id"): _video_name(v) for v in _list(document, "videos", optional=True)}
        images = _images(path, document, videos)
        # Ours: a track's number in the file, and the object that it is of.
        tracks = {t["id"]: t["object_id"] for t in _list(document, "tracks", optional=True) if "object_id" in t}
        annotations = _list(document, "annotations")
    for number, annotation in enumerate(annotations):
        where = f"annotation {annotation.get('id', f'at {number}') if isinstance(annotation, Mapping) else number}"
        with naming(path, where):
            _read_annotation(annotation, images, names, tracks, where, read)
    return read


def _read_annotation(
    annotation: Mapping[str, Cell], images: Mapping[int, tuple[str, int, Size | None]], names: Mapping[int, str],
    tracks: Mapping[Cell, Cell], where: str, read: LabelFile,
) -> None:
    if annotation.get("iscrowd"):
        read.lost["crowd regions"] += 1
        return
    image_id = whole(annotation["image_id"], "image_id")
    require(image_id in images, "image_id", image_id, "the id of an image")
    video, frame_idx, size_hw = images[image_id]
    for name in _UNREAD:
        read.lost[name] += bool(annotation.get(name))
    given = next((annotation[name] for name in ("track_id", "instance_id") if annotation.get(name) is not None), None)
    track = None if given is None else str(tracks.get(given, given))
    mask, box = _shape(annotation.get("segmentation"), annotation.get("bbox"), size_hw)
    score = annotation.get("score")
    read.add(ForeignLabel(
        video, frame_idx, track, _category(annotation, names), where, box, mask, None if score is None else real(score, "score")
    ))


def read_youtube_vis(path: Path) -> LabelFile:
    """Read every track's masks, or boxes where it has no mask."""
    document, read = read_json(path), LabelFile()
    videos: dict[int, tuple[str, list[int], Size]] = {}
    with naming(path):
        names, entries, annotations = _categories(document), _list(document, "videos"), _list(document, "annotations")
    for entry in entries:
        with naming(path, f"video {entry.get('id')}"):
            files = [str(name) for name in entry["file_names"]]
            require(bool(files), "file_names", files, "the names of the video's frames")
            size_hw = size_of(entry["height"], entry["width"])
            videos[whole(entry["id"], "id")] = _folder_of(files[0]), _numbers(files), size_hw
    for annotation in annotations:
        where = f"annotation {annotation.get('id')}"
        with naming(path, where):
            video_id = whole(annotation["video_id"], "video_id")
            require(video_id in videos, "video_id", video_id, "the id of a video")
            if annotation.get("iscrowd"):
                read.lost["crowd regions"] += 1
                continue
            video, frames, size_hw = videos[video_id]
            masks = annotation.get("segmentations") or [None] * len(frames)
            boxes = annotation.get("bboxes") or [None] * len(frames)
            fits = len(masks) == len(boxes) == len(frames)
            require(fits, "segmentations", len(masks), f"one for each of {len(frames)} frames")
            category, track = _category(annotation, names), str(annotation["id"])
            for frame_idx, mask, box in zip(frames, masks, boxes, strict=True):
                if mask or box:
                    shape, rectangle = _shape(mask, box, size_hw)
                    read.add(ForeignLabel(video, frame_idx, track, category, where, rectangle, shape))
    return read


def _shape(segmentation: Cell, bbox: Cell, size_hw: Size | None) -> tuple[RLE | None, Box | None]:
    """Return the mask, and the box where there is no mask."""
    if isinstance(segmentation, Mapping):
        return mask_of_counts(segmentation, size_hw), None
    if segmentation:
        require(size_hw is not None, "the image's size", None, "height and width, which a polygon needs")
        assert size_hw is not None
        return mask_of_polygons(segmentation, size_hw), None
    return None, box_of_xywh(bbox)


def _images(path: Path, document: Mapping[str, Cell], videos: Mapping[int, str]) -> dict[int, tuple[str, int, Size | None]]:
    images = {}
    for number, image in enumerate(_list(document, "images")):
        with naming(path, f"image {image.get('id', f'at {number}')}"):
            size_hw = size_of(image["height"], image["width"]) if image.get("height") and image.get("width") else None
            frame = next((image[n] for n in ("frame_id", "frame_index") if image.get(n) is not None), None)
            video_id, name = image.get("video_id"), str(image.get("file_name", ""))
            if video_id is not None and frame is not None and video_id in videos:
                video, frame_idx = videos[video_id], whole(frame, "frame_id")
            else:
                video, frame_idx = frame_of_name(name)
            require(bool(video), "file_name", name, "a name, or video_id and frame_id")
            images[whole(image["id"], "id")] = video, frame_idx, size_hw
    return images


def frame_of_name(name: str) -> tuple[str, int]:
    """Return the video and frame of a picture: folder and number, or a video of one frame."""
    path = PurePosixPath(name)
    if path.stem.isascii() and path.stem.isdecimal() and len(path.parts) > 1:
        return str(path.parent), int(path.stem[-9:])
    return name, 0


def _folder_of(name: str) -> str:
    parent = str(PurePosixPath(name).parent)
    return name if parent == "." else parent


def _numbers(files: Sequence[str]) -> list[int]:
    """The frame of each file: its number where all are numbered upwards, else its place."""
    stems = [PurePosixPath(name).stem for name in files]
    if all(stem.isascii() and stem.isdecimal() for stem in stems):
        numbers = [int(stem[-9:]) for stem in stems]
        if numbers == sorted(set(numbers)):
            return numbers
    return list(range(len(files)))


def _video_name(video: Mapping[str, Cell]) -> str:
    return str(video.get("file_name") or video["name"])


def _categories(document: Mapping[str, Cell]) -> dict[int, str]:
    return {whole(c["id"], "categories id"): str(c["name"]) for c in _list(document, "categories", optional=True)}


def _category(annotation: Mapping[str, Cell], names: Mapping[int, str]) -> str | None:
    given = annotation.get("category_id")
    if given is None:
        return None
    number: int = whole(given, "category_id")
    return names.get(number, str(number))


def _list(document: Mapping[str, Cell], name: str, *, optional: bool = False) -> Sequence[Mapping[str, Cell]]:
    values = document.get(name, [] if optional else None)
    require(isinstance(values, list), name, values, "a list of JSON objects")
    require(all(isinstance(value, Mapping) for value in values), name, values, "a list of JSON objects")
    return list(values)
