"""`labeling seed grid`: a prompt table of objects that nobody drew, and a picture of them to look at."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from rich.console import Console

from flows.configure import as_configuration
from flows.run.out_folder import check_folder
from labeling.config import LabelConfig
from labeling.errors import BadInput, require
from labeling.export.outputs import replaced_folder, require_made
from labeling.geometry import box_xyxy_of
from labeling.ingest.decode import FrameReader, sampled_frames
from labeling.ingest.fetch import fetch_video
from labeling.ingest.listing import list_videos
from labeling.ingest.probe import probe
from labeling.ingest.prompt_rows import COLUMNS, values_of
from labeling.ingest.tables import write_rows
from labeling.review.overlays import colour_of, draw_label, draw_mask, filmstrip
from labeling.rle import box_xywh
from labeling.track.grid import GridRule, GridSeed, MaskFinder, find_seeds, grid_finder
from labeling.track.predictor import Predictor, arithmetic, build_predictor, default_device, recipe_of
from labeling.types import Prompt, TableRow, VideoRef

TABLE, SHEET = "prompts.jsonl", "sheet.jpg"
SEED_COLUMNS = {**COLUMNS, "score": pa.float64(), "found_by": pa.string()}
SHEET_WIDTH = 1280      # pixels
SHEET_COLUMNS = 3
SHEET_FRAMES = 120      # of all videos


@dataclass
class SeedsFound:
    """What a source had: rows of the table, frames of the sheet, and why videos have none."""

    rows: list[TableRow] = field(default_factory=list)
    pictures: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def seed_grid(
    config: LabelConfig, *, out: str, rule: GridRule, every_s: float | None, boxes: bool, console: Console
) -> SeedsFound:
    """Find seeds in every video of the source; write `prompts.jsonl` and `sheet.jpg` into the folder `out`.

    Frames looked at: the first sampled one, and with `every_s` each next one after so many seconds. A video that cannot be
    read is named and costs itself. Raises BadConfiguration for a source, network or folder that cannot be used.
    """
    folder = Path(out).expanduser()
    with as_configuration():
        require(every_s is None or every_s > 0, "every", every_s, "seconds, more than 0")
    check_folder(folder)
    with as_configuration():
        require_made(folder)
    recipe, device = recipe_of(config.model, config.precision, config.tracker), default_device()
    videos = list(list_videos(config.source))
    predictor = build_predictor(recipe, config.model.checkpoint, device=device)
    finder, found = grid_finder(predictor, rule), SeedsFound()
    with arithmetic(recipe.precision, device=device):
        for ref in videos:
            try:
                count = _seed_video(ref, config, predictor, finder, rule, every_s, boxes, found)
            except BadInput as error:
                found.failed[ref.key] = str(error)
                _say(console, f"{ref.key}: {error}")
            else:
                _say(console, f"{ref.key}: {count} objects")
    with replaced_folder(folder) as new:
        write_rows(str(new / TABLE), found.rows, columns=SEED_COLUMNS)
        if found.pictures:
            Image.fromarray(_sheet(found.pictures)).save(new / SHEET, quality=90)
    objects = len(found.rows)
    _say(console, f"{folder}: {objects} objects of {len(videos) - len(found.failed)} videos in {TABLE}; look at {SHEET}")
    return found


def _seed_video(
    ref: VideoRef, config: LabelConfig, predictor: Predictor, finder: MaskFinder, rule: GridRule, every_s: float | None,
    boxes: bool, found: SeedsFound,
) -> int:
    """Add a video's seeds to what was found; return how many there are."""
    with tempfile.TemporaryDirectory() as scratch, fetch_video(ref, Path(scratch)) as path:
        video = probe(ref, path)
        indices = sampled_frames(path, video, config.source.time_range, config.source.frame_stride)
        with FrameReader(path, video, indices) as frames:
            looked_at = [0] if every_s is None else list(_every(frames, every_s))
            seeds = list(find_seeds(predictor, finder, frames, looked_at, rule=rule))
            room = SHEET_FRAMES - len(found.pictures)
            found.pictures += [_picture(ref.key, frames, position, seeds) for position in looked_at[:room]]
    found.rows += [_row(ref.key, seed, boxes) for seed in seeds]
    return len(seeds)


def _every(frames: FrameReader, seconds: float) -> Iterator[int]:
    """Yield the first frame's position, and each that comes so many seconds after the last one."""
    due = -np.inf
    for position in range(len(frames)):
        at = frames.pts_seconds(position)
        if at >= due:
            yield position
            due = at + seconds


def _row(key: str, seed: GridSeed, boxes: bool) -> TableRow:
    prompt = seed.prompt
    if boxes:
        xywh = box_xywh(seed.mask)
        assert xywh is not None, "a seed has a pixel"
        prompt = Prompt(seed.object_id, seed.frame_idx, box_xyxy=box_xyxy_of(xywh))
    return {**values_of(key, prompt), "score": round(seed.score, 4), "found_by": "grid"}


def _picture(key: str, frames: FrameReader, position: int, seeds: Sequence[GridSeed]) -> npt.NDArray[np.uint8]:
    """Return a frame with the seeds that were found on it, each with its number and score."""
    picture, frame_idx = frames[position], frames.frame_indices[position]
    on_it = [seed for seed in seeds if seed.frame_idx == frame_idx]
    for seed in on_it:
        picture = draw_mask(picture, seed.mask, colour_rgb=colour_of(seed.object_id))
    for seed in on_it:
        x, y, *_ = box_xywh(seed.mask) or (0.0, 0.0)
        label = f"{seed.object_id}: {seed.score:.2f}"
        picture = draw_label(picture, label, at_xy=(int(x), int(y)), colour_rgb=colour_of(seed.object_id))
    return draw_label(picture, f"{key} {frame_idx}")


def _sheet(pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return all pictures in rows of three, white where a row is not full."""
    blank = np.full_like(pictures[0], 255)
    filled = [*pictures, *[blank] * (-len(pictures) % SHEET_COLUMNS)]
    rows = range(0, len(filled), SHEET_COLUMNS)
    return np.concatenate([filmstrip(filled[k : k + SHEET_COLUMNS], width=SHEET_WIDTH) for k in rows])


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
