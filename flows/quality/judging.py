"""Fits judges to tracks with truth or to what reviewers said, and draws up the card of one: trained on what, how good."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.quality.figures import auroc, calibration_bins, calibration_error, caught, good_accepted
from flows.quality.known import REASON_OF, chosen, known_tracks, rightly_prompted
from flows.quality.reviewed import reviewed_tracks
from flows.quality.truth import FIT, HELD, Truth, read_truth
from flows.run.review_queue import queue_at_hand
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.qc.calibration import weights_for
from labeling.qc.fit import USELESS_BELOW, USUAL_BAD_SHARE, Boost, KnownTracks, fit_judge, recalibrated
from labeling.qc.judge import Judge
from labeling.qc.judge_json import judge_from_json, to_json
from labeling.store.snapshots import read_snapshot

Floats = npt.NDArray[np.float64]
BOOST = Boost()
BAD_SHARE = 0.1         # of the set that figures of the queue are for
BINS = 10


def fit_to_truth(root: Path, name: str) -> Judge:
    """Fit a judge to the clips of a truth that are to fit to, and measure it on those that were held out.

    Wrong prompts are left out: nothing of what a judge reads tells a perfect mask of another object. Raises BadConfiguration
    where there is no truth, too little of it, or no scikit-learn.
    """
    truth = read_truth(root)
    models = sorted(set(truth.tracks["model"].to_pylist()))
    if len(models) != 1:
        raise BadConfiguration(f"{root} has tracks of {', '.join(models)}; expected those of one network")
    fit, held = truth.of_split(FIT), truth.of_split(HELD)
    known = chosen(known_tracks(fit), rightly_prompted(fit))
    weights = sorted(set(truth.tracks["checkpoint_sha256"].to_pylist()))
    fitted = fit_judge(known, name=name, model=models[0], weights=weights, facts={}, boost=BOOST)
    judge = judge_from_json(to_json(fitted.document), name)
    facts = {"trained_on": _trained_on(fit, known), "held_out": figures_of(judge, held), "signals": signals_of(judge, held)}
    return judge_from_json(to_json(fitted.document | {"facts": facts}), name)


def fit_to_store(config: LabelConfig, base: Judge, name: str) -> Judge:
    """Calibrate a judge on what people said of a store's newest snapshot; BadConfiguration where that is too little."""
    objects = open_objects(config.store.root)
    snapshot = read_snapshot(objects)
    with queue_at_hand(config) as queue:
        known = reviewed_tracks(objects, snapshot, queue)
    trained = {
        **base.facts.get("trained_on", {}), "calibrated_on": {
            "snapshot": snapshot.name, "tracks": len(known.rows), "bad": int(known.bad_R.sum()), "base": base.digest,
            "bad_share": _short(float(np.average(known.bad_R, weights=known.weight_R))) if known.rows else None,
        },
    }
    facts = {"trained_on": trained, "signals": base.facts.get("signals", [])}
    document = recalibrated(base, known.rows, known.bad_R, known.weight_R, name=name, facts=facts)
    return judge_from_json(to_json(document), name)


def _trained_on(fit: Truth, known: KnownTracks) -> dict[str, Any]:
    names = "generator", "tracker", "image_size"
    kinds = {name: dict(sorted(Counter(fit.clips[name].to_pylist()).items())) for name in names}
    return {
        "what": "drawn clips with true masks", "risk_for_bad_share": USUAL_BAD_SHARE,
        "tracks": len(known.rows), "bad": int(known.bad_R.sum()),
        "clips": len(set(known.clips)), "failures": dict(sorted(Counter(f for f in known.failures if f).items())),
        **{name: {str(kind): count for kind, count in of.items()} for name, of in kinds.items()},
    }


def figures_of(judge: Judge, truth: Truth) -> dict[str, Any]:
    """Return how well a judge does on tracks with truth: of all, and of those that were rightly prompted."""
    known, right_R = known_tracks(truth), rightly_prompted(truth)
    risk_R = judge.assess(known.rows).risk_R
    large_R = np.array(truth.clips["image_size"].to_pylist()) >= 384
    parts = {"rightly_prompted": right_R, "all": np.ones(len(right_R), bool), "at_384": right_R & large_R}
    figures: dict[str, Any] = {name: measured(chosen(known, among), risk_R[among], judge) for name, among in parts.items()}
    good_R = ~known.bad_R & right_R
    for reason in sorted(set(REASON_OF.values())):
        is_it = np.array([failure == reason for failure in known.failures]) & right_R
        if is_it.sum() >= BINS:
            among = is_it | good_R
            figures.setdefault("by_failure", {})[reason] = {
                "tracks": int(is_it.sum()), "auroc": _short(auroc(is_it[among], risk_R[among]))
            }
    figures["calibration"] = calibration_of(known.bad_R[right_R], risk_R[right_R])
    return figures


def measured(known: KnownTracks, risk_R: Floats, judge: Judge | None = None) -> dict[str, Any]:
    """Return the figures of a risk; with a judge also what its thresholds do."""
    bad_R, rare_R, usual_R = known.bad_R, weights_for(known.bad_R, BAD_SHARE), weights_for(known.bad_R, USUAL_BAD_SHARE)
    figures: dict[str, Any] = {
        "tracks": len(known.rows), "clips": len(set(known.clips)), "bad_share": float(bad_R.mean()),
        "auroc": auroc(bad_R, risk_R), "auroc_j50": auroc(known.j_R < USELESS_BELOW, risk_R),
        "riskiest_fifth": caught(bad_R, risk_R, rare_R), "good_accepted": good_accepted(bad_R, risk_R),
        "good_accepted_at_10": good_accepted(bad_R, risk_R, rare_R), "ece": calibration_error(bad_R, risk_R, usual_R),
    }
    if judge is not None:
        accepted, rejected = risk_R < judge.accept_below, risk_R >= judge.reject_from
        figures |= {
            "accepted_of_good": _mean(accepted[~bad_R]), "rejected_of_bad": _mean(rejected[bad_R]),
            "accepted_bad": _mean(bad_R[accepted], usual_R[accepted]),
            "rejected_useless": _mean((known.j_R < USELESS_BELOW)[rejected], usual_R[rejected]),
        }
    return {name: _short(value) for name, value in figures.items()}


def calibration_of(bad_R: npt.NDArray[np.bool_], risk_R: Floats) -> list[dict[str, Any]]:
    """Return ten bins of about as many tracks each: mean risk, share of bad ones, and the weight of each."""
    bins = calibration_bins(bad_R, risk_R, weights_for(bad_R, USUAL_BAD_SHARE))
    return [{"risk": _short(risk), "bad": _short(bad), "tracks": _short(mass)} for risk, bad, mass in bins]


def signals_of(judge: Judge, truth: Truth) -> list[tuple[str, float]]:
    """Return by how much AUROC falls when a signal's values are dealt out anew among the tracks; the most telling first."""
    known = chosen(known_tracks(truth), rightly_prompted(truth))
    values_RF, random = judge.matrix(known.rows), np.random.default_rng(0)
    whole = auroc(known.bad_R, judge.score(judge.logits(values_RF)))
    falls = {}
    for f, name in enumerate(judge.features):
        shuffled = values_RF.copy()
        shuffled[:, f] = random.permutation(shuffled[:, f])
        falls[name] = _short(whole - auroc(known.bad_R, judge.score(judge.logits(shuffled))))
    return sorted(falls.items(), key=lambda pair: -pair[1])


def _mean(values: npt.NDArray[np.bool_], weights: Floats | None = None) -> float | None:
    return float(np.average(values, weights=weights)) if values.size else None


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return value
