"""Loss curves of a training run as one picture, from its metrics file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam2.training.checkpoints import written_beside

PARTS = ("total", "focal", "dice", "iou", "object_score", "true_iou")
RATIOS = ("true_iou",)
SHOWN_POINTS = 200          # of the smoothed line: one point is the mean of as many steps as that takes


def draw_curves(metrics: Path, picture: Path) -> bool:
    """Draw every loss and the learning rate over steps into a PNG; return False where nothing was logged yet.

    A dot is a logged step, the line a running mean; a dotted line is where the next stage begins. Written beside and
    renamed. Raises ValueError for a file that is no metrics file.
    """
    rows = read_metrics(metrics)
    if not rows:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    steps = [row["step"] for row in rows]
    begins = [row["step"] for before, row in zip(rows, rows[1:], strict=False) if before["stage"] != row["stage"]]
    panels = figure.subplots(3, 3).flat
    for name, panel in zip((*PARTS, "learning_rate", "grad_norm", "seconds"), panels, strict=True):
        values = [row["losses"][name] if name in PARTS else row[name] for row in rows]
        _draw(panel, name, steps, values, begins)
    with written_beside(picture) as file:
        figure.savefig(file, format="png", dpi=100)
    return True


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the logged steps in order; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    rows = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as problem:
            if number == len(lines):
                break
            raise ValueError(f"{path} line {number} is {line[:60]!r}; expected what a training run writes") from problem
    return rows


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Return the mean of each value and up to `window - 1` before it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - window)
    return [float(v) for v in (sums[ends] - sums[begins]) / (ends - begins)]


def _draw(panel: Any, name: str, steps: Sequence[int], values: Sequence[float], begins: Sequence[int]) -> None:
    panel.plot(steps, values, ".", markersize=2, alpha=0.4)
    panel.plot(steps, smoothed(values, 1 + len(values) // SHOWN_POINTS * 4), linewidth=1.2)
    for step in begins:
        panel.axvline(step, linestyle=":", linewidth=0.8, color="grey")
    panel.set_title(name.replace("_", " "), fontsize=10)
    panel.set_xlabel("step", fontsize=8)
    if name in RATIOS:
        panel.set_ylim(0, 1)
    elif min(values) > 0 and max(values) > 20 * min(values):
        panel.set_yscale("log")
