"""The fitted judge: P(bad) of a masklet from its stored signals, by boosted trees that only go the way their signs say.

A judge is a value, kept as JSON and run by NumPy alone. It holds a head for each failure type and one for bad of any kind;
each is a sum of trees on the scale of a logit. Their weighted sum is the score; a table, fitted on tracks that the trees
have not seen or on audits, turns the score into the risk. A head of a failure type was fitted on that type against good
tracks, so that it says why. What is unlike all good tracks is novel: the sum of its three largest -ln tail ranks.

Bad is a mean J below 0.75 over the frames on which truth or mask is not empty. Suffixes: R masklets, F features, H heads, K
knots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labeling.errors import require
from labeling.qc.reasons import REASONS
from labeling.qc.trees import Floats, Trees
from labeling.types import Decision

BAD = "bad"  # the head of any failure
NOVEL_RANKS = 3  # tail ranks that make up novelty


@dataclass(frozen=True, slots=True)
class Head:
    """A sum of trees: `name` is "bad" or a reason, `weight` its part in the score, `baseline` the logit before any tree."""

    name: str
    num_trees: int
    baseline: float
    weight: float

    def __post_init__(self) -> None:
        require(self.name == BAD or self.name in REASONS, "heads.name", self.name, f"{BAD!r} or a reason of the rules")
        require(self.num_trees >= 1, "heads.num_trees", self.num_trees, "1 or more")
        require(self.weight >= 0, "heads.weight", self.weight, "0 or more")


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Score to risk: straight lines between knots (K,), level outside of them."""

    score_K: Floats
    risk_K: Floats

    def __post_init__(self) -> None:
        rises = bool((np.diff(self.score_K) > 0).all() and (np.diff(self.risk_K) >= 0).all())
        fits = self.score_K.shape == self.risk_K.shape and self.score_K.size > 0 and rises
        require(fits, "calibration", [self.score_K.size, self.risk_K.size], "ascending scores, risks that never fall")
        require(bool(((self.risk_K >= 0) & (self.risk_K <= 1)).all()), "calibration.risk", "others", "numbers in [0, 1]")

    def risk(self, score_R: Floats) -> Floats:
        """Return the risk (R,) of scores."""
        return np.interp(score_R, self.score_K, self.risk_K)


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What good tracks look like: quantiles (F, K) of each feature at `levels_K`, NaN where it is not looked at.

    `signs_F` says which end is worse, 1 for the upper: what is better than all good tracks is no reason to look at it.
    Novelty from `review_from` on sends a masklet that would be accepted to a person.
    """

    levels_K: Floats
    quantiles_FK: Floats
    signs_F: Floats
    num_tracks: int
    review_from: float

    def novelty(self, values_RF: Floats) -> Floats:
        """Return the sum of the three largest -ln tail ranks (R,); what is missing counts for nothing."""
        looked_at = np.isfinite(self.quantiles_FK[:, 0])
        values_RF1, quantiles_FK = values_RF[:, looked_at, None], self.quantiles_FK[looked_at]
        # The levels around a value: up to it, and from it on.
        at_most_RF = np.append(self.levels_K, 1.0)[(quantiles_FK <= values_RF1).sum(axis=2)]
        at_least_RF = 1 - self.levels_K[np.maximum((quantiles_FK < values_RF1).sum(axis=2) - 1, 0)]
        tail_RF = np.where(self.signs_F[looked_at] > 0, at_least_RF, at_most_RF)
        tail_RF = np.clip(tail_RF, 1 / (self.num_tracks + 1), 1.0)
        surprise_RF = np.where(np.isnan(values_RF1[:, :, 0]), 0.0, -np.log(tail_RF))
        novelty_R: Floats = np.sort(surprise_RF, axis=1)[:, -NOVEL_RANKS:].sum(axis=1)
        return novelty_R


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What a judge says of masklets (R,): risk, the likeliest failure, and how novel each is."""

    risk_R: Floats
    reason_R: tuple[str, ...]
    novelty_R: Floats


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a judge says of one masklet, and `judge`, whose digest and thresholds stand for it."""

    risk: float
    reason: str
    novelty: float
    judge: "Judge"

    @property
    def decision(self) -> Decision:
        """What follows from the risk alone."""
        if self.risk < self.judge.accept_below:
            return Decision.ACCEPT
        return Decision.REVIEW if self.risk < self.judge.reject_from else Decision.REJECT

    @property
    def novel(self) -> bool:
        """Whether the masklet would be accepted but is unlike the good ones that the judge was fitted on."""
        return self.decision is Decision.ACCEPT and self.novelty >= self.judge.usual.review_from


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A fitted judge: see the module. Risk below `accept_below` is accepted, from `reject_from` on rejected.

    `weights` are digests of the checkpoints whose tracks it was fitted on; `facts` is its card: what it was trained on and
    how well it did, plain values; `digest` the SHA-256 of its JSON, which stands in every verdict.
    """

    name: str
    model: str
    weights: tuple[str, ...]
    features: tuple[str, ...]
    heads: tuple[Head, ...]
    trees: Trees
    calibration: Calibration
    usual: Usual
    accept_below: float
    reject_from: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        require(bool(self.heads), "heads", self.heads, "one head or more")
        num_trees = sum(head.num_trees for head in self.heads)
        require(len(self.trees) == num_trees, "trees", len(self.trees), f"{num_trees} trees, as the heads have")
        most = int(self.trees.feature_N.max())
        require(most < len(self.features), "trees.feature", most, f"a place among {len(self.features)} features")
        shape = self.usual.quantiles_FK.shape
        fits = shape == (len(self.features), self.usual.levels_K.size) and self.usual.signs_F.shape == shape[:1]
        require(fits, "usual", shape, "a row and a sign for each feature")
        fits = 0 <= self.accept_below <= self.reject_from
        require(fits, "accept_below", self.accept_below, f"0 to reject_from, {self.reject_from}")

    def matrix(self, rows: Sequence[Mapping[str, float | None]]) -> Floats:
        """Return the features (R, F) of rows of values by name; NaN for what is null or not there."""
        return matrix_of(rows, self.features)

    def logits(self, values_RF: Floats) -> Floats:
        """Return each head's logit (R, H)."""
        values_RT = self.trees.values(values_RF)
        starts = np.cumsum([0, *(head.num_trees for head in self.heads[:-1])])
        sums_RH = np.add.reduceat(values_RT, starts, axis=1) if len(values_RT) else np.zeros((0, len(self.heads)))
        logits_RH: Floats = sums_RH + np.array([head.baseline for head in self.heads])
        return logits_RH

    def score(self, logits_RH: Floats) -> Floats:
        """Return the score (R,): the weighted sum of the heads' logits."""
        score: Floats = logits_RH @ np.array([head.weight for head in self.heads])
        return score

    def assess(self, rows: Sequence[Mapping[str, float | None]]) -> Assessment:
        """Judge masklets by their signals and pair columns, by name; what a row lacks is missing."""
        values_RF = self.matrix(rows)
        logits_RH = self.logits(values_RF)
        reasons = [h for h, head in enumerate(self.heads) if head.name != BAD]
        likeliest = logits_RH[:, reasons].argmax(axis=1) if reasons else np.zeros(len(rows), int)
        names = tuple(self.heads[reasons[k]].name if reasons else "low_predicted_iou" for k in likeliest)
        return Assessment(self.calibration.risk(self.score(logits_RH)), names, self.usual.novelty(values_RF))

    def opinions(self, rows: Sequence[Mapping[str, float | None]]) -> list[Opinion]:
        """Return what `assess` says, masklet by masklet."""
        told = self.assess(rows)
        parts = zip(told.risk_R.tolist(), told.reason_R, told.novelty_R.tolist(), strict=True)
        return [Opinion(risk, reason, novelty, self) for risk, reason, novelty in parts]


def matrix_of(rows: Sequence[Mapping[str, float | None]], features: Sequence[str]) -> Floats:
    """Return values by name as an array (R, F); NaN for what is null or not there."""
    cells = [[np.nan if (value := row.get(name)) is None else value for name in features] for row in rows]
    return np.array(cells, np.float64).reshape(len(rows), len(features))
