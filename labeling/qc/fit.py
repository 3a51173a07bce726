"""Fits a judge to tracks whose quality is known; takes scikit-learn (`pip install samurai-labeling[judge]`).

Heads are fitted on groups (clips) and tried on others: the score's weights and calibration come from what no tree has seen.
Suffixes: R tracks, F features, H heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.errors import BadConfiguration, require
from labeling.qc.calibration import calibrated, stacked, weights_for
from labeling.qc.containment import COMPARED
from labeling.qc.judge import BAD, Judge, matrix_of
from labeling.qc.judge_json import FORMAT, document_of, usual_of
from labeling.qc.trees import LEAF, Bools, Floats

Ints = npt.NDArray[np.int64]

# Which way a signal goes when a masklet is worse: 1 for up, -1 for down. What is not here is not read: lengths and areas, whose
# both ends may be bad, rank no better with them and would carry over worse to other footage.
SIGNS: Mapping[str, int] = {
    "area_min_share": -1,
    "predicted_iou_softmin": -1, "predicted_iou_median": -1, "predicted_iou_low_run_s": 1,
    "object_score_min": -1, "object_score_median": -1, "presence_conflict": 1, "presence_dither": 1,
    "innovation_p95": 1, "innovation_max": 1, "motion_iou_p5": -1, "compensated_iou_min": -1, "compensated_iou_p5": -1,
    "area_jump_max": 1, "area_jump_share": 1, "area_step": 1, "shape_step": 1, "fragmentation_max": 1,
    "fragmentation_share": 1, "holes_max": 1, "gap_rate": 1, "unexplained_absence": 1, "tail_loss": 1, "reentry_mismatch": 1,
    "frozen": 1, "stability_p5": -1, "candidate_gap_p5": 1, "pointer_similarity_p5": -1, "containment": 1,
    "predicted_iou_p10": -1, "predicted_iou_mean": -1, "predicted_iou_end": -1, "stability_mean": -1,
    "look_seed_mean": -1, "look_seed_end": -1, "look_ring_mean": 1, "look_contrast_p10": -1, "look_contrast_end": -1,
    "look_lead_p10": -1, "look_lead_end": -1, "colour_seed_mean": -1, "colour_contrast_p10": -1, "colour_contrast_end": -1,
    "colour_lead_p10": -1, "colour_lead_end": -1, "edge_gradient_mean": -1, "edge_gradient_p10": -1,
    "edge_gradient_change": -1, "containment_late": 1,
    **{f"pair_{name}": -1 for name in COMPARED},
}
BAD_BELOW, USELESS_BELOW = 0.75, 0.5        # mean J
J_BOUNDS = (0.5, 0.65, 0.75, 0.85)          # a head for each: together they rank by J
LEAST_TRACKS, LEAST_AUDITS = 25, 50         # of a kind, to fit a head to; in all, to calibrate on
ACCEPTED_ERROR, REJECTED_USELESS, LEAST_REJECTED_RISK = 0.05, 0.97, 0.9
USUAL_BAD_SHARE = 0.2                       # of the sets that risks and thresholds are for: drawn truth is harder
NOVEL_SHARE = 0.15                          # of the queue's places
LEVELS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
FOLDS = 5
BINS = 127
_DIGITS = 8             # significant ones of what is written
_NO_BOUND = 1e300       # in place of infinity, which JSON does not have


@dataclass(frozen=True, slots=True)
class Boost:
    """How a head is boosted."""

    rounds: int = 80
    leaves: int = 6
    rate: float = 0.08
    least_in_leaf: int = 12
    shrink: float = 4.0             # L2 on leaf values
    features_a_split: float = 0.2


def sklearn_ensemble() -> Any:
    """Return scikit-learn's ensembles, or say what to install."""
    try:
        from sklearn import ensemble
    except ImportError as error:
        raise BadConfiguration(
            "fitting a judge needs scikit-learn, which is not installed; `pip install samurai-labeling[judge]`"
        ) from error
    return ensemble


def boosted(
    values_RF: Floats, bad_R: Bools, signs: Sequence[int], *, weight_R: Floats | None = None, boost: Boost | None = None,
    seed: int = 0,
) -> Any:
    """Fit boosted trees whose answer only rises, or only falls, with each feature that has a sign."""
    boost = boost or Boost()
    model = sklearn_ensemble().HistGradientBoostingClassifier(
        learning_rate=boost.rate, max_iter=boost.rounds, max_leaf_nodes=boost.leaves, min_samples_leaf=boost.least_in_leaf,
        l2_regularization=boost.shrink, max_features=boost.features_a_split, monotonic_cst=list(signs), early_stopping=False,
        max_bins=BINS, random_state=seed,
    )
    # Equal weights are none: with them, finding bins takes a hundred times as long.
    uneven = weight_R is not None and weight_R.size > 0 and bool((weight_R != weight_R[0]).any())
    return model.fit(values_RF, bad_R, sample_weight=weight_R if uneven else None)


def nodes_of(models: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the trees of fitted models as the plain lists that `Trees.of` reads."""
    nodes: dict[str, list[Any]] = {name: [] for name in ("sizes", "feature", "number", "left", "right", "missing_left")}
    for model in models:
        for (tree,) in model._predictors:
            rows = tree.nodes
            leaf = rows["is_leaf"].astype(bool)
            bound = np.clip(rows["num_threshold"], -_NO_BOUND, _NO_BOUND)
            nodes["sizes"].append(len(rows))
            nodes["feature"] += np.where(leaf, LEAF, rows["feature_idx"].astype(int)).tolist()
            nodes["number"] += [
                rounded(number) if is_leaf else _rounded_up(number)
                for number, is_leaf in zip(np.where(leaf, rows["value"], bound).tolist(), leaf, strict=True)
            ]
            nodes["left"] += rows["left"].astype(int).tolist()
            nodes["right"] += rows["right"].astype(int).tolist()
            nodes["missing_left"] += rows["missing_go_to_left"].astype(int).tolist()
    return nodes


def baseline_of(model: Any) -> float:
    """Return the logit that a fitted model starts from."""
    return rounded(float(np.ravel(model._baseline_prediction)[0]))


def rounded(number: float) -> float:
    """Return a number with the digits that a judge keeps."""
    return float(f"{number:.{_DIGITS}g}")


def _rounded_up(number: float) -> float:
    """Round a bound upwards: it is often a value that was seen, which has to stay on its side."""
    short = rounded(number)
    return short if short >= number else rounded(number + abs(number) * 10.0 ** (1 - _DIGITS))


def folds_of(groups: Sequence[str], *, folds: int = FOLDS, seed: int = 0) -> Ints:
    """Deal groups out: returns the fold of each row, the same for all rows of a group, in folds of about equal size."""
    names, inverse, sizes = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of, filled = np.zeros(len(names), np.int64), np.zeros(folds)
    for g in order:
        fold_of[g] = int(filled.argmin())
        filled[fold_of[g]] += sizes[g]
    out: Ints = fold_of[inverse]
    return out


@dataclass(frozen=True, slots=True, eq=False)
class KnownTracks:
    """Tracks to fit to: signals by name, mean J (R,), the failure by its reason (None: good), and the clip each is of.

    `weight_R` says how much each counts, as where some were likelier to be looked at than others.
    """

    rows: Sequence[Mapping[str, float | None]]
    j_R: Floats
    failures: Sequence[str | None]
    clips: Sequence[str]
    weight_R: Floats

    def __post_init__(self) -> None:
        sizes = {len(self.rows), len(self.j_R), len(self.failures), len(self.clips), len(self.weight_R)}
        require(len(sizes) == 1, "rows, j_R, failures, clips, weight_R", sorted(sizes), "one entry each for every track")

    @property
    def bad_R(self) -> Bools:
        """Which tracks are bad."""
        return self.j_R < BAD_BELOW


@dataclass(frozen=True, slots=True, eq=False)
class _HeadTask:
    """What one head tells apart: `positive_R` from the others among `among_R`."""

    name: str
    positive_R: Bools
    among_R: Bools


@dataclass(frozen=True, slots=True, eq=False)
class FittedJudge:
    """A judge as plain values, and what it said of each track out of fold: score, risk and logits of heads."""

    document: dict[str, Any]
    score_R: Floats
    risk_R: Floats


def fit_judge(
    known: KnownTracks, *, name: str, model: str, weights: Sequence[str], facts: Mapping[str, Any], boost: Boost | None = None,
) -> FittedJudge:
    """Fit heads, their weights, the risk's table, the verdicts' thresholds and what good tracks look like.

    Risk and thresholds are those of a set of which one in five is bad, whatever share of the tracks is; reviews of the footage
    at hand set that right (`recalibrated`).

    Raises BadConfiguration where scikit-learn is missing or the tracks are too few or all alike.
    """
    _check(known)
    boost = boost or Boost()
    features = tuple(name for name in SIGNS if any(row.get(name) is not None for row in known.rows))
    values_RF = matrix_of(known.rows, features)
    signs, tasks = [SIGNS[name] for name in features], _tasks(known)
    logits_RH = _out_of_fold(values_RF, known, tasks, signs, boost)
    head_weights = stacked(logits_RH, known.bad_R, known.weight_R)
    score_R = logits_RH @ head_weights
    usual_R = known.weight_R * weights_for(known.bad_R, USUAL_BAD_SHARE, known.weight_R)
    table = calibrated(score_R, known.bad_R, usual_R)
    risk_R = table.risk(score_R)
    accept_below = most_accepted(risk_R, known.bad_R, usual_R)
    reject_from = least_rejected(risk_R, known.j_R < USELESS_BELOW, usual_R)
    models = [_fit(values_RF, known, task, signs, boost) for task in tasks]
    heads = [
        {"name": task.name, "num_trees": len(fitted._predictors), "baseline": baseline_of(fitted), "weight": rounded(weight)}
        for task, fitted, weight in zip(tasks, models, head_weights, strict=True)
    ]
    document = {
        "format": FORMAT, "name": name, "model": model, "weights": sorted(weights), "features": list(features),
        "heads": heads, "trees": nodes_of(models),
        "calibration": {"score": table.score_K.tolist(), "risk": table.risk_K.tolist()},
        "usual": _usual(values_RF, signs, known.bad_R, risk_R, accept_below, usual_R), "facts": dict(facts),
        "accept_below": accept_below, "reject_from": max(reject_from, accept_below),
    }
    return FittedJudge(document, score_R, risk_R)


def _check(known: KnownTracks) -> None:
    num_bad, clips = int(known.bad_R.sum()), len(set(known.clips))
    good = len(known.rows) - num_bad
    if min(num_bad, good) < LEAST_TRACKS or clips < 2 * FOLDS:
        raise BadConfiguration(
            f"there are {good} good and {num_bad} bad tracks of {clips} clips; expected {LEAST_TRACKS} of each, of "
            f"{2 * FOLDS} clips, to fit a judge to"
        )


def _tasks(known: KnownTracks) -> list[_HeadTask]:
    everything = np.ones(len(known.rows), bool)
    tasks = [_HeadTask(BAD, known.j_R < below, everything) for below in J_BOUNDS]
    tasks = [task for task in tasks if LEAST_TRACKS <= task.positive_R.sum() <= len(everything) - LEAST_TRACKS]
    for reason in sorted({failure for failure in known.failures if failure}):
        is_it = np.array([failure == reason for failure in known.failures]) & known.bad_R
        if is_it.sum() >= LEAST_TRACKS:
            # Against good tracks alone, so that the signs hold: a masklet that is lost has no swap's signals.
            tasks.append(_HeadTask(reason, is_it, is_it | ~known.bad_R))
    return tasks


def _fit(values_RF: Floats, known: KnownTracks, task: _HeadTask, signs: Sequence[int], boost: Boost, *among: Bools) -> Any:
    rows = task.among_R if not among else task.among_R & among[0]
    return boosted(values_RF[rows], task.positive_R[rows], signs, weight_R=known.weight_R[rows], boost=boost)


def _out_of_fold(
    values_RF: Floats, known: KnownTracks, tasks: Sequence[_HeadTask], signs: Sequence[int], boost: Boost
) -> Floats:
    """Return each head's logit (R, H) of each track, by trees that were fitted without its clip."""
    fold_R, logits_RH = folds_of(known.clips), np.zeros((len(values_RF), len(tasks)))
    for fold in range(FOLDS):
        left_out = fold_R == fold
        for h, task in enumerate(tasks):
            fitted = _fit(values_RF, known, task, signs, boost, ~left_out)
            logits_RH[left_out, h] = fitted.decision_function(values_RF[left_out])
    return logits_RH


def most_accepted(risk_R: Floats, bad_R: Bools | Floats, weight_R: Floats) -> float:
    """Return the risk below which masklets are accepted: as many as can be while at most 5 % of them are bad.

    `bad_R` is what was so, of tracks that no tree has seen, or how likely it is.
    """
    order = np.argsort(risk_R, kind="stable")
    error = np.cumsum((weight_R * bad_R)[order]) / np.cumsum(weight_R[order])
    within = np.flatnonzero(error <= ACCEPTED_ERROR)
    return rounded(float(risk_R[order][min(within[-1] + 1, risk_R.size - 1)])) if within.size else 0.0


def least_rejected(risk_R: Floats, useless_R: Bools, weight_R: Floats) -> float:
    """Return the risk from which on masklets are rejected: the least at which at least 97 % are beyond use (J below 0.5).

    Above 1, so that none is, where no risk is so sure for at least 25 tracks.
    """
    order = np.argsort(-risk_R, kind="stable")
    share = np.cumsum((weight_R * useless_R)[order]) / np.cumsum(weight_R[order])
    sure = np.flatnonzero((share >= REJECTED_USELESS) & (np.arange(risk_R.size) + 1 >= LEAST_TRACKS))
    return rounded(max(float(risk_R[order][sure[-1]]), LEAST_REJECTED_RISK)) if sure.size else 1.01


def recalibrated(
    judge: Judge, rows: Sequence[Mapping[str, float | None]], bad_R: Bools, weight_R: Floats, *, name: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a judge as plain values with the same trees, whose risk and acceptance follow what people found; no scikit-learn.

    `weight_R` is the inverse of the probability that a track was looked at. What is rejected stays as it was: people's good
    or bad does not say what is beyond use. Raises BadConfiguration for fewer than 50 tracks.
    """
    if len(rows) < LEAST_AUDITS:
        raise BadConfiguration(f"{len(rows)} masklets were judged by people; expected {LEAST_AUDITS} or more to calibrate on")
    score_R = judge.score(judge.logits(judge.matrix(rows)))
    table = calibrated(score_R, bad_R, weight_R)
    risk_R = table.risk(score_R)
    # By the risk, which is smooth, and not by the few answers themselves.
    accept_below = most_accepted(risk_R, risk_R, weight_R)
    return document_of(judge) | {
        "name": name, "calibration": {"score": table.score_K.tolist(), "risk": table.risk_K.tolist()}, "facts": dict(facts),
        "accept_below": accept_below, "reject_from": max(judge.reject_from, accept_below),
    }


def _usual(
    values_RF: Floats, signs: Sequence[int], bad_R: Bools, risk_R: Floats, accept_below: float, weight_R: Floats
) -> dict[str, Any]:
    good_RF = values_RF[~bad_R]
    quantiles = [
        [rounded(q) for q in np.nanquantile(column, LEVELS)] if sign and np.isfinite(column).mean() > 0.5 else None
        for column, sign in zip(good_RF.T, signs, strict=True)
    ]
    usual = {
        "levels": list(LEVELS), "quantiles": quantiles, "signs": list(signs), "num_tracks": len(good_RF), "review_from": 0.0,
    }
    novelty_R = usual_of(usual).novelty(values_RF)
    # So many as take their share of the queue beside those that go there by their risk.
    accepted = np.flatnonzero(risk_R < accept_below)
    most_novel = accepted[np.argsort(-novelty_R[accepted], kind="stable")]
    room = NOVEL_SHARE / (1 - NOVEL_SHARE) * float(weight_R[risk_R >= accept_below].sum())
    last = min(int(np.searchsorted(np.cumsum(weight_R[most_novel]), room)), most_novel.size - 1)
    review_from = float(novelty_R[most_novel[last]]) if accepted.size else 0.0
    return usual | {"review_from": rounded(review_from)}
