"""`labeling track`: one video, one box, no store; masks as JSON lines, an overlay video and a plot of scores."""

import json
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.cli.console import plain_console
from flows.configure import as_configuration
from flows.run.out_folder import check_folder
from labeling.config import LabelConfig, TrackDirection
from labeling.errors import BadConfiguration
from labeling.export.outputs import replaced_folder, require_made
from labeling.export.plots import write_scores_png
from labeling.export.previews import Timeline, render_preview
from labeling.ingest.decode import FrameReader, sampled_frames
from labeling.ingest.fetch import fetch_video
from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.track.follow import follow
from labeling.track.predictor import TrackerRecipe, arithmetic, build_predictor, default_device, recipe_of
from labeling.track.prompts import check_prompts
from labeling.types import Box, FrameMask, Prompt, Video

log = logging.getLogger(__name__)

OBJECT = 1
WRITTEN = ("masks.jsonl", "overlay.mp4", "scores.png")
WITHOUT_BOUND = 1e9


def track_one(config: LabelConfig, *, video: str, box: str, frame_idx: int, out: str, console: Console) -> Path:
    """Follow one box through one video and write `masks.jsonl`, `overlay.mp4` and `scores.png` into `out`.

    Raises BadConfiguration or BadInput, before the network is built, for a box, frame, video or folder that cannot be used.
    """
    if frame_idx < 0:
        raise BadConfiguration(f"--frame is {frame_idx}; expected a frame's number, 0 or more")
    prompt, folder = Prompt(OBJECT, frame_idx, box_xyxy=parse_box(box)), Path(out).expanduser()
    recipe = recipe_of(config.model, config.precision, config.tracker)
    check_folder(folder)
    with as_configuration():
        require_made(folder)
    try:
        ref = ref_of(video)
    except FileNotFoundError as error:
        raise BadConfiguration(str(error)) from error
    with tempfile.TemporaryDirectory() as scratch, fetch_video(ref, Path(scratch)) as path:
        probed = probe(ref, path)
        indices = sampled_frames(path, probed, config.source.time_range, config.source.frame_stride)
        check_prompts([prompt], indices, probed.size_hw)
        masks = _tracked(config, recipe, prompt, path, probed, indices, console)
        timeline = Timeline([m.frame_idx for m in masks], [m.pts_seconds for m in masks])
        with replaced_folder(folder) as new, FrameReader(path, probed, timeline.frame_indices) as frames:
            write_masks(new / "masks.jsonl", masks)
            with _costs_itself("overlay.mp4"):
                render_preview(
                    frames, timeline, {OBJECT: {m.frame_idx: m.rle for m in masks}}, new / "overlay.mp4",
                    max_seconds=WITHOUT_BOUND, max_frame_rate=WITHOUT_BOUND, max_width=1280,
                )
            with _costs_itself("scores.png"):
                write_scores_png(new / "scores.png", masks, presence_threshold=recipe.presence_threshold)
    seen, names = sum(mask.visible for mask in masks), ", ".join(n for n in WRITTEN if (folder / n).exists())
    told = f"{folder}: {names}; {len(masks)} frames, the object is visible on {seen}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    return folder


@contextmanager
def _costs_itself(name: str) -> Iterator[None]:
    """Let a picture that fails cost itself, and not the masks that were tracked."""
    try:
        yield
    except Exception as error:
        log.warning("%s was not drawn: %s: %s", name, type(error).__name__, error)


def _tracked(
    config: LabelConfig, recipe: TrackerRecipe, prompt: Prompt, path: Path, video: Video, indices: Sequence[int],
    console: Console,
) -> list[FrameMask]:
    """Return the object's masks; a bar shows how far it is where a person looks at a terminal."""
    device = default_device()
    predictor = build_predictor(recipe, config.model.checkpoint, device=device)
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=plain_console(stderr=True), disable=not (config.run.progress and console.is_terminal))
    masks = []
    with FrameReader(path, video, indices) as frames, arithmetic(recipe.precision, device=device), bar:
        task = bar.add_task("frames", total=_num_followed(config.track.direction, prompt, indices))
        for tracked in follow(predictor, frames, [prompt], size_hw=video.size_hw, direction=config.track.direction):
            masks.append(tracked.mask)
            bar.advance(task)
    return masks


def _num_followed(direction: TrackDirection, prompt: Prompt, indices: Sequence[int]) -> int:
    after = sum(index >= prompt.frame_idx for index in indices)
    num_frames = {
        TrackDirection.forward: after, TrackDirection.backward: len(indices) - after + 1, TrackDirection.both: len(indices),
    }
    return num_frames[direction]


def parse_box(text: str) -> Box:
    """Read X0,Y0,X1,Y1; BadConfiguration shows what was given."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadConfiguration(f"--box is {text!r}; expected X0,Y0,X1,Y1 in pixels, e.g. 410,210,620,380") from error
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
        raise BadConfiguration(f"--box is {text!r}; expected finite numbers, X0 < X1 and Y0 < Y1")
    return (x0, y0, x1, y1)


def write_masks(path: Path, masks: Sequence[FrameMask]) -> None:
    """Write one JSON object a frame: its index and time, COCO RLE, box and scores."""
    with path.open("w", encoding="ascii") as file:
        for mask in masks:
            row = {
                "frame_idx": mask.frame_idx, "pts_seconds": mask.pts_seconds,
                "rle": {"size": list(mask.rle.size_hw), "counts": mask.rle.counts}, "area": mask.area,
                "box_xywh": mask.box_xywh, "predicted_iou": mask.predicted_iou, "object_score": mask.object_score,
                "motion_iou": mask.motion_iou,
            }
            file.write(json.dumps(row) + "\n")
