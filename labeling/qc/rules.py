"""Rules turn stored signals into flags, a risk and a verdict; nothing is tracked or decoded again.

A rule bounds one signal (`configs/qc/*.yaml`). A value past the `review` bound sends the masklet to a person, past `reject`
it is refused; the worst flag leads, since defects seldom come together and their sums tell less. A signal that has no
meaning for a masklet never flags.

What the default rules cannot see: drift onto something of the same form leaves the geometry as it was, so only the scores can
tell, and what the mask looks like; with a tracker that is sure of itself, scores tell nothing. A prompt on the wrong object
(`wrong_seed`) looks like a good masklet once it is followed: its first mask is looked at before. A slow leak that less than
triples the area passes. Geometry tells a leak from a fragment or a change of granularity only sometimes.
Bounds and risks were set on drawn clips with true masks, not on a labelled set of real ones.
"""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from labeling.config import QCConfig, RuleConfig
from labeling.errors import BadConfiguration
from labeling.qc.containment import PAIR_COLUMNS
from labeling.qc.judge import Opinion
from labeling.qc.reasons import REASONS, UNUSUAL, WRONG_SEED, explanation
from labeling.qc.signals import COLUMNS
from labeling.types import Decision, QCFlag, Signals, Verdict

SIGNALS = (*COLUMNS, "containment", *PAIR_COLUMNS)
BOUNDS = ("at_most", "at_least")

RISK = "risk"  # the signal of a flag that a fitted judge gives

# Of 399 held-out drawn tracks (the first fit) a rule was as sure of 16 that the fitted judge would accept: 13 were bad.
SURE = 0.85
RISK_AT_REVIEW = 0.5
RISK_AT_REJECT = 0.8


@dataclass(frozen=True, slots=True)
class Rule:
    """One checked rule; `review` is None when it only rejects, `reject` None when it never does.

    `near` and `far` are its risk at the first bound and at `far_at` (the reject bound where that is None).
    """

    signal: str
    reason: str
    upward: bool
    review: float | None
    reject: float | None
    near: float = RISK_AT_REVIEW
    far: float = RISK_AT_REJECT
    far_at: float | None = None

    def past(self, value: float, bound: float) -> float:
        """Return how far a value lies past a bound, in the signal's unit; 0 or less when it keeps to it."""
        return value - bound if self.upward else bound - value

    def risk(self, value: float) -> float:
        """Return 0 within bounds; from `near` at the first bound to `far` at `far_at`; past a reject bound on towards 1.

        A worse value never has a lower risk: where nothing says how far is far, the risk nears `far` exponentially on the scale
        of the bound, and past the reject bound it nears 1 on that of the distance between both.
        """
        review = self.reject if self.review is None else self.review
        assert review is not None, "checked_rules() refuses a rule without bounds"
        beyond, far_at = self.past(value, review), self.reject if self.far_at is None else self.far_at
        if beyond <= 0:
            return 0.0
        if far_at is None:
            return self.near + (self.far - self.near) * _towards_one(beyond, abs(review))
        way = self.past(far_at, review)
        risk = self.near + (self.far - self.near) * min(beyond / way, 1.0) if way else self.far
        if self.reject is None or self.past(value, self.reject) <= 0:
            return risk
        least, scale = max(self.far, RISK_AT_REJECT), self.past(self.reject, review) or abs(review)
        return max(risk, least + (1.0 - least) * _towards_one(self.past(value, self.reject), scale))

    def flag(self, value: float, span: tuple[int, int]) -> QCFlag | None:
        """Return the flag that a value raises, with the bound it passed, or None."""
        for bound, decision in ((self.reject, Decision.REJECT), (self.review, Decision.REVIEW)):
            if bound is not None and self.past(value, bound) > 0:
                return QCFlag(self.reason, self.signal, value, bound, span, decision)
        return None


def checked_rules(qc: QCConfig) -> tuple[Rule, ...]:
    """Check a rule set; a BadConfiguration names the entry, what is wrong and what was perhaps meant."""
    return tuple(_checked(rule, f"qc.rules[{at}] of {qc.name!r}") for at, rule in enumerate(qc.rules))


def judge(
    video_id: str,
    track_id: str,
    label_version: int,
    values: Mapping[str, float | None],
    spans: Mapping[str, tuple[int, int]],
    num_frames_span: tuple[int, int],
    qc: QCConfig,
    opinion: Opinion | None = None,
) -> Verdict:
    """Judge one masklet by its signals, and by a fitted judge's opinion of them where there is one.

    `values` are signals by column name, null where they have no meaning, with `containment` where it was measured; `spans`
    the half-open source frames of those that name a place; `num_frames_span` the span of the whole masklet, which stands
    for the place of all others. With an opinion the risk and the verdict are its; rules give reasons, and reject what they
    reject. What it finds novel has a flag, and waits for `with_novel` to find a place in the queue. Raises
    BadConfiguration when a rule is not one.
    """
    raised: list[tuple[float, QCFlag]] = []
    for rule in checked_rules(qc):
        value = values.get(rule.signal)
        if value is None or math.isnan(value):
            continue
        flag = rule.flag(value, spans.get(rule.signal, num_frames_span))
        if flag:
            raised.append((rule.risk(value), flag))
    raised.sort(key=lambda pair: (pair[1].decision is Decision.REJECT, pair[0]), reverse=True)
    risk = max((risk for risk, _ in raised), default=0.0)
    decision = raised[0][1].decision if raised else Decision.ACCEPT
    flags = tuple(flag for _, flag in raised)
    if opinion is None:
        return Verdict(video_id, track_id, label_version, decision, risk, flags)
    decision, risk = _joined(decision, risk, flags, opinion)
    if decision is Decision.ACCEPT:
        # They say what is out of bounds, and no longer what follows from it.
        flags = tuple(replace(flag, decision=Decision.ACCEPT) for flag in flags)
    flags += _flags_of(opinion, decision, num_frames_span)
    return Verdict(video_id, track_id, label_version, decision, risk, flags, opinion.judge.digest, opinion.novelty)


def doubts_of_seed(signals: Signals, qc: QCConfig) -> str:
    """Return what rules find wrong with a prompt by its first mask, in sentences; "" where nothing is."""
    verdict = judge("", "", 1, signals.values, signals.spans, (0, 1), qc)
    return " ".join(explanation(flag) for flag in verdict.flags if flag.reason == WRONG_SEED)


def _joined(decision: Decision, risk: float, flags: Sequence[QCFlag], opinion: Opinion) -> tuple[Decision, float]:
    """Return the verdict and risk of rules and a judge together: the judge's, but for what rules refuse and it cannot see.

    A rule that is surer than `SURE` keeps the judge from accepting: a sum of many mild signals may outvote one bad stretch.
    """
    wrong_seed = any(flag.reason == WRONG_SEED for flag in flags)
    if decision is Decision.REJECT or (wrong_seed and opinion.decision is Decision.ACCEPT):
        return decision, max(risk, opinion.risk)
    if opinion.decision is Decision.ACCEPT and risk >= SURE:
        return Decision.REVIEW, min(max(opinion.risk, opinion.judge.accept_below), 1.0)
    return opinion.decision, opinion.risk


def _flags_of(opinion: Opinion, decision: Decision, span: tuple[int, int]) -> tuple[QCFlag, ...]:
    """Return the flag that says why a judge doubts a masklet, or finds one novel that is to be accepted."""
    judge = opinion.judge
    if opinion.decision is not Decision.ACCEPT:
        bound = judge.reject_from if opinion.decision is Decision.REJECT else judge.accept_below
        return (QCFlag(opinion.reason, RISK, opinion.risk, bound, span, opinion.decision),)
    if opinion.novel and decision is Decision.ACCEPT:
        return (QCFlag(UNUSUAL, "novelty", opinion.novelty, judge.usual.review_from, span),)
    return ()


def _checked(rule: RuleConfig, place: str) -> Rule:
    _require_known("signal", rule.signal, SIGNALS, place)
    _require_known("reason", rule.reason, REASONS, place)
    _require_known("bound", rule.bound, BOUNDS, place)
    bounds = [b for b in (rule.review, rule.reject) if b is not None]
    if not bounds:
        raise BadConfiguration(f"{place} ({rule.signal}) has neither review nor reject; give at least one bound")
    if not all(math.isfinite(b) for b in bounds):
        raise BadConfiguration(f"{place} ({rule.signal}) has bounds {bounds}; expected finite numbers")
    upward = rule.bound == "at_most"
    if len(bounds) == 2 and (bounds[0] > bounds[1] if upward else bounds[0] < bounds[1]):
        order = "review <= reject" if upward else "review >= reject"
        raise BadConfiguration(
            f"{place} ({rule.signal}, {rule.bound}) has review {rule.review} and reject {rule.reject}; expected {order}"
        )
    near, far = _checked_risk(rule, upward, bounds[0], place)
    return Rule(rule.signal, rule.reason, upward, rule.review, rule.reject, near, far, rule.far_at)


def _checked_risk(rule: RuleConfig, upward: bool, first: float, place: str) -> tuple[float, float]:
    risk = rule.risk or [RISK_AT_REVIEW, RISK_AT_REJECT]
    if len(risk) != 2 or not 0 < risk[0] <= risk[1] <= 1:
        raise BadConfiguration(f"{place} ({rule.signal}) has risk {rule.risk}; expected [near, far], 0 < near <= far <= 1")
    if rule.far_at is not None and not (rule.far_at > first if upward else rule.far_at < first):
        raise BadConfiguration(f"{place} ({rule.signal}) has far_at {rule.far_at}; expected a value past the bound {first}")
    return risk[0], risk[1]


def _require_known(what: str, name: str, known: Collection[str], place: str) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"
    raise BadConfiguration(f"{place} has {what} {name!r}, which does not exist; {hint}")


def _towards_one(distance: float, scale: float) -> float:
    return 1.0 - math.exp(-distance / (scale or 1.0))
