"""COCO for video: what pycocotools reads as images with instance masks, and tracking tools as videos with tracks.

`images` are the frames that were tracked, `annotations` one mask each as compressed RLE, with `track_id` and `video_id`;
`videos` and `tracks` say what these are (the layout of TAO and CocoVID). A frame on which an object was tracked but is not
visible is an image without an annotation of that track.
"""

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TextIO

from labeling.export.outputs import replaced_file
from labeling.export.selection import ACCEPTED, SelectedVideo, Selection, masks_of, select
from labeling.objects import open_objects
from labeling.store.reader import MaskReader
from labeling.types import FrameMask

Entry = Mapping[str, object]
DESCRIPTION = "Masklets by samurai-labeling"
BEGINS = f'{{"info": {{"description": "{DESCRIPTION}"'  # what every export begins with
# Made once: `json.dumps` with separators makes one for every call.
_to_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class CocoSummary:
    """What an export holds; `left_out` counts the snapshot's other tracks by verdict."""

    path: Path
    snapshot: str
    num_videos: int
    num_tracks: int
    num_images: int
    num_annotations: int
    left_out: Mapping[str, int] = field(default_factory=dict)


def export_coco(
    root: str,
    out: Path,
    *,
    verdicts: Collection[str] = ACCEPTED,
    snapshot: int | str | None = None,
    categories: Collection[str] = (),
    videos_in: Collection[str] | None = None,
) -> CocoSummary:
    """Write the masklets of a snapshot that have one of `verdicts` to `out` as COCO JSON; the same bytes each time.

    Streams: one track's RLE and one video's frame numbers are held at a time. `score` is the predicted IoU, `bbox` the
    format's x, y, width, height in pixels, `file_name` the frame as `<video>/<frame index, five digits>.jpg`.

    Raises ValueError for an unknown verdict, snapshot or category, or when `out` is a folder or no export.
    """
    objects = open_objects(root)
    chosen = select(objects, verdicts=verdicts, snapshot=snapshot, categories=categories, videos_in=videos_in)
    # A video's images are known once its tracks are read, so they wait in a file of their own.
    with replaced_file(out, begins=BEGINS) as writer, tempfile.TemporaryFile("w+", encoding="ascii") as waiting:
        writer.write("{" + _header(chosen) + '"annotations": [\n')
        annotations, images = _JsonLines(writer), _JsonLines(waiting)
        with MaskReader(objects) as masks:
            _write_masks(masks, chosen, annotations, images)
        writer.write('\n],\n"images": [\n')
        waiting.seek(0)
        shutil.copyfileobj(waiting, writer)
        writer.write("\n]}\n")
    num_tracks = sum(len(video.tracks) for video in chosen.videos)
    return CocoSummary(
        out, chosen.snapshot.name, len(chosen.videos), num_tracks, images.count, annotations.count, chosen.left_out
    )


class _JsonLines:
    """The entries of a JSON list, one a line, written as they come."""

    def __init__(self, writer: TextIO) -> None:
        self._writer, self.count = writer, 0

    def add(self, entry: Entry) -> None:
        self._writer.write((",\n" if self.count else "") + _to_json(entry))
        self.count += 1


def _header(chosen: Selection) -> str:
    """What can be said before any mask is read, as the first members of a JSON object."""
    info: dict[str, object] = {"description": DESCRIPTION, "snapshot": chosen.snapshot.name, "verdicts": chosen.verdicts}
    if chosen.certificate is not None:
        info["certificate"] = chosen.certificate.in_short
    parts: dict[str, object] = {
        "info": info,
        "categories": [{"id": number, "name": name} for name, number in chosen.categories.items()],
        "videos": [_video_entry(number, video) for number, video in enumerate(chosen.videos, start=1)],
        "tracks": list(_track_entries(chosen)),
    }
    return "".join(f'"{name}": {json.dumps(part)},\n' for name, part in parts.items())


def _video_entry(number: int, chosen: SelectedVideo) -> Entry:
    video = chosen.video
    height, width = video.size_hw
    return {
        "id": number, "name": chosen.folder, "file_name": video.ref.key, "source_id": video.ref.video_id,
        "height": height, "width": width, "length": chosen.num_frames, "fps": round(float(video.frame_rate), 6),
    }


def _track_entries(chosen: Selection) -> Iterator[Entry]:
    numbers, track_numbers = chosen.categories, count(1)
    for video_number, video in enumerate(chosen.videos, start=1):
        for track in video.tracks:
            yield {
                "id": next(track_numbers), "video_id": video_number, "category_id": numbers[track.category],
                "object_id": track.object_id, "label_version": track.label_version,
                "verdict": track.verdict, "risk": round(track.risk, 6),
            }


def _write_masks(masks: MaskReader, chosen: Selection, annotations: _JsonLines, images: _JsonLines) -> None:
    """Write each track's visible masks, and each video's frames after its tracks.

    An image's number is its frame index, counted on from the frames of the videos before; numbers of frames that were
    not tracked are left free.
    """
    numbers, track_numbers, first_image = chosen.categories, count(1), 1
    for video_number, video in enumerate(chosen.videos, start=1):
        tracked: dict[int, float] = {}
        for track in video.tracks:
            ids = {"video_id": video_number, "track_id": next(track_numbers), "category_id": numbers[track.category]}
            for mask in masks_of(masks, track):
                tracked[mask.frame_idx] = mask.pts_seconds
                if mask.visible:
                    image = {"id": annotations.count + 1, "image_id": first_image + mask.frame_idx}
                    annotations.add({**image, **ids, **_mask_entry(mask)})
        for frame_idx, pts_seconds in sorted(tracked.items()):
            height, width = video.video.size_hw
            images.add({
                "id": first_image + frame_idx, "video_id": video_number, "frame_id": frame_idx,
                "file_name": f"{video.folder}/{frame_idx:05d}.jpg", "height": height, "width": width,
                "seconds": round(pts_seconds, 6),
            })
        first_image += video.num_frames


def _mask_entry(mask: FrameMask) -> Entry:
    box = [] if mask.box_xywh is None else [int(edge) if float(edge).is_integer() else edge for edge in mask.box_xywh]
    return {
        "segmentation": {"size": list(mask.rle.size_hw), "counts": mask.rle.counts},
        "area": mask.area, "bbox": box, "iscrowd": 0,
        "score": round(mask.predicted_iou, 6), "object_score": round(mask.object_score, 6),
    }
