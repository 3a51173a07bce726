"""Score to risk: a table fitted on tracks whose quality is known and that the trees have not seen, such as audits.

Suffixes: R tracks, H heads, K knots, B blocks.
"""

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from labeling.errors import require
from labeling.qc.judge import Calibration
from labeling.qc.trees import Bools, Floats

FEW = 400.0  # tracks from which on steps are believed more than a curve
PULL = 200.0  # towards equal weights of all heads: in tracks, about


def stacked(logits_RH: Floats, bad_R: Bools, weight_R: Floats) -> Floats:
    """Return how much each head counts (H,), none below 0: the logistic regression of bad on the heads' logits.

    Few tracks leave the heads nearly equal, which ranks best then.
    """
    sign_R, heads = np.where(bad_R, 1.0, -1.0), logits_RH.shape[1]

    def loss(given: Floats) -> tuple[float, Floats]:
        margin_R = sign_R * (logits_RH @ given[:-1] + given[-1])
        slope_R = -weight_R * sign_R * expit(-margin_R)
        away_H = PULL * (given[:-1] - 1.0 / heads)
        value = float((weight_R * np.logaddexp(0.0, -margin_R)).sum() + 0.5 * (away_H**2).sum() / PULL)
        return value, np.append(logits_RH.T @ slope_R + away_H, slope_R.sum())

    start = np.append(np.full(heads, 1.0 / heads), 0.0)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * heads + [(None, None)])
    weights: Floats = fitted.x[:-1]
    return weights if weights.sum() > 0 else start[:-1]


def calibrated(score_R: Floats, bad_R: Bools, weight_R: Floats | None = None) -> Calibration:
    """Fit the risk of a score: isotonic steps joined by lines, drawn towards a logistic curve where tracks are few.

    So 200 audits are enough to be of use, and 2,000 tracks speak for themselves. `weight_R` is the inverse of the
    probability that a track was looked at; 1 for all when None.
    """
    require(score_R.size > 0 and score_R.shape == bad_R.shape, "score_R", score_R.shape, "a score and a truth for every track")
    weight_R = np.ones(score_R.size) if weight_R is None else weight_R / weight_R.mean()
    order = np.argsort(score_R, kind="stable")
    score_R, bad, weight_R = score_R[order], bad_R[order].astype(float), weight_R[order]
    slope, level = _logistic(score_R, bad, weight_R)
    steps = isotonic_regression(bad, weights=weight_R)
    mass_B = np.add.reduceat(weight_R, steps.blocks[:-1])
    middle_B = np.add.reduceat(score_R * weight_R, steps.blocks[:-1]) / mass_B
    grid_K = np.unique(_short(np.concatenate([middle_B, np.linspace(score_R[0], score_R[-1], 33)])))
    by_steps_K = np.interp(grid_K, middle_B, steps.x[steps.blocks[:-1]])
    share = score_R.size / (score_R.size + FEW)
    least = 1.0 / (score_R.size + 2)
    risk_K = np.clip(share * by_steps_K + (1 - share) * expit(slope * grid_K + level), least, 1 - least)
    return Calibration(grid_K, np.maximum.accumulate(_short(risk_K)))


def weights_for(bad_R: Bools, bad_share: float, weight_R: Floats | None = None) -> Floats:
    """Return what weights (of 1, without `weight_R`) are multiplied by so that so large a share of the tracks is bad."""
    share = float(np.average(bad_R, weights=weight_R))
    return np.where(bad_R, bad_share / max(share, 1e-9), (1 - bad_share) / max(1 - share, 1e-9))


def _logistic(score_R: Floats, bad_R: Floats, weight_R: Floats) -> tuple[float, float]:
    """Return slope and level of the logistic curve, held a little towards slope 1."""

    def loss(given: Floats) -> tuple[float, Floats]:
        risk_R = expit(given[0] * score_R + given[1])
        value = -float((weight_R * (bad_R * np.log(risk_R + 1e-12) + (1 - bad_R) * np.log(1 - risk_R + 1e-12))).sum())
        slope_R = weight_R * (risk_R - bad_R)
        return value + (given[0] - 1) ** 2, np.array([(slope_R * score_R).sum() + 2 * (given[0] - 1), slope_R.sum()])

    slope, level = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)]).x
    return float(slope), float(level)


def _short(numbers: Floats) -> Floats:
    return np.array([float(f"{number:.7g}") for number in numbers])
