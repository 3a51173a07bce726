"""YouTube-VIS: a JSON file a split, an annotation a track with a mask or null for each frame of its video.

    <out>/<split>.json
    <out>/JPEGImages/<video>/<frame index, five digits>.jpg    with `--frames jpg`

A video's frames are those that were tracked. `score`, `object_id` and `verdict` are members beside the format's own.
"""

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from labeling.export.folder import Choice, Export, Summary, exporting, summary_of
from labeling.export.selection import SelectedTrack, SelectedVideo
from labeling.store.records import mask_from_row
from labeling.types import FrameMask

_to_json = json.JSONEncoder(separators=(",", ":")).encode


def export_youtube_vis(root: str, out: Path, choice: Choice | None = None) -> Summary:
    """Write masklets into the folder `out`, a track's masks in memory at a time, taking an earlier export's place.

    Raises ValueError as `exporting` does.
    """
    with exporting(root, out, choice or Choice(), "youtube-vis", frames=("none", "jpg")) as export:
        by_split: dict[str, list[SelectedVideo]] = {}
        for split, video in export.videos():
            by_split.setdefault(split, []).append(video)
        for split, videos in by_split.items():
            _write_split(export, export.folder / f"{split}.json", videos)
    return summary_of(export, out)


def _write_split(export: Export, path: Path, videos: list[SelectedVideo]) -> None:
    classes, numbers, entries = export.chosen.categories, count(1), []
    with path.open("w", encoding="ascii", newline="\n") as writer:
        info = {"description": "Masklets by samurai-labeling", "snapshot": export.chosen.snapshot.name}
        categories = [{"id": number, "name": name} for name, number in classes.items()]
        writer.write(f'{{"info":{_to_json(info)},\n"categories":{_to_json(categories)},\n"annotations":[')
        separator = "\n"
        for video_number, video in enumerate(videos, start=1):
            frame_indices = _tracked(export, video)
            entries.append(_video_entry(video_number, video, frame_indices))
            for track in video.tracks:
                entry = {"id": next(numbers), "video_id": video_number, "category_id": classes[track.category]}
                writer.write(separator + _to_json(entry | _annotation(export, track, frame_indices)))
                separator = ",\n"
            with export.pictures(video) as frames:
                for frame_idx in frame_indices:
                    frames.save(frame_idx, export.folder / "JPEGImages" / video.folder / f"{frame_idx:05d}.jpg")
            export.counts["frames"] += len(frame_indices)
        writer.write(f'\n],\n"videos":{_to_json(entries)}}}\n')


def _tracked(export: Export, video: SelectedVideo) -> list[int]:
    columns = ["video_id", "track_id", "frame_idx"]
    tables = (export.masks.rows(track.row, columns=columns) for track in video.tracks)
    return sorted({frame_idx for table in tables for frame_idx in table["frame_idx"].to_pylist()})


def _video_entry(number: int, video: SelectedVideo, frame_indices: list[int]) -> Mapping[str, object]:
    height, width = video.video.size_hw
    names = [f"{video.folder}/{frame_idx:05d}.jpg" for frame_idx in frame_indices]
    return {"id": number, "name": video.folder, "file_names": names, "height": height, "width": width, "length": len(names)}


def _annotation(export: Export, track: SelectedTrack, frame_indices: list[int]) -> dict[str, object]:
    masks = {mask.frame_idx: mask for mask in map(mask_from_row, export.masks.rows(track.row).to_pylist()) if mask.visible}
    export.counts["masks"] += len(masks)
    here = [masks.get(frame_idx) for frame_idx in frame_indices]
    scores = [mask.predicted_iou for mask in masks.values()]
    height, width = next((mask.rle.size_hw for mask in masks.values()), (0, 0))
    return {
        "segmentations": [_segmentation(mask) for mask in here],
        "bboxes": [None if mask is None or mask.box_xywh is None else list(mask.box_xywh) for mask in here],
        "areas": [None if mask is None else mask.area for mask in here],
        "iscrowd": 0, "height": height, "width": width, "length": len(here), "object_id": track.object_id,
        "verdict": track.verdict, "score": round(sum(scores) / len(scores), 6) if scores else 0.0,
    }


def _segmentation(mask: FrameMask | None) -> dict[str, object] | None:
    return None if mask is None else {"size": list(mask.rle.size_hw), "counts": mask.rle.counts}
