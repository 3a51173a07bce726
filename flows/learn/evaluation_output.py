"""What an evaluation leaves: two tables, `tracks.jsonl`, `summary.json`, and filmstrips of the worst tracks.

Shape suffixes: T frames, H, W frame height and width.
"""

import dataclasses
import heapq
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.table import Table

from flows.learn.accuracy import Summary, TrackAccuracy, iou_rank_correlation
from flows.learn.evaluate import ClipResult, Evaluation, MeasuredTrack
from flows.learn.failures import BAD_BELOW
from labeling.review.overlays import PALETTE, draw_box, draw_label, draw_mask, draw_points, filmstrip

CELLS = 7
CELL_WIDTH = 240
GAP = 4
FOUND_RGB, TRUE_RGB, PROMPT_RGB = PALETTE[0], (255, 255, 255), PALETTE[3]
SHOWN_FAILURES = 10

Rgb = npt.NDArray[np.uint8]


@dataclass(slots=True)
class WorstStrips:
    """Keeps filmstrips of the `count` worst tracks seen so far: small pictures, so that no clip has to be held."""

    count: int
    _heap: list[tuple[float, int, str, Rgb]] = field(default_factory=list)
    _seen: int = 0

    def add(self, result: ClipResult) -> None:
        """Draw those of a clip's tracks that are among the worst."""
        for track in result.tracks:
            self._seen += 1
            badness = -track.accuracy.j_and_f
            if not self.count or (len(self._heap) == self.count and badness <= self._heap[0][0]):
                continue
            name = f"{result.name}_object_{track.accuracy.object_number}"
            heapq.heappush(self._heap, (badness, self._seen, name, strip_of(track)))
            if len(self._heap) > self.count:
                heapq.heappop(self._heap)

    def write(self, folder: Path) -> list[Path]:
        """Write the strips as PNG files, the worst track's first."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for rank, (badness, _, name, strip) in enumerate(sorted(self._heap, reverse=True), start=1):
            file_name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
            paths.append(folder / f"{rank:02d}_{-badness:.2f}_{file_name}.png")
            Image.fromarray(strip).save(paths[-1])
        return paths


def strip_of(track: MeasuredTrack) -> Rgb:
    """Draw the prompt's frame, the worst one and others evenly between: found masks filled, the true ones' contours white."""
    last, j = len(track.found_THW) - 1, track.accuracy.j_per_frame
    chosen = {int(np.argmin(j)) + 1, *np.linspace(0, last, CELLS - 1).round().astype(int).tolist()}
    cells = [_cell(track, position) for position in sorted(chosen)]
    return filmstrip(cells, width=len(cells) * CELL_WIDTH + GAP * (len(cells) - 1), gap_px=GAP)


def _cell(track: MeasuredTrack, position: int) -> Rgb:
    thick = max(1, round(track.true_THW.shape[2] / CELL_WIDTH))
    drawn = draw_mask(track.frames[position], track.found_THW[position], colour_rgb=FOUND_RGB, contour_px=0)
    drawn = draw_mask(drawn, track.true_THW[position], colour_rgb=TRUE_RGB, opacity=0.0, contour_px=thick)
    if position == 0 and track.prompt is not None:
        drawn = _with_prompt(drawn, track, thick)
    height = max(1, round(CELL_WIDTH * drawn.shape[0] / drawn.shape[1]))
    cell = np.asarray(Image.fromarray(drawn).resize((CELL_WIDTH, height), Image.Resampling.BILINEAR))
    frame_idx = track.accuracy.prompt_frame + position
    label = "prompt" if position == 0 else f"J {track.accuracy.j_per_frame[position - 1]:.2f}"
    if position and track.accuracy.predicted_iou:
        label += f" ({track.accuracy.predicted_iou[position - 1]:.2f})"
    return draw_label(cell, f"{frame_idx}  {label}", text_px=12)


def _with_prompt(rgb_HW3: Rgb, track: MeasuredTrack, thick: int) -> Rgb:
    assert track.prompt is not None
    if track.prompt.box_xyxy is not None:
        return draw_box(rgb_HW3, track.prompt.box_xyxy, colour_rgb=PROMPT_RGB, width_px=thick)
    return draw_points(rgb_HW3, track.prompt.points_xy, track.prompt.labels, radius_px=3 * thick)


def write_numbers(folder: Path, evaluation: Evaluation, described: dict[str, Any]) -> None:
    """Write `tracks.jsonl`, one row a track with its numbers frame by frame, and `summary.json`."""
    with (folder / "tracks.jsonl").open("w", encoding="ascii") as file:
        for track in evaluation.tracks:
            file.write(json.dumps(track_row(track)) + "\n")
    summary = {**summary_row(evaluation), **described}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="ascii")


def track_row(track: TrackAccuracy) -> dict[str, Any]:
    """Return a track as plain values; `failure` is null for a track of mean J 0.5 or more, and on a frame that is right."""
    counts = track.long_term
    return {
        "clip": track.clip, "object": track.object_number, "prompt_frame": track.prompt_frame,
        "frames": len(track.j_per_frame), "j": track.j, "f": track.f, "j_and_f": track.j_and_f, "presence": track.presence,
        "spearman": iou_rank_correlation([track]), "nre": counts.nre, "dre": counts.dre, "adq": counts.adq,
        "failure": track.failure and track.failure.value,
        "failure_per_frame": [failure and failure.value for failure in track.failure_per_frame],
        "j_per_frame": _rounded(track.j_per_frame), "f_per_frame": _rounded(track.f_per_frame),
        "predicted_iou": _rounded(track.predicted_iou), "found": list(track.found), "present": list(track.present),
    }


def summary_row(evaluation: Evaluation) -> dict[str, Any]:
    """Return means, counts and failures as plain values."""
    summary = evaluation.summary
    derived = {} if summary is None else {"j_and_f": summary.j_and_f, "bad_tracks": summary.bad_tracks}
    means = {} if summary is None else dataclasses.asdict(summary) | derived
    failed = [{"clip": r.name, "reason": r.error.reason, "message": r.error.message} for r in evaluation.failed if r.error]
    return {
        **means, "clips": evaluation.num_clips, "unmeasured_objects": evaluation.unmeasured, "failed": failed,
        "frames_per_second": evaluation.frames_per_second, "interrupted": evaluation.interrupted,
    }


def print_evaluation(evaluation: Evaluation, console: Console, *, worst: int, tracker: str) -> None:
    """Print the worst tracks, what went wrong with bad ones, the means, and what failed; `tracker` is who made the masks."""
    summary = evaluation.summary
    if summary is not None:
        console.print(_table(evaluation, summary, worst))
        console.print(_failures(summary, tracker))
        for line in summary_lines(evaluation, summary):
            console.print(line, soft_wrap=True)
    if evaluation.unmeasured:
        console.print(f"{evaluation.unmeasured} objects show on no frame, or on the last alone: nothing to measure")
    for result in evaluation.failed[:SHOWN_FAILURES]:
        assert result.error is not None
        console.print("[red]failed[/]", end=" ")
        console.print(f"{result.name}: {result.error.message}", markup=False, soft_wrap=True)
    if more := len(evaluation.failed) - SHOWN_FAILURES:
        console.print(f"[red]and {more} more failed[/]") if more > 0 else None
    if summary is None:
        console.print("[yellow]nothing was measured[/]")


def _table(evaluation: Evaluation, summary: Summary, worst: int) -> Table:
    shown = evaluation.worst(worst)
    all_shown = len(shown) == summary.num_tracks
    title = "tracks, worst first" if all_shown else f"the worst {len(shown)} of {summary.num_tracks} tracks"
    table = Table(
        "clip", "object", "frames", "J", "F", "J&F", "presence", "Spearman",
        title=title, title_justify="left", show_footer=True,
    )
    for track in shown:
        table.add_row(
            track.clip, str(track.object_number), str(len(track.j_per_frame)), f"{track.j:.3f}", f"{track.f:.3f}",
            f"{track.j_and_f:.3f}", f"{track.presence:.3f}", _or_dash(iou_rank_correlation([track])),
        )
    footers = (
        "mean of all", str(summary.num_tracks), str(summary.num_frames), f"{summary.j:.3f}", f"{summary.f:.3f}",
        f"{summary.j_and_f:.3f}", f"{summary.presence:.3f}", _or_dash(summary.iou_rank_correlation),
    )
    for column, footer in zip(table.columns, footers, strict=True):
        column.footer = footer
    return table


def _failures(summary: Summary, tracker: str) -> Table:
    """Lay out bad tracks by what went wrong, and the long-term measures, in one line for the tracker."""
    title = f"tracks of J below {BAD_BELOW}, by what the wrong mask covers"
    table = Table(title=title, title_justify="left", collapse_padding=True, pad_edge=False)     # eighty columns hold it
    cells = {
        "tracker": tracker, "tracks": summary.num_tracks, "bad": summary.bad_tracks, **summary.failures,
        "NRE": _or_dash(summary.nre), "DRE": _or_dash(summary.dre), "ADQ": _or_dash(summary.adq),
    }
    for name in cells:
        table.add_column(name, justify="left" if name == "tracker" else "right", no_wrap=True)
    table.add_row(*(str(value) for value in cells.values()))
    return table


def summary_lines(evaluation: Evaluation, summary: Summary) -> list[str]:
    """Say the means in words."""
    presence = f"present or absent: right on {summary.presence:.1%} of frames"
    if summary.absent_right is not None:
        share = summary.absent_frames / summary.num_frames
        presence += f"; the object is absent on {share:.1%}, and {summary.absent_right:.1%} of those are right"
    lines = [
        f"[bold]J&F {summary.j_and_f:.3f}[/] (J {summary.j:.3f}, F {summary.f:.3f}) over {summary.num_tracks} tracks of "
        f"{evaluation.num_clips - len(evaluation.failed)} clips",
        presence,
    ]
    if summary.iou_rank_correlation is not None:
        lines.append(f"predicted IoU against true IoU: Spearman {summary.iou_rank_correlation:.3f}")
    if evaluation.frames_per_second is not None:
        lines.append(f"{evaluation.num_frames} frames at {evaluation.frames_per_second:.1f} frames/s")
    return lines


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rounded(values: tuple[float, ...]) -> list[float]:
    return [round(value, 4) for value in values]
