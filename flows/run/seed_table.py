"""`labeling seed grid|detector`: a prompt table of objects that nobody drew, and a picture of them to look at."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console

from flows.configure import as_configuration
from flows.run.out_folder import check_folder
from labeling import rle
from labeling.config import LabelConfig
from labeling.errors import BadInput, require
from labeling.export.outputs import replaced_folder, require_made
from labeling.geometry import box_xyxy_of
from labeling.ingest.decode import FrameReader, sampled_frames
from labeling.ingest.fetch import fetch_video
from labeling.ingest.listing import list_videos
from labeling.ingest.probe import probe
from labeling.ingest.prompts import ScoredPrompt, write_scored
from labeling.review.overlays import colour_of, draw_box, draw_label, draw_mask, filmstrip
from labeling.track.finding import SeedFinder
from labeling.track.follow import SampledFrames
from labeling.track.predictor import arithmetic
from labeling.types import Box, Video, VideoRef

TABLE, SHEET = "prompts.jsonl", "sheet.jpg"
SHEET_WIDTH = 1280      # pixels
SHEET_COLUMNS = 3
SHEET_FRAMES = 120      # of all videos


@dataclass
class SeedsFound:
    """What a source had: seeds by video, frames of the sheet, and why videos have none."""

    rows: list[tuple[str, ScoredPrompt]] = field(default_factory=list)
    pictures: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def sheet_room(self) -> int:
        return SHEET_FRAMES - len(self.pictures)


def check_seed_folder(out: str, every_s: float | None) -> Path:
    """Return the folder that seeds go to; BadConfiguration where it holds other files, or for no number of seconds."""
    folder = Path(out).expanduser()
    with as_configuration():
        require(every_s is None or every_s > 0, "every", every_s, "seconds, more than 0")
    check_folder(folder)
    with as_configuration():
        require_made(folder)
    return folder


def seed_videos(
    config: LabelConfig, finder: SeedFinder, *, folder: Path, every_s: float | None, device: str, console: Console
) -> SeedsFound:
    """Find seeds in every video of the source; write `prompts.jsonl` and `sheet.jpg` into the folder.

    Frames looked at: the first sampled one, and with `every_s` each next one after so many seconds. A video that cannot be
    read is named and costs itself.
    """
    videos, found = list(list_videos(config.source)), SeedsFound()
    with arithmetic(config.precision.name, device=device):
        for ref in videos:
            try:
                count = _seed_video(ref, config, finder, every_s, found)
            except BadInput as error:
                found.failed[ref.key] = str(error)
                say(console, f"{ref.key}: {error}")
            else:
                say(console, f"{ref.key}: {count} objects")
    write_table(folder, found)
    objects = len(found.rows)
    say(console, f"{folder}: {objects} objects of {len(videos) - len(found.failed)} videos in {TABLE}; look at {SHEET}")
    return found


def write_table(folder: Path, found: SeedsFound) -> None:
    """Write the table, and the sheet where there are pictures, in the place of an earlier one's."""
    with replaced_folder(folder) as new:
        write_scored(new / TABLE, found.rows)
        if found.pictures:
            Image.fromarray(_sheet(found.pictures)).save(new / SHEET, quality=90)


def find_in(path: Path, video: Video, config: LabelConfig, finder: SeedFinder, every_s: float | None) -> list[ScoredPrompt]:
    """Find the seeds of one video's file."""
    indices = sampled_frames(path, video, config.source.time_range, config.source.frame_stride)
    with FrameReader(path, video, indices) as frames:
        return finder(frames, looked_at(frames, every_s))


def looked_at(frames: SampledFrames, every_s: float | None) -> list[int]:
    """Return the positions of the frames that are looked at."""
    return [0] if every_s is None else list(_every(frames, every_s))


def _seed_video(ref: VideoRef, config: LabelConfig, finder: SeedFinder, every_s: float | None, found: SeedsFound) -> int:
    """Add a video's seeds to what was found; return how many there are."""
    with tempfile.TemporaryDirectory() as scratch, fetch_video(ref, Path(scratch)) as path:
        video = probe(ref, path)
        indices = sampled_frames(path, video, config.source.time_range, config.source.frame_stride)
        with FrameReader(path, video, indices) as frames:
            positions = looked_at(frames, every_s)
            seeds = finder(frames, positions)
            found.pictures += sheet_of(ref.key, frames, positions, seeds)[: found.sheet_room]
    found.rows += [(ref.key, seed) for seed in seeds]
    return len(seeds)


def _every(frames: SampledFrames, seconds: float) -> Iterator[int]:
    """Yield the first frame's position, and each that comes so many seconds after the last one."""
    due = -np.inf
    for position in range(len(frames)):
        at = frames.pts_seconds(position)
        if at >= due:
            yield position
            due = at + seconds


def sheet_of(
    key: str, frames: SampledFrames, positions: Sequence[int], seeds: Sequence[ScoredPrompt]
) -> list[npt.NDArray[np.uint8]]:
    """Return the first frame that was looked at, and each on which a seed was found, with its seeds."""
    with_seeds = {seed.frame_idx for seed in seeds}
    shown = [p for p in positions if p == positions[0] or frames.frame_indices[p] in with_seeds]
    return [_picture(key, frames, position, seeds) for position in shown]


def _picture(key: str, frames: SampledFrames, position: int, seeds: Sequence[ScoredPrompt]) -> npt.NDArray[np.uint8]:
    """Return a frame with the seeds that were found on it, each with its number and score."""
    picture, frame_idx = frames[position], frames.frame_indices[position]
    on_it = [seed for seed in seeds if seed.frame_idx == frame_idx]
    for seed in on_it:
        if seed.prompt.mask is not None:
            picture = draw_mask(picture, seed.prompt.mask, colour_rgb=colour_of(seed.object_id))
        elif seed.prompt.box_xyxy is not None:
            picture = draw_box(picture, seed.prompt.box_xyxy, colour_rgb=colour_of(seed.object_id))
    for seed in on_it:
        x, y, *_ = _box_of(seed)
        words = [f"{seed.object_id}:", seed.prompt.category, None if seed.score is None else f"{seed.score:.2f}"]
        label = " ".join(word for word in words if word)
        picture = draw_label(picture, label, at_xy=(int(x), int(y)), colour_rgb=colour_of(seed.object_id))
    return draw_label(picture, f"{key} {frame_idx}")


def _box_of(seed: ScoredPrompt) -> Box:
    xywh = rle.box_xywh(seed.prompt.mask) if seed.prompt.mask is not None else None
    return seed.prompt.box_xyxy or (box_xyxy_of(xywh) if xywh else (0.0, 0.0, 0.0, 0.0))


def _sheet(pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return all pictures in rows of three, white where a row is not full."""
    blank = np.full_like(pictures[0], 255)
    filled = [*pictures, *[blank] * (-len(pictures) % SHEET_COLUMNS)]
    rows = range(0, len(filled), SHEET_COLUMNS)
    return np.concatenate([filmstrip(filled[k : k + SHEET_COLUMNS], width=SHEET_WIDTH) for k in rows])


def say(console: Console, line: str) -> None:
    """Print a line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
