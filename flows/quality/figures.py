"""How well a risk tells bad tracks from good ones: figures over tracks whose truth is known.

All take weights, so that a set can stand for one with another share of bad tracks. Suffix: R tracks.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NAN = float("nan")
BINS = 10


def auroc(bad_R: Bools, risk_R: Floats, weight_R: Floats | None = None) -> float:
    """Return the probability that a bad track has a greater risk than a good one, ties by half; NaN without both."""
    weight_R = np.ones(risk_R.size) if weight_R is None else weight_R
    levels, at_R = np.unique(risk_R, return_inverse=True)
    good = np.bincount(at_R, weight_R * ~bad_R, levels.size)
    bad = np.bincount(at_R, weight_R * bad_R, levels.size)
    if good.sum() == 0 or bad.sum() == 0:
        return NAN
    return float((bad * (np.cumsum(good) - good / 2)).sum() / (good.sum() * bad.sum()))


def auprc(bad_R: Bools, risk_R: Floats) -> float:
    """Return the mean precision over bad tracks, riskiest first; NaN without one."""
    if not bad_R.any():
        return NAN
    order = np.argsort(-risk_R, kind="stable")
    precision = np.cumsum(bad_R[order]) / np.arange(1, bad_R.size + 1)
    return float(precision[bad_R[order]].mean())


def caught(bad_R: Bools, risk_R: Floats, weight_R: Floats | None = None, *, part: float = 0.2) -> float:
    """Return the share of the bad tracks that are in the riskiest part; ties share what is left of it."""
    weight_R = np.ones(risk_R.size) if weight_R is None else weight_R
    levels, at_R = np.unique(-risk_R, return_inverse=True)
    mass, bad = np.bincount(at_R, weight_R, levels.size), np.bincount(at_R, weight_R * bad_R, levels.size)
    room = part * mass.sum() - (np.cumsum(mass) - mass)
    return float((bad * np.clip(room / mass, 0.0, 1.0)).sum() / bad.sum()) if bad.sum() else NAN


def good_accepted(bad_R: Bools, risk_R: Floats, weight_R: Floats | None = None, *, error: float = 0.05) -> float:
    """Return the largest share of the good tracks that a threshold accepts with at most that share of bad among them."""
    weight_R = np.ones(risk_R.size) if weight_R is None else weight_R
    levels, at_R = np.unique(risk_R, return_inverse=True)
    good = np.cumsum(np.bincount(at_R, weight_R * ~bad_R, levels.size))
    bad = np.cumsum(np.bincount(at_R, weight_R * bad_R, levels.size))
    within = bad <= error * (good + bad)
    return float((good[within] / good[-1]).max(initial=0.0)) if good[-1] else NAN


def calibration_error(bad_R: Bools, risk_R: Floats, weight_R: Floats | None = None) -> float:
    """Return the expected calibration error over ten bins with about as many tracks each."""
    weight_R = np.ones(risk_R.size) if weight_R is None else weight_R
    bins = calibration_bins(bad_R, risk_R, weight_R)
    return sum(abs(bad - risk) * mass for risk, bad, mass in bins) / max(float(weight_R.sum()), 1e-9)


def calibration_bins(bad_R: Bools, risk_R: Floats, weight_R: Floats) -> list[tuple[float, float, float]]:
    """Return mean risk, share of bad tracks and weight of ten bins, of which each has about as many tracks."""
    parts = [part for part in np.array_split(np.argsort(risk_R, kind="stable"), BINS) if part.size]
    return [
        (
            float(np.average(risk_R[part], weights=weight_R[part])), float(np.average(bad_R[part], weights=weight_R[part])),
            float(weight_R[part].sum()),
        )
        for part in parts
    ]


def brier(bad_R: Bools, risk_R: Floats) -> float:
    """Return the mean squared distance of the risk from what was so."""
    return float(((risk_R - bad_R) ** 2).mean())


def over_clips(
    figure: Callable[..., float], clips: list[str], *columns: npt.NDArray[np.generic], times: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a figure by bootstrap over clips, whose tracks are not independent."""
    names, at_R = np.unique(np.array(clips), return_inverse=True)
    rows = [np.flatnonzero(at_R == c) for c in range(names.size)]
    random, values = np.random.default_rng(seed), []
    for _ in range(times):
        chosen = np.concatenate([rows[c] for c in random.integers(names.size, size=names.size)])
        values.append(figure(*(column[chosen] for column in columns)))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def of_a_perfect_judge(risk_R: Floats, *, times: int = 100) -> tuple[float, float]:
    """Return the calibration error and Brier score that these risks show if each is exactly the chance of a bad track."""
    random = np.random.default_rng(0)
    errors = [calibration_error(random.random(risk_R.size) < risk_R, risk_R) for _ in range(times)]
    return float(np.mean(errors)), float((risk_R * (1 - risk_R)).mean())
