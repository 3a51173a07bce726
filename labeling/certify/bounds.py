"""Exact bounds on a share of bad masklets: binomial and hypergeometric tails, and reviewers who pass some bad ones.

Nothing here is an approximation to a normal distribution: an audit finds a handful of bad masklets, where Wilson's bound and
its like cover less than they say. `delta` is 1 - confidence.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import bdtr, betainc, betaincinv, gammaln

MOST_AUDITS = 1_000_000


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How well reviewers see bad masklets: of `known_bad` gold items that are bad, `caught` were not accepted.

    Without gold (`known_bad` 0) they are taken to see every one, which a certificate says of itself.
    """

    caught: int = 0
    known_bad: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.caught <= self.known_bad:
            raise ValueError(f"caught, known_bad are {self.caught}, {self.known_bad}; expected 0 <= caught <= known_bad")

    @property
    def is_measured(self) -> bool:
        """Whether gold says anything of it."""
        return self.known_bad > 0

    def lower(self, delta: float) -> float:
        """The share of bad ones that reviewers see at least, with confidence 1 - delta; 1 where nothing was measured."""
        return clopper_pearson_lower(self.caught, self.known_bad, delta) if self.is_measured else 1.0


def binomial_tail(num_bad: float, num_audits: float, share: float) -> float:
    """The probability of `num_bad` or fewer bad ones among `num_audits`, each bad with probability `share`.

    Between whole numbers, as a sample that counts for fewer gives them, the tail goes on by the incomplete beta function.
    """
    if not 0 <= num_bad <= num_audits:
        raise ValueError(f"num_bad, num_audits are {num_bad}, {num_audits}; expected 0 <= num_bad <= num_audits")
    return 1.0 if num_bad == num_audits else float(betainc(num_audits - num_bad, num_bad + 1, 1 - share))


def design_effect(videos: Sequence[Hashable], bad: Sequence[bool] | np.ndarray) -> float:
    """How many times as many audits it takes because some are of one video: 1 + (m - 1) ICC, at least 1.

    m is the size of the video that an audit's is on average, ICC how alike the answers of one video are (one-way analysis of
    variance). 1 where no video has two audits.
    """
    _, of_video, sizes = np.unique(np.array([hash(video) for video in videos]), return_inverse=True, return_counts=True)
    total, num_videos = len(of_video), len(sizes)
    values = np.asarray(bad, dtype=float)
    if total <= num_videos or num_videos < 2 or values.min() == values.max():
        return 1.0
    means = np.bincount(of_video, values) / sizes
    between = np.sum(sizes * (means - values.mean()) ** 2) / (num_videos - 1)
    within = np.sum((values - means[of_video]) ** 2) / (total - num_videos)
    usual = (total - np.sum(sizes**2) / total) / (num_videos - 1)
    alike = (between - within) / (between + (usual - 1) * within)
    return 1.0 + (float(np.sum(sizes**2)) / total - 1.0) * float(np.clip(alike, 0.0, 1.0))


def clopper_pearson_upper(num_bad: float, num_audits: float, delta: float) -> float:
    """The largest share that leaves `num_bad` or fewer of `num_audits` a probability above delta."""
    binomial_tail(num_bad, num_audits, 0.5)
    return 1.0 if num_bad == num_audits else float(betaincinv(num_bad + 1, num_audits - num_bad, 1 - delta))


def clopper_pearson_lower(num_hits: int, num_trials: int, delta: float) -> float:
    """The smallest share that leaves `num_hits` or more of `num_trials` a probability above delta."""
    return 1.0 - clopper_pearson_upper(num_trials - num_hits, num_trials, delta)


def audits_needed(num_bad: int, share: float, delta: float) -> int:
    """The fewest audits that, with so many bad ones among them, show a share of at most `share`."""
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; expected one above 0 and below 1")
    few, enough = num_bad, num_bad + 1
    while enough < MOST_AUDITS and binomial_tail(num_bad, enough, share) > delta:
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if binomial_tail(num_bad, middle, share) > delta else (few, middle)
    return enough


@lru_cache(maxsize=4096)
def most_bad_in_lot(num_bad: int, num_audits: int, lot: int, delta: float, sensitivity: float = 1.0) -> int:
    """The most bad ones that a lot may hold, with confidence 1 - delta, after a simple random sample without replacement.

    Of `num_audits` drawn from the `lot`, `num_bad` were called bad by reviewers who see each bad one with probability
    `sensitivity`; those called bad count as bad. Exact for any size of lot; nothing is assumed of the lot.
    """
    if not 0 <= num_bad <= num_audits <= lot or not 0 < sensitivity <= 1:
        given = (num_bad, num_audits, lot, sensitivity)
        raise ValueError(
            f"num_bad, num_audits, lot, sensitivity are {given}; expected 0 <= num_bad <= num_audits <= lot, one in (0, 1]"
        )
    # Nothing is hidden of a lot that was looked through by reviewers who miss nothing.
    least, above = num_bad, lot - (num_audits - num_bad if sensitivity == 1 else 0) + 1
    while above - least > 1:
        middle = (least + above) // 2
        possible = _seen_tail(num_bad, num_audits, lot, middle, sensitivity) > delta
        least, above = (middle, above) if possible else (least, middle)
    return least


def _seen_tail(num_seen: int, num_audits: int, lot: int, num_bad: int, sensitivity: float) -> float:
    """The probability that `num_seen` or fewer are called bad where the lot holds `num_bad`."""
    drawn = np.arange(max(0, num_audits - (lot - num_bad)), min(num_audits, num_bad) + 1)
    chance = np.exp(
        _log_choose(num_bad, drawn) + _log_choose(lot - num_bad, num_audits - drawn) - _log_choose(lot, num_audits)
    )
    seen = np.where(drawn <= num_seen, 1.0, bdtr(float(num_seen), np.maximum(drawn, num_seen + 1), sensitivity))
    return float(np.sum(chance * seen))


def _log_choose(total: float, chosen: np.ndarray | float) -> np.ndarray:
    return np.asarray(gammaln(total + 1.0) - gammaln(np.asarray(chosen) + 1.0) - gammaln(total - np.asarray(chosen) + 1.0))
