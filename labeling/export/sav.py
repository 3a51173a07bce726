"""SA-V's two layouts: a JSON file a video with masklets as run lengths, and a folder of PNGs an object, as in val and test.

    <out>/<split>/<video>_manual.json                       `masklet[i][k]`: the mask of object k on the i-th tracked frame
    <out>/Annotations_6fps/<video>/<object>/<frame>.png     0 and 1; objects count from 000, so masks may overlap
    <out>/JPEGImages_24fps/<video>/<frame>.jpg              with `--frames jpg`
    <out>/sav_<split>.txt                                   the videos of a split, one a line

`frame_indices`, `object_id` and `category` are ours: SA-V has every fourth frame, and no categories. An object that was not
tracked on a frame has an empty mask there, as one that is not visible has.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from labeling import rle
from labeling.export.folder import Choice, Export, Summary, exporting, file_of, summary_of
from labeling.export.selection import SelectedVideo


def export_sav(root: str, out: Path, choice: Choice | None = None) -> Summary:
    """Write a JSON file for each video into the folder `out`, frame by frame. Raises ValueError as `exporting` does."""
    with exporting(root, out, choice or Choice(), "sav", frames=("none", "video")) as export:
        for split, video in export.videos():
            with export.path(split, f"{video.folder}_manual.json").open("w", encoding="ascii") as writer:
                _write_masklets(export, split, video, writer)
            with export.pictures(video) as pictures:
                pictures.save_video(export.folder / split / file_of(video))
    return summary_of(export, out)


def _write_masklets(export: Export, split: str, video: SelectedVideo, writer: TextIO) -> None:
    height, width = video.video.size_hw
    head = {
        "video_id": video.folder, "video_duration": video.video.duration_seconds, "video_frame_count": video.num_frames,
        "video_height": height, "video_width": width, "video_resolution": height * width, "video_split": split,
        "masklet_num": len(video.tracks), "masklet_id": list(range(len(video.tracks))),
        "masklet_type": ["manual"] * len(video.tracks), "object_id": [track.object_id for track in video.tracks],
        "category": [track.category for track in video.tracks],
    }
    nothing = rle.empty(video.video.size_hw)
    indices: list[int] = []
    first, counts = [-1] * len(video.tracks), [0] * len(video.tracks)
    writer.write(json.dumps(head)[:-1] + ', "masklet": [')
    for frame_idx, entries in export.frames(video):
        masks = [nothing] * len(video.tracks)
        for entry in entries:
            k = entry.number - 1
            masks[k] = entry.mask.rle
            counts[k] += entry.mask.visible
            if entry.mask.visible and first[k] < 0:
                first[k] = len(indices)
        separator = ",\n" if indices else "\n"
        writer.write(separator + json.dumps([{"size": list(mask.size_hw), "counts": mask.counts} for mask in masks]))
        indices.append(frame_idx)
    tail = {"frame_indices": indices, "masklet_frame_count": counts, "masklet_first_appeared_frame": first}
    writer.write("\n], " + json.dumps(tail)[1:] + "\n")


def export_sav_png(root: str, out: Path, choice: Choice | None = None) -> Summary:
    """Write a PNG for each object and frame into the folder `out`. Raises ValueError as `exporting` does."""
    videos = defaultdict(list)
    with exporting(root, out, choice or Choice(), "sav-png", frames=("none", "jpg")) as export:
        for split, video in export.videos():
            videos[split].append(video.folder)
            with export.pictures(video) as pictures:
                for frame_idx, entries in export.frames(video):
                    for entry in entries:
                        path = export.path("Annotations_6fps", video.folder, f"{entry.number - 1:03d}", f"{frame_idx:05d}.png")
                        Image.fromarray(np.ascontiguousarray(rle.decode(entry.mask.rle), np.uint8)).save(path)
                    pictures.save(frame_idx, export.folder / "JPEGImages_24fps" / video.folder / f"{frame_idx:05d}.jpg")
        for split, names in videos.items():
            export.path(f"sav_{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="ascii")
    return summary_of(export, out)
