"""Whether the rate of bad masklets has risen since a certificate: an e-process, valid at every look.

E is the weighted mean, over rates q above the promised one, of how much likelier the audits are under q than under the
promise. While the promise holds, E ever reaches 1 / delta with probability delta at most (Ville's inequality), however often
it is looked at. Twice the promised rate weighs most: larger ones show soon anyway.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log, log1p

# By how much the rate may have risen, with the weight of each.
RISES = {1.5: 0.1, 2.0: 0.4, 3.0: 0.2, 4.0: 0.1, 6.0: 0.1, 10.0: 0.1}
_HIGHEST = 0.99


@dataclass(frozen=True, slots=True)
class Alarm:
    """Where the evidence stands after `num_audits`; `raised_at` is the audit at which the alarm went off, if it did."""

    num_audits: int
    num_bad: int
    evidence: float
    limit: float
    raised_at: int | None = None

    @property
    def is_raised(self) -> bool:
        """Whether the rate has risen."""
        return self.raised_at is not None


def watch(outcomes: Iterable[bool], error: float, confidence: float = 0.95) -> Alarm:
    """Follow audits in the order of their answers: each says whether it breaks what was promised of at most `error`."""
    if not 0 < error < 0.5 or not 0 < confidence < 1:
        raise ValueError(f"error, confidence are {error}, {confidence}; expected ones in (0, 0.5) and (0, 1)")
    rates = [min(_HIGHEST, error * times) for times in RISES]
    steps = [(log1p(-q) - log1p(-error), log(q) - log(error)) for q in rates]
    logs, limit = [0.0] * len(rates), 1 / (1 - confidence)
    num_audits = num_bad = 0
    raised_at: int | None = None
    for bad in outcomes:
        num_audits += 1
        num_bad += bool(bad)
        logs = [value + step[bool(bad)] for value, step in zip(logs, steps, strict=True)]
        if raised_at is None and _mean(logs) >= limit:
            raised_at = num_audits
    return Alarm(num_audits, num_bad, _mean(logs), limit, raised_at)


def _mean(logs: list[float]) -> float:
    # Far beyond any limit, and below what a float holds.
    return sum(weight * exp(min(value, 600.0)) for weight, value in zip(RISES.values(), logs, strict=True))
