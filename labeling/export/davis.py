"""The DAVIS layout: one palette PNG a frame, its values the objects' numbers in that video.

    <out>/Annotations/Full-Resolution/<video>/<frame index, five digits>.png
    <out>/ImageSets/2017/<subset>.txt           the videos, one a line
    <out>/mapping.json                          which object of which video each number is

Objects are numbered 1..N by ascending object id. Where masks overlap the smaller object lies on top (by median visible
area over its track, the lower number first among equals): the order holds for the whole video, so nothing flickers, and
a small object is never lost under a large one. A frame is written when an object was tracked on it; an object that was
not tracked there is background. N is at most 254, as 255 stands for void.
"""

import json
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeling import rle
from labeling.export.outputs import replaced_folder
from labeling.export.selection import ACCEPTED, SelectedTrack, SelectedVideo, masks_of, select
from labeling.objects import open_objects
from labeling.store.reader import MaskReader
from labeling.types import RLE, FrameMask

MAPPING = "mapping.json"
MAX_OBJECTS = 254
Masks = Mapping[int, Mapping[int, FrameMask]]  # number of the object -> frame index -> mask


@dataclass(frozen=True, slots=True)
class DavisSummary:
    """What an export holds; `overlap_pixels` were claimed by more than one object, summed over frames.

    `left_out` counts the snapshot's other tracks by verdict.
    """

    folder: Path
    snapshot: str
    num_videos: int
    num_objects: int
    num_frames: int
    overlap_pixels: int
    left_out: Mapping[str, int] = field(default_factory=dict)


def palette() -> bytes:
    """Return the 256 RGB colours of PASCAL VOC and DAVIS as bytes.

    Bits 0, 3, 6 of the index become bits 7, 6, 5 of red, bits 1, 4, 7 those of green, and bits 2, 5 those of blue.
    """
    colours = np.zeros((256, 3), np.uint8)
    index = np.arange(256)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours.tobytes()


def export_davis(
    root: str,
    out: Path,
    *,
    verdicts: Collection[str] = ACCEPTED,
    snapshot: int | str | None = None,
    categories: Collection[str] = (),
    videos_in: Collection[str] | None = None,
    subset: str = "train",
) -> DavisSummary:
    """Write the masklets of a snapshot that have one of `verdicts` into the folder `out`, taking an earlier export's place.

    Holds one video's RLE at a time. Raises ValueError for an unknown verdict, snapshot or category, for a video with more
    than 254 objects, and when `out` holds files that are no export.
    """
    objects = open_objects(root)
    chosen = select(objects, verdicts=verdicts, snapshot=snapshot, categories=categories, videos_in=videos_in)
    require_few(chosen.videos)
    num_frames = overlap_pixels = 0
    with replaced_folder(out) as folder, MaskReader(objects) as masks:
        for video in chosen.videos:
            frames, overlap = _write_video(folder / "Annotations" / "Full-Resolution" / video.folder, _read(masks, video))
            num_frames, overlap_pixels = num_frames + frames, overlap_pixels + overlap
        sets = folder / "ImageSets" / "2017"
        sets.mkdir(parents=True)
        (sets / f"{subset}.txt").write_text("".join(f"{video.folder}\n" for video in chosen.videos), encoding="ascii")
        mapping = {"snapshot": chosen.snapshot.name, "verdicts": chosen.verdicts, "videos": _mapping(chosen.videos)}
        if chosen.certificate is not None:
            mapping["certificate"] = chosen.certificate.in_short
        (folder / MAPPING).write_text(json.dumps(mapping, indent=1) + "\n", encoding="ascii")
    num_objects = sum(len(video.tracks) for video in chosen.videos)
    return DavisSummary(
        out, chosen.snapshot.name, len(chosen.videos), num_objects, num_frames, overlap_pixels, chosen.left_out
    )


def require_few(videos: Sequence[SelectedVideo]) -> None:
    """Raise ValueError when a video has more objects than a palette image can tell apart."""
    for video in videos:
        if len(video.tracks) > MAX_OBJECTS:
            raise ValueError(
                f"{video.video.ref.key} has {len(video.tracks)} objects; a DAVIS image holds at most {MAX_OBJECTS}. "
                "Export fewer verdicts, or COCO, which has no limit"
            )


def _read(reader: MaskReader, video: SelectedVideo) -> Masks:
    return {
        number: {mask.frame_idx: mask for mask in masks_of(reader, track)}
        for number, track in enumerate(video.tracks, start=1)
    }


def _bottom_first(masks: Masks) -> list[int]:
    """Order the objects from the one painted first to the one on top."""

    def median_area(number: int) -> float:
        areas = [mask.area for mask in masks[number].values() if mask.visible]
        return statistics.median(areas) if areas else 0.0

    return sorted(masks, key=lambda number: (-median_area(number), -number))


def index_map(rles: Sequence[tuple[int, RLE]]) -> tuple[npt.NDArray[np.uint8], int]:
    """Paint masks (number, RLE), later ones on top; returns the numbers (H, W) and how many pixels were painted twice.

    Raises ValueError when the masks differ in size or there are none.
    """
    sizes = {mask.size_hw for _, mask in rles}
    if len(sizes) != 1:
        raise ValueError(f"masks of one frame have sizes {sorted(sizes)}; expected one size")
    numbers_HW = np.zeros(sizes.pop(), np.uint8)
    twice = 0
    for number, mask in rles:
        on_HW = rle.decode(mask)
        twice += int(np.count_nonzero(numbers_HW[on_HW]))
        numbers_HW[on_HW] = number
    return numbers_HW, twice


def _write_video(folder: Path, masks: Masks) -> tuple[int, int]:
    order = _bottom_first(masks)
    frame_indices = sorted(set().union(*(frames.keys() for frames in masks.values())))
    folder.mkdir(parents=True)
    overlap, colours = 0, palette()
    for frame_idx in frame_indices:
        here = [(number, masks[number][frame_idx].rle) for number in order if frame_idx in masks[number]]
        numbers_HW, twice = index_map(here)
        overlap += twice
        picture = Image.fromarray(numbers_HW, mode="P")
        picture.putpalette(colours)
        picture.save(folder / f"{frame_idx:05d}.png")
    return len(frame_indices), overlap


def _mapping(videos: Sequence[SelectedVideo]) -> dict[str, object]:
    return {
        video.folder: {
            "video_id": video.video.ref.video_id,
            "key": video.video.ref.key,
            "objects": {str(number): _described(track) for number, track in enumerate(video.tracks, start=1)},
        }
        for video in videos
    }


def _described(track: SelectedTrack) -> dict[str, object]:
    return {
        "object_id": track.object_id, "category": track.category,
        "label_version": track.label_version, "verdict": track.verdict,
    }
