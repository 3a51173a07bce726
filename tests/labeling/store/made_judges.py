"""Judges by hand: one step on one signal, so that every risk is known."""

from collections.abc import Sequence
from typing import Any

from labeling.qc.judge import Judge
from labeling.qc.judge_json import judge_from_json, to_json

WEIGHTS = "a" * 64


def step_document(
    signal: str = "visible_share", bound: float = 0.9, *, low: float = 0.9, high: float = 0.1,
    weights: Sequence[str] = (WEIGHTS,), usual: Sequence[float] | None = None, accept_below: float = 0.3,
    reject_from: float = 0.95, name: str = "by-hand",
) -> dict[str, Any]:
    """A judge whose risk is `low` up to the bound and `high` above it; good tracks have the quantiles `usual` of the signal."""
    quantiles = list(usual) if usual is not None else None
    return {
        "format": 1, "name": name, "model": "sam2.1_nano", "weights": list(weights), "features": [signal],
        "heads": [
            {"name": "bad", "num_trees": 1, "baseline": 0.0, "weight": 1.0},
            {"name": "late_loss", "num_trees": 1, "baseline": 0.0, "weight": 0.0},
        ],
        "trees": {
            "sizes": [3, 1], "feature": [0, -1, -1, -1], "number": [bound, low, high, 0.0], "left": [1, 0, 0, 0],
            "right": [2, 0, 0, 0], "missing_left": [1, 0, 0, 0],
        },
        "calibration": {"score": [0.0, 1.0], "risk": [0.0, 1.0]},
        "usual": {"levels": [0.0, 0.5, 1.0], "quantiles": [quantiles], "signs": [1], "num_tracks": 99, "review_from": 3.0},
        "accept_below": accept_below, "reject_from": reject_from, "facts": {},
    }


def step_judge(*args: Any, **parts: Any) -> Judge:
    return judge_from_json(to_json(step_document(*args, **parts)), "a judge by hand")
