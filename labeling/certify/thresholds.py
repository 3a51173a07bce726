"""The risk up to which masklets are accepted under a promise: a fixed sequence of thresholds, each tested exactly.

The thresholds are fixed before anybody answers, from the risks of all judged masklets. They are tested in rising order and
the first that fails ends it, so that no more than delta of all campaigns accept more than they promise (fixed-sequence
testing: Angelopoulos et al., Learn then Test, section 3; the order of the tests is ours).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

import numpy as np

from labeling.certify.bounds import (
    Sensitivity,
    audits_needed,
    binomial_tail,
    clopper_pearson_upper,
    design_effect,
    most_bad_in_lot,
)

NUM_THRESHOLDS = 50
# Of what may go wrong, what is spent on reviewers: the rest is for the audit.
REVIEWERS_SHARE = 0.2
# Where testing begins: too few audits below a threshold can show nothing, and would end the sequence at once.
LEAST_SHARE = 0.45


class Promise(StrEnum):
    """What is promised: of all judged masklets, of those accepted by the rule, or of one lot that is accepted already."""

    WHOLE = "whole"
    ACCEPTED = "accepted"
    LOT = "lot"


@dataclass(frozen=True, slots=True)
class Terms:
    """A promise with the share of bad ones that it allows (`error`) and how sure it is; who reviewed is part of it."""

    promise: Promise
    error: float = 0.05
    confidence: float = 0.95
    sensitivity: Sensitivity = Sensitivity()

    def __post_init__(self) -> None:
        if not 0 < self.error < 0.5:
            raise ValueError(f"error is {self.error}; expected a share above 0 and below 0.5")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; expected 0.5 or more and below 1")

    @property
    def delta(self) -> float:
        """What the audit itself may be wrong by."""
        whole = 1 - self.confidence
        return whole * (1 - REVIEWERS_SHARE) if self.sensitivity.is_measured else whole

    @property
    def seen(self) -> float:
        """The share of bad masklets that reviewers see at least."""
        return self.sensitivity.lower((1 - self.confidence) * REVIEWERS_SHARE)

    @property
    def allowed(self) -> float:
        """The share of bad ones that reviewers may find where they miss as many as they may."""
        return self.error * self.seen

    @property
    def cleanest(self) -> int:
        """How many audits without a bad one the promise needs."""
        return audits_needed(0, self.allowed, self.delta)


@dataclass(frozen=True, slots=True)
class Finding:
    """What audits show: `threshold` is the risk up to which masklets are accepted, None where nothing is.

    `num_audits` (n) were answered, of which `num_below` (m) count for the bound and `num_bad` (k) of those are bad; `bound` is
    the share that is bad at most. `effect` is by how much n and k were divided because audits are of the same videos. `missing`
    is how many more audits it takes, at the rate of bad ones seen so far; 0 where the promise is kept.
    """

    threshold: float | None
    num_audits: int
    num_below: int
    num_bad: int
    bound: float
    missing: int = 0
    effect: float = 1.0


def thresholds_of(risks: Sequence[float] | np.ndarray, count: int = NUM_THRESHOLDS) -> tuple[float, ...]:
    """The thresholds to test, ascending: `count` quantiles of the risks of all judged masklets, each a risk that there is."""
    values = np.sort(np.asarray(risks, dtype=float))
    if not len(values):
        return ()
    ranks = np.ceil(np.arange(1, count + 1) / count * len(values)).astype(int) - 1
    return tuple(float(value) for value in np.unique(values[ranks]))


def find_threshold(
    terms: Terms, risks: Sequence[float] | np.ndarray, bad: Sequence[bool] | np.ndarray, thresholds: Sequence[float],
    videos: Sequence[Hashable] | None = None,
) -> Finding:
    """The highest threshold at which answered audits, `risks` with whether each is `bad`, keep a promise of the rule.

    WHOLE: bad and accepted are at most `error` of all. ACCEPTED: bad are at most `error` of the accepted. `videos` says whose
    each audit is: audits of one video say less than as many of different ones.
    """
    order = np.argsort(np.asarray(risks, dtype=float), kind="stable")
    ranked = np.asarray(risks, dtype=float)[order]
    bad_below = np.concatenate([[0], np.cumsum(np.asarray(bad, dtype=bool)[order])])
    sample = _Sample(terms, len(ranked), design_effect(videos, bad) if videos is not None and len(ranked) else 1.0)
    best: Finding | None = None
    for threshold in thresholds:
        below = int(np.searchsorted(ranked, threshold, side="right"))
        if terms.promise is Promise.ACCEPTED and below < max(terms.cleanest * sample.effect, LEAST_SHARE * len(ranked)):
            continue
        at = sample.at(threshold, below, int(bad_below[below]))
        if at.threshold is None:
            return best or at
        best = at
    lacking = max(1, ceil(terms.cleanest * sample.effect) - len(ranked))
    return best or Finding(None, len(ranked), 0, 0, 1.0, lacking, sample.effect)


@dataclass(frozen=True, slots=True)
class _Sample:
    terms: Terms
    size: int
    effect: float

    def at(self, threshold: float, below: int, num_bad: int) -> Finding:
        """Test one threshold."""
        terms, effect = self.terms, self.effect
        trials = self.size if terms.promise is Promise.WHOLE else below
        upper = clopper_pearson_upper(num_bad / effect, trials / effect, terms.delta) if trials else 1.0
        bound = min(1.0, upper / terms.seen)
        if trials and binomial_tail(num_bad / effect, trials / effect, terms.allowed) <= terms.delta:
            return Finding(threshold, self.size, below, num_bad, bound, effect=effect)
        # Audits are drawn of all, so those below a threshold come at the rate that they have come.
        rate = 1.0 if terms.promise is Promise.WHOLE or not below else below / self.size
        lacking = effect * audits_needed(ceil(num_bad / effect), terms.allowed, terms.delta) - trials
        return Finding(None, self.size, below, num_bad, bound, max(1, ceil(lacking / rate)), effect)


def judge_lot(terms: Terms, num_bad: int, num_audits: int, lot: int) -> Finding:
    """What a simple random sample of a lot shows of it; `threshold` is None where it is not shown to be good enough.

    Where it is, `threshold` is 1: all of the lot stays accepted.
    """
    most = most_bad_in_lot(num_bad, num_audits, lot, terms.delta, terms.seen)
    if lot and most <= terms.error * lot:
        return Finding(1.0, num_audits, num_audits, num_bad, most / lot)
    needed = num_audits + 1
    while needed < lot and most_bad_in_lot(num_bad, needed, lot, terms.delta, terms.seen) > terms.error * lot:
        needed += 1
    return Finding(None, num_audits, num_audits, num_bad, most / lot if lot else 1.0, max(0, min(needed, lot) - num_audits))
