"""`labeling quality bench`: one table of how well rules, judge and single signals tell bad tracks from good ones.

`run_bench` is where it begins: it reads tracks with truth, lets all contenders rank them, and prints and writes the figures.
Shape suffix: R tracks.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from flows.quality.contenders import Contender, Field, field_of, signal_alone
from flows.quality.figures import (
    auprc,
    auroc,
    brier,
    calibration_error,
    caught,
    good_accepted,
    of_a_perfect_judge,
    over_clips,
)
from flows.quality.tables import print_tables, to_markdown
from flows.quality.truth import BAD_BELOW, WRONG_BELOW, Truth, read_truth
from flows.run.out_folder import out_folder
from labeling.errors import BadConfiguration
from labeling.qc.calibration import weights_for

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Figures = dict[str, Any]

BAD_SHARE = 0.10            # of the sets that queue and acceptance are reckoned for
LEAST_BAD = 8               # tracks of a kind: below it a figure says nothing
FRAME_SCORES = (
    "predicted_iou", "object_score", "stability", "motion_iou", "pointer_similarity", "look_seed", "colour_seed",
    "edge_gradient",
)
RANKED: Mapping[str, Callable[[Bools, Floats], float]] = {
    "auroc": auroc,
    "auprc": auprc,
    "riskiest_fifth": lambda bad_R, risk_R: caught(bad_R, risk_R, weights_for(bad_R, BAD_SHARE)),
    "good_accepted": lambda bad_R, risk_R: good_accepted(bad_R, risk_R, weights_for(bad_R, BAD_SHARE)),
}


def run_bench(
    root: Path, console: Console, *, split: str, judge: str, fit: bool, wrong_seeds: bool, out: str | None
) -> Figures:
    """Compare all contenders on the tracks of `root` (of one split, or `all`), print it, and write it into a folder.

    Without `wrong_seeds` tracks from wrong prompts are left out of the ranking: a perfect mask of another object looks as good
    as any, and only a look at prompts before tracking finds it. Their figures stand in a row of their own either way.
    Raises BadConfiguration where there is too little to compare.
    """
    with out_folder(out) as folder:
        truth = read_truth(root)
        figures = figures_of(truth if split == "all" else truth.of_split(split), judge=judge, fit=fit, wrong_seeds=wrong_seeds)
        figures["split"] = split
        print_tables(figures, console)
        if folder is not None:
            (folder / "quality.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
            (folder / "quality.md").write_text(to_markdown(figures), encoding="utf-8")
    if out is not None:
        console.print(f"{out}: quality.json, quality.md", markup=False, soft_wrap=True)
    return figures


def figures_of(truth: Truth, *, judge: str, fit: bool, wrong_seeds: bool = False) -> Figures:
    """Return every figure of the table by name."""
    field = field_of(truth, judge=judge, fit=fit)
    bad_R, right_R = field.j_R < BAD_BELOW, np.array([not v.startswith("wrong_seed") for v in _of(truth, "variant")])
    among_R = np.ones_like(right_R) if wrong_seeds else right_R
    if min((bad_R & among_R).sum(), (~bad_R & among_R).sum()) < LEAST_BAD:
        raise BadConfiguration(
            f"{int((bad_R & among_R).sum())} bad and {int((~bad_R & among_R).sum())} good tracks are too few to compare; "
            f"expected {LEAST_BAD} of each: `labeling quality make` makes more"
        )
    return {
        "tracks": len(bad_R), "ranked": int(among_R.sum()), "clips": len(set(field.clips)),
        "bad_share": _short(bad_R[among_R].mean()),
        "contenders": {c.name: _contender(c, field, among_R) for c in field.contenders},
        "kinds": dict(_kinds(field, among_R)),
        "signals_alone": _alone(field, bad_R, among_R),
        "frames": _frames(truth),
    }


def _contender(contender: Contender, field: Field, among_R: Bools) -> Figures:
    bad_R, risk_R = (field.j_R < BAD_BELOW)[among_R], contender.risk_R[among_R]
    clips = [clip for clip, chosen in zip(field.clips, among_R, strict=True) if chosen]
    figures: Figures = {}
    for name, figure in RANKED.items():
        interval = over_clips(figure, clips, bad_R, risk_R)
        figures[name] = {"value": _short(figure(bad_R, risk_R)), "interval": [_short(end) for end in interval]}
    figures["auroc_below_half"] = _short(auroc((field.j_R < WRONG_BELOW)[among_R], risk_R))
    if contender.accepted_R is not None:
        accepted_R = contender.accepted_R[among_R]
        figures |= {
            "accepted": _short(accepted_R.mean()), "good_among_accepted": _short(accepted_R[~bad_R].mean()),
            "error_of_accepted": _short(bad_R[accepted_R].mean()) if accepted_R.any() else None,
        }
    if contender.calibrated:
        perfect_ece, perfect_brier = of_a_perfect_judge(risk_R)
        figures |= {
            "ece": _short(calibration_error(bad_R, risk_R)), "ece_of_perfect": _short(perfect_ece),
            "brier": _short(brier(bad_R, risk_R)), "brier_of_perfect": _short(perfect_brier),
        }
    return figures


def _kinds(field: Field, among_R: Bools) -> Iterator[tuple[str, dict[str, Figures]]]:
    """Yield each way to part the tracks, with the AUROC of every contender in each part; failures stand against all good."""
    bad_R = field.j_R < BAD_BELOW
    failure_R = np.array([failure or "good" if bad else "good" for failure, bad in zip(field.failures, bad_R, strict=True)])
    outline_R = np.where(bad_R & (failure_R == "good"), "outline", failure_R)
    failed = sorted(set(outline_R[among_R & bad_R]))
    yield "failure", {kind: _part(field, among_R & ((outline_R == kind) | ~bad_R)) for kind in failed}
    for name in ("size_class", "num_frames", "generator", "variant", "tracker", "image_size", "prompt"):
        of_R = np.array([str(value) for value in _of(field.truth, name)])
        chosen_R = np.ones_like(among_R) if name == "variant" else among_R
        yield name, {kind: _part(field, chosen_R & (of_R == kind)) for kind in sorted(set(of_R[chosen_R]))}


def _part(field: Field, part_R: Bools) -> Figures:
    bad_R = (field.j_R < BAD_BELOW)[part_R]
    enough = min(bad_R.sum(), (~bad_R).sum()) >= LEAST_BAD
    return {
        "tracks": int(part_R.sum()), "bad": int(bad_R.sum()),
        "auroc": {c.name: _short(auroc(bad_R, c.risk_R[part_R])) if enough else None for c in field.contenders},
    }


def _alone(field: Field, bad_R: Bools, among_R: Bools) -> dict[str, Figures]:
    found = {name: signal_alone(values_R[among_R], bad_R[among_R]) for name, values_R in field.alone.items()}
    ordered = sorted(found.items(), key=lambda pair: -np.nan_to_num(pair[1][0]))
    return {name: {"auroc": _short(area), "tracks": tracks} for name, (area, tracks) in ordered if tracks}


def _frames(truth: Truth) -> dict[str, Figures]:
    """Return how well each score of a frame tells frames with J below 0.5, among those with a mask."""
    keys = ["video_id", "track_id", "frame_idx"]
    rows = truth.truth.select([*keys, "j", "mask_visible"]).join(truth.masks.select([*keys, *FRAME_SCORES]), keys)
    seen_R = rows["mask_visible"].to_numpy(zero_copy_only=False)
    wrong_R = rows["j"].to_numpy() < WRONG_BELOW
    scores = {name: rows[name].to_numpy(zero_copy_only=False).astype(float) for name in FRAME_SCORES}
    found = {name: signal_alone(values_R[seen_R], wrong_R[seen_R]) for name, values_R in scores.items()}
    return {name: {"auroc": _short(area), "frames": count} for name, (area, count) in found.items() if count}


def _of(truth: Truth, name: str) -> Sequence[Any]:
    values: list[Any] = truth.clips[name].to_pylist()
    return values


def _short(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
