"""`labeling plan --prompts`: opens the prompted frames of what is due and shows first masks, before hours are spent on them."""

import base64
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.table import Table

from flows.cli.console import escape
from flows.run.out_folder import written_over
from labeling import rle
from labeling.certify.page import html_template
from labeling.config import LabelConfig, QCConfig, default_scratch
from labeling.errors import BadInput, Unavailable
from labeling.ingest.decode import FrameReader, sampled_frames
from labeling.ingest.fetch import fetch_video
from labeling.ingest.probe import probe
from labeling.jobs import Job
from labeling.qc.rules import doubts_of_seed
from labeling.review.overlays import colour_of, draw_box, draw_mask, draw_points
from labeling.store.plan import Plan
from labeling.track.predictor import Predictor, TrackerRecipe, build_predictor, default_device
from labeling.track.prompts import check_prompts
from labeling.track.seeds import Seed, look_at_seeds
from labeling.types import Prompt

Rgb = npt.NDArray[np.uint8]
BEGINS = "<!doctype html><title>First masks"
SHOWN = 40
WIDTH = 480         # pixels of a picture on the sheet
ROOM = 0.6          # around a mask, in its sides


@dataclass(frozen=True, slots=True)
class Audited:
    """One prompted object: its seed (None where the prompt cannot be used), what stands against it, and a picture."""

    video_key: str
    object_id: int
    seed: Seed | None
    doubts: str
    jpeg: bytes = b""


def audit_prompts(config: LabelConfig, recipe: TrackerRecipe, plan: Plan) -> Iterator[Audited]:
    """Yield what is due, object by object; each video is fetched for its prompted frames alone and let go of.

    Nothing is written but scratch. A video that cannot be opened yields its error for each of its objects.
    """
    device = default_device()
    predictor = build_predictor(recipe, config.model.checkpoint, device=device)
    for job in plan.jobs:
        try:
            with tempfile.TemporaryDirectory(dir=_scratch(config)) as scratch, fetch_video(job.video, Path(scratch)) as path:
                yield from _audited(config, predictor, recipe, job, path, device)
        except (BadInput, Unavailable) as error:
            for object_id in sorted(job.keys):
                yield Audited(job.video.key, object_id, None, str(error))


def _scratch(config: LabelConfig) -> Path:
    folder = Path(config.run.scratch or default_scratch())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _audited(
    config: LabelConfig, predictor: Predictor, recipe: TrackerRecipe, job: Job, path: Path, device: str
) -> Iterator[Audited]:
    video, refused = probe(job.video, path), dict[int, BadInput]()
    indices = sampled_frames(path, video, config.source.time_range, config.source.frame_stride)
    fitting = check_prompts(job.prompts, indices, video.size_hw, refused)
    prompts = [prompt for of_object in fitting.values() for prompt in of_object]
    yield from (Audited(job.video.key, object_id, None, str(error)) for object_id, error in sorted(refused.items()))
    if not prompts:
        return
    with FrameReader(path, video, sorted({p.frame_idx for p in prompts})) as frames:
        seeds = look_at_seeds(predictor, frames, prompts, precision=recipe.precision, device=device)
        for object_id, seed in seeds.items():
            position = frames.frame_indices.index(seed.frame_idx)
            picture = _picture(frames[position], seed, fitting[object_id])
            yield Audited(job.video.key, object_id, seed, _doubts(seed, config.qc), _jpeg(picture))


def _doubts(seed: Seed, qc: QCConfig) -> str:
    doubts = doubts_of_seed(seed.signals(), qc)
    return f"{doubts} Object {seed.twin_of} has this mask, too." if "twin" in doubts.lower() else doubts


def _picture(rgb_HW3: Rgb, seed: Seed, prompts: Sequence[Prompt]) -> Rgb:
    """Draw an object's first mask and its prompt, and cut out what is around them."""
    drawn, at = draw_mask(rgb_HW3, seed.mask, colour_rgb=colour_of(seed.object_id)), prompts[0]
    corners = list(at.points_xy)
    if at.box_xyxy is not None:
        drawn = draw_box(drawn, at.box_xyxy, colour_rgb=(255, 255, 255))
        corners += [at.box_xyxy[:2], at.box_xyxy[2:]]
    if at.points_xy:
        drawn = draw_points(drawn, at.points_xy, at.labels)
    if (box := rle.box_xywh(seed.mask)) is not None:
        corners += [box[:2], (box[0] + box[2], box[1] + box[3])]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    room = ROOM * np.maximum(high - low, 16)
    x0, y0 = np.maximum(low - room, 0).astype(int)
    x1, y1 = np.minimum(high + room, drawn.shape[1::-1]).astype(int)
    return drawn[y0 : max(y1, y0 + 2), x0 : max(x1, x0 + 2)]


def _jpeg(rgb_HW3: Rgb) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(rgb_HW3))
    picture.thumbnail((WIDTH, WIDTH))
    body = io.BytesIO()
    picture.save(body, "JPEG", quality=82)
    return body.getvalue()


def print_audit(audited: Iterator[Audited], sheet: Path | None, console: Console, *, as_json: bool = False) -> None:
    """Print what is doubted, and write a sheet of all first masks, the doubted first; with `as_json` a line a prompt."""
    rows, doubted = list(audited), 0
    if as_json:
        for row in rows:
            print(json.dumps(_plain(row)))
    table = Table("video", "object", "frame", "predicted IoU", "fit", "agreement", "twin", "why", box=None)
    for row in rows:
        doubted += bool(row.doubts)
        if row.doubts and doubted <= SHOWN:
            table.add_row(escape(row.video_key), str(row.object_id), *_numbers(row.seed), escape(row.doubts))
    if as_json:
        console = Console(file=sys.stderr)
    if doubted:
        console.print(table)
    console.print(f"{doubted} of {len(rows)} prompts are doubted" + (f", {SHOWN} shown" if doubted > SHOWN else ""))
    if sheet is not None:
        with written_over(sheet, begins=BEGINS) as writer:
            writer.write(_sheet(rows))
        console.print(escape(str(sheet)), soft_wrap=True)


def _plain(row: Audited) -> dict[str, object]:
    seed = row.seed
    numbers = {} if seed is None else {
        "frame_idx": seed.frame_idx, "predicted_iou": seed.predicted_iou, "fit": seed.fit, "agreement": seed.agreement,
        "twin": seed.twin, "twin_of": seed.twin_of,
    }
    return {"video": row.video_key, "object_id": row.object_id, **numbers, "doubts": row.doubts}


def _numbers(seed: Seed | None) -> tuple[str, ...]:
    if seed is None:
        return ("",) * 5
    shown = (seed.predicted_iou, seed.fit, seed.agreement, seed.twin)
    return str(seed.frame_idx), *("" if value is None else f"{value:.2f}" for value in shown)


def _sheet(rows: Sequence[Audited]) -> str:
    """Return one page with every first mask, the doubted first; pictures are in it."""
    ordered = sorted(rows, key=lambda row: not row.doubts)
    return html_template("flows.run", "prompt_sheet.html").render(
        figures=list(map(_figure, ordered)), num_doubted=sum(bool(row.doubts) for row in rows)
    )


def _figure(row: Audited) -> dict[str, str]:
    frame, *numbers = _numbers(row.seed)
    pairs = zip(("predicted IoU", "fit", "agreement", "twin"), numbers, strict=False)
    return {
        "name": f"{row.video_key}, object {row.object_id}" + (f", frame {frame}" if frame else ""),
        "numbers": ", ".join(f"{name} {value}" for name, value in pairs if value),
        "doubts": row.doubts, "jpeg": base64.b64encode(row.jpeg).decode(),
    }
