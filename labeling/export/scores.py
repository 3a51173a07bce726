"""One masklet's scores over time, as a picture: what the tracker thought of its own masks, frame by frame."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labeling.export.theme import LIGHT, Palette, dress, figure_png
from labeling.types import FrameMask, QCFlag

# Above this a line is thinned to the lowest and highest value of each stretch, so that spikes stay.
MAX_POINTS = 1200
Floats = npt.NDArray[np.float64]


def thinned(positions: Floats, values: Floats, *, max_points: int = MAX_POINTS) -> tuple[Floats, Floats]:
    """Return at most about `max_points` of a line (N,), keeping the extremes of each stretch and its gaps (NaN)."""
    if len(values) <= max_points:
        return positions, values
    kept = []
    for stretch in np.array_split(np.arange(len(values)), max_points // 2):
        finite = stretch[np.isfinite(values[stretch])]
        if len(finite) == 0:
            kept.append(stretch[:1])
            continue
        kept.append(np.unique([finite[values[finite].argmin()], finite[values[finite].argmax()]]))
    rows = np.concatenate(kept)
    return positions[rows], values[rows]


def _optional(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _stretches(held: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _interval(seconds: Floats, first: int, end: int) -> tuple[float, float]:
    """Where rows [first, end) lie on the time axis; half a frame wider on both sides, so that one frame shows."""
    half = float(np.median(np.diff(seconds))) / 2 if len(seconds) > 1 else 0.05
    return float(seconds[first]) - half, float(seconds[end - 1]) + half


def _shade(
    panels: Sequence[Axes], frames: Sequence[FrameMask], seconds: Floats, flags: Sequence[QCFlag], palette: Palette
) -> None:
    absent = np.array([not frame.visible for frame in frames])
    for first, end in _stretches(absent):
        start, stop = _interval(seconds, first, end)
        for panel in panels:
            panel.axvspan(start, stop, facecolor=palette.absent, alpha=0.18, linewidth=0)
    indices = np.array([frame.frame_idx for frame in frames])
    for span in sorted({flag.frame_span for flag in flags}):
        first, end = np.searchsorted(indices, span)
        # A span that holds the whole track says nothing about where.
        if first >= end or (first == 0 and end == len(indices)):
            continue
        start, stop = _interval(seconds, int(first), int(end))
        for panel in panels:
            panel.axvspan(start, stop, facecolor=palette.reject, alpha=0.16, linewidth=0)
            panel.axvline(start, color=palette.reject, linewidth=1, linestyle=(0, (2, 2)))
            panel.axvline(stop, color=palette.reject, linewidth=1, linestyle=(0, (2, 2)))


def _line(panel: Axes, seconds: Floats, values: Floats, *, colour: str, label: str, linestyle: str = "-") -> None:
    if not np.isfinite(values).any():
        return
    # A line through one point would not show.
    marker = "o" if len(values) < 3 else None
    x, y = thinned(seconds, values)
    panel.plot(x, y, color=colour, linewidth=1.5, linestyle=linestyle, label=label, marker=marker, markersize=3)


def _legend(panel: Axes, palette: Palette) -> None:
    handles = panel.get_legend_handles_labels()[0]
    if len(handles) > 1:
        panel.legend(
            loc="lower left", bbox_to_anchor=(0, 0.98), ncols=len(handles), frameon=False, fontsize=8,
            labelcolor=palette.muted, borderaxespad=0, handlelength=1.8, columnspacing=1.2,
        )


def draw_scores(
    frames: Sequence[FrameMask],
    *,
    flags: Sequence[QCFlag] = (),
    presence_threshold: float = 0.0,
    palette: Palette = LIGHT,
    width_inches: float = 7.6,
) -> Figure:
    """Draw predicted IoU with motion IoU, object score and area against seconds, one panel each.

    Grey stretches have an empty mask; outlined ones are the frames that a flag names. `presence_threshold` is the object
    score (a logit) above which the tracker kept a mask. Raises ValueError without frames.
    """
    if not frames:
        raise ValueError("frames is empty; expected at least one FrameMask to plot")
    figure = Figure(figsize=(width_inches, 3.6), layout="constrained")
    panels: list[Axes] = list(figure.subplots(3, 1, sharex=True, height_ratios=(1.35, 1, 1)))
    seconds = np.array([frame.pts_seconds for frame in frames], dtype=np.float64)
    for panel in panels:
        dress(panel, palette)
    _shade(panels, frames, seconds, flags, palette)
    quality, presence, extent = panels
    _line(quality, seconds, _optional([f.predicted_iou for f in frames]), colour=palette.first, label="predicted IoU")
    motion = _optional([f.motion_iou for f in frames])
    _line(quality, seconds, motion, colour=palette.second, label="motion IoU", linestyle="--")
    quality.set(ylim=(-0.03, 1.03), ylabel="IoU", yticks=(0, 0.5, 1))
    _line(presence, seconds, _optional([f.object_score for f in frames]), colour=palette.first, label="object score")
    presence.axhline(presence_threshold, color=palette.muted, linewidth=1, linestyle=(0, (1, 2)), label="present above")
    presence.set_ylabel("object score\n(logit)")
    height, width = frames[0].rle.size_hw
    _line(extent, seconds, _optional([100.0 * f.area / (height * width) for f in frames]), colour=palette.third, label="area")
    extent.set(ylabel="area\n(% of frame)", xlabel="seconds")
    extent.set_ylim(bottom=0)
    extent.margins(x=0.01)
    _legend(quality, palette)
    figure.align_ylabels(panels)
    return figure


def write_scores_png(
    path: Path, frames: Sequence[FrameMask], *, flags: Sequence[QCFlag] = (), presence_threshold: float = 0.0
) -> Path:
    """Write `draw_scores` of one masklet to `path` as PNG and return the path."""
    path.write_bytes(figure_png(draw_scores(frames, flags=flags, presence_threshold=presence_threshold)))
    return path
