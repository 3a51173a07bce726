"""How a signal is spread over all masklets of a run, with the bounds that the judge holds it to."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labeling.config import QCConfig
from labeling.export.theme import LIGHT, Palette, dress
from labeling.types import Decision

# What leads when more signals are held to a bound than there is room for.
LEADING = (
    "predicted_iou_softmin",
    "object_score_median",
    "compensated_iou_p5",
    "innovation_p95",
    "pointer_similarity_p5",
    "area_min_share",
    "presence_conflict",
    "area_step",
    "containment",
    "tail_loss",
    "unexplained_absence",
    "gap_rate",
)
NUM_BINS = 24
Floats = npt.NDArray[np.float64]
# What is decided, `at_least` or `at_most`, and the limit.
Bound = tuple[Decision, str, float]


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
    found: dict[Bound, None] = {}
    for rule in qc.rules:
        if rule.signal != signal:
            continue
        for decision, value in ((Decision.REVIEW, rule.review), (Decision.REJECT, rule.reject)):
            if value is not None:
                found[decision, rule.bound, value] = None
    return tuple(sorted(found, key=lambda bound: bound[2]))


def num_past(values: Floats, bounds: Sequence[Bound]) -> int:
    """Count the values (N,) that are on the wrong side of any bound."""
    past = np.zeros(len(values), dtype=bool)
    for _, bound, limit in bounds:
        past |= values < limit if bound == "at_least" else values > limit
    return int(past.sum())


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


def finite_values(rows: Iterable[Mapping[str, float | None]], signal: str) -> Floats:
    """Collect a signal's finite values (N,) from rows of signals; rows that lack it or hold null are left out."""
    found = np.array([row[signal] for row in rows if row.get(signal) is not None], dtype=np.float64)
    return found[np.isfinite(found)]


def describe_bounds(bounds: Sequence[Bound]) -> str:
    """Say bounds in words: `review below 0.7, reject below 0.4`."""
    side = {"at_least": "below", "at_most": "above"}
    return ", ".join(f"{decision} {side[bound]} {limit:g}" for decision, bound, limit in bounds)
