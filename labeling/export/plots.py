"""Plots of a report: one masklet's scores over time, how a signal is spread over a run's masklets; as PNG or as SVG.

Hues are those of Okabe and Ito's palette ("Color Universal Design", 2008), told apart under the common forms of colour
blindness. A figure meant for a page is drawn in placeholder colours, which `figure_svg` replaces with the page's CSS variables,
so that it follows the light or dark scheme.
"""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labeling.config import QCConfig
from labeling.geometry import runs
from labeling.types import Decision, FrameMask, QCFlag

FONT = "DejaVu Sans"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours that a plot is drawn with, as `#rrggbb`."""

    ink: str
    muted: str
    line: str
    surface: str
    first: str
    second: str
    third: str
    review: str
    reject: str
    absent: str


LIGHT = Palette(
    ink="#1b2733", muted="#5a6875", line="#dfe4ea", surface="#ffffff",
    first="#0072b2", second="#009e73", third="#7a4fa3", review="#b87400", reject="#c24a00", absent="#8c99a6",
)
PAGE = Palette(
    ink="#010101", muted="#010102", line="#010103", surface="#010104",
    first="#010105", second="#010106", third="#010107", review="#010108", reject="#010109", absent="#01010a",
)


def dress(axes: Axes, palette: Palette) -> None:
    """Give axes the house look: a grid in the background, two quiet spines, small labels."""
    axes.set_facecolor("none")
    axes.grid(True, color=palette.line, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(palette.line)
    axes.tick_params(colors=palette.muted, labelsize=8, length=0)
    axes.yaxis.label.set(color=palette.muted, fontsize=8)
    axes.xaxis.label.set(color=palette.muted, fontsize=8)


def figure_png(figure: Figure, *, palette: Palette = LIGHT, dots_per_inch: int = 110) -> bytes:
    """Render a figure as PNG bytes on the palette's surface; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    body = io.BytesIO()
    with rc_context({"font.family": FONT}):
        figure.savefig(body, format="png", dpi=dots_per_inch, facecolor=palette.surface, metadata={"Software": None})
    return body.getvalue()


def figure_svg(figure: Figure, *, name: str) -> str:
    """Render a figure drawn with `PAGE` as an inline `<svg>` that takes its colours and font from the page.

    `name` goes in front of every id, so that several figures can stand in one document.
    """
    FigureCanvasSVG(figure)
    body = io.StringIO()
    with rc_context({"font.family": FONT, "svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(body, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = body.getvalue()
    text = text[text.index("<svg"):]
    for slot in Palette.__slots__:
        text = text.replace(getattr(PAGE, slot), f"var(--{slot})")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'href="#{name}-', text)
    # Older matplotlib writes the family into `font`.
    text = re.sub(r"(font-family: |font: [^;\"]*?px )[^;\"]*", r"\1var(--sans)", text)
    # Its own style sheet would reach the whole page, and most of its bytes are indentation.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", " ", text)
    return re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', text)

# Above this a line is thinned to the lowest and highest value of each stretch, so that spikes stay.
MAX_POINTS = 1200
# What leads when more signals are held to a bound than there is room for.
LEADING = (
    "predicted_iou_softmin", "object_score_median", "compensated_iou_p5", "innovation_p95", "pointer_similarity_p5",
    "area_min_share", "presence_conflict", "area_step", "containment",
    "tail_loss", "unexplained_absence", "gap_rate",
)
NUM_BINS = 24
# What is decided, `at_least` or `at_most`, and the limit.
Bound = tuple[Decision, str, float]
Floats = npt.NDArray[np.float64]


def thinned(positions: Floats, values: Floats, *, max_points: int = MAX_POINTS) -> tuple[Floats, Floats]:
    """Return at most about `max_points` of a line (N,), keeping the extremes of each stretch and its gaps (NaN)."""
    if len(values) <= max_points:
        return positions, values
    extremes = []
    for stretch in np.array_split(np.arange(len(values)), max_points // 2):
        finite = stretch[np.isfinite(values[stretch])]
        if len(finite) == 0:
            extremes.append(stretch[:1])
            continue
        extremes.append(np.unique([finite[values[finite].argmin()], finite[values[finite].argmax()]]))
    rows = np.concatenate(extremes)
    return positions[rows], values[rows]


def _optional(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _interval(seconds: Floats, first: int, end: int) -> tuple[float, float]:
    """Where rows [first, end) lie on the time axis; half a frame wider on both sides, so that one frame shows."""
    half = float(np.median(np.diff(seconds))) / 2 if len(seconds) > 1 else 0.05
    return float(seconds[first]) - half, float(seconds[end - 1]) + half


def _shade(
    panels: Sequence[Axes], frames: Sequence[FrameMask], seconds: Floats, flags: Sequence[QCFlag], palette: Palette
) -> None:
    absent = np.array([not frame.visible for frame in frames])
    for first, end in runs(absent):
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


def leading_signals(qc: QCConfig, measured: Iterable[str], *, limit: int = 6) -> tuple[str, ...]:
    """Return up to `limit` measured signals that a rule bounds, leading ones first, then in the rules' order."""
    present = set(measured)
    bounded = dict.fromkeys(rule.signal for rule in qc.rules if rule.signal in present)
    order = [name for name in LEADING if name in bounded] + [name for name in bounded if name not in LEADING]
    if not order:
        order = [name for name in LEADING if name in present]
    return tuple(order[:limit])


def bounds_of(qc: QCConfig, signal: str) -> tuple[Bound, ...]:
    """Return the (decision, `at_least` or `at_most`, value) that rules set for a signal, one of each kept."""
    bounds: dict[Bound, None] = {}
    for rule in qc.rules:
        if rule.signal != signal:
            continue
        for decision, value in ((Decision.REVIEW, rule.review), (Decision.REJECT, rule.reject)):
            if value is not None:
                bounds[decision, rule.bound, value] = None
    return tuple(sorted(bounds, key=lambda bound: bound[2]))


def _range(values: Floats, bounds: Sequence[Bound]) -> tuple[float, float]:
    """The axis holds 99 % of values and every bound; what lies beyond is counted in the outermost bars."""
    low, high = np.percentile(values, [0.5, 99.5])
    limits = [limit for _, _, limit in bounds]
    low, high = min([float(low), *limits]), max([float(high), *limits])
    if high - low < 1e-9:
        return low - 0.5, high + 0.5
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _mark_bounds(axes: Axes, bounds: Sequence[Bound], palette: Palette) -> None:
    low, high = axes.get_xlim()
    for decision, bound, limit in bounds:
        colour = palette.reject if decision is Decision.REJECT else palette.review
        dashes = (0, (1, 0)) if decision is Decision.REJECT else (0, (4, 2))
        axes.axvline(limit, color=colour, linewidth=1.4, linestyle=dashes)
        beyond = (low, limit) if bound == "at_least" else (limit, high)
        axes.axvspan(*beyond, facecolor=colour, alpha=0.10, linewidth=0, zorder=0)


def draw_histogram(
    values: Floats,
    *,
    bounds: Sequence[Bound] = (),
    palette: Palette = LIGHT,
    width_inches: float = 3.5,
) -> Figure:
    """Draw the distribution of one signal's values (N,), finite, with each bound and the side it refuses shaded.

    A dashed line sends to review, a solid one rejects. Raises ValueError when `values` is empty.
    """
    if len(values) == 0:
        raise ValueError("values is empty; expected at least one measured masklet")
    figure = Figure(figsize=(width_inches, 1.75), layout="constrained")
    axes = figure.subplots()
    dress(axes, palette)
    axes.grid(False, axis="x")
    low, high = _range(values, bounds)
    axes.hist(np.clip(values, low, high), bins=NUM_BINS, range=(low, high), color=palette.first, rwidth=0.9)
    axes.set_xlim(low, high)
    _mark_bounds(axes, bounds, palette)
    axes.set_ylabel("masklets")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    return figure
