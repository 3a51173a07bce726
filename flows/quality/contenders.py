"""Who is compared on tracks with truth: the rules, the judge that is shipped, single signals, and trees fitted out of fold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flows.configure import load_config
from flows.quality.figures import auroc
from flows.quality.truth import Truth, tracks_of
from flows.quality.values import TruthValues, measured
from labeling.errors import BadConfiguration
from labeling.qc.containment import PAIR_COLUMNS
from labeling.qc.fit import SIGNS, boosted
from labeling.qc.signals import FIRST_COLUMNS, LATER_COLUMNS
from labeling.store.judges import AUTO, NONE, Judges, judge_at, shipped_judges
from labeling.types import Decision

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FOLDS = 5
LEAST_TRACKS = 60           # to fit out of fold
LOOKS = tuple(name for name in LATER_COLUMNS if name.startswith(("look_", "colour_", "edge_")))
SUMS = tuple(name for name in LATER_COLUMNS if name not in LOOKS)
# What trees that are fitted here may read.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "fitted here: signals of 0.1": (*FIRST_COLUMNS, "containment"),
    "fitted here: and sums, pairs": (*FIRST_COLUMNS, *SUMS, "containment", *PAIR_COLUMNS),
    "fitted here: and looks": (*FIRST_COLUMNS, *SUMS, *LOOKS, "containment", *PAIR_COLUMNS),
}


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to rank tracks (R,): a risk, and where it decides which are accepted; `calibrated` if the risk is P(bad)."""

    name: str
    risk_R: Floats
    accepted_R: Bools | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """All contenders on one set of tracks, and the set: mean J (R,), clips, what each track is, values by signal (R,)."""

    truth: Truth
    j_R: Floats
    failures: Sequence[str | None]
    contenders: Sequence[Contender]
    alone: Mapping[str, Floats]

    @property
    def clips(self) -> list[str]:
        """The clip of each track."""
        clips: list[str] = self.truth.clips["clip"].to_pylist()
        return clips


def field_of(truth: Truth, *, judge: str = AUTO, fit: bool = True) -> Field:
    """Let all contenders look at a truth; `judge` as `qc.judge`, and without `fit` no trees are fitted here."""
    rights, read = tracks_of(truth), measured(truth)
    j_R, clips = np.array([right.mean_j for right in rights]), truth.clips["clip"].to_pylist()
    bad_R = np.array([right.bad for right in rights])
    values = read.values()
    contenders = [_judged("rules", read, Judges())]
    if (judges := _judges(judge)).all:
        contenders.append(_judged("judge", read, judges))
    if fit:
        contenders += list(_fitted(values, bad_R, clips))
    alone = {name: _column(values, name) for name in SIGNS}
    return Field(truth, j_R, [right.failure if right.bad else None for right in rights], contenders, alone)


def signal_alone(values_R: Floats, bad_R: Bools) -> tuple[float, int]:
    """Return the AUROC of one signal in the direction that is better, and the number of tracks that have it."""
    has_R = np.isfinite(values_R)
    if not has_R.any():
        return float("nan"), 0
    area = auroc(bad_R[has_R], values_R[has_R])
    return max(area, 1 - area), int(has_R.sum())


def _judges(choice: str) -> Judges:
    if choice == AUTO:
        return shipped_judges()
    return Judges() if choice == NONE else Judges(named=judge_at(choice))


def _judged(name: str, read: TruthValues, judges: Judges) -> Contender:
    """Judge as publish does."""
    rows = read.verdicts(load_config([]).qc, judges)
    accepted_R = np.array([verdict == Decision.ACCEPT.value for verdict in rows["verdict"].to_pylist()])
    return Contender(name, np.array(rows["risk"].to_pylist()), accepted_R, calibrated=bool(judges.all))


def _fitted(values: Sequence[Mapping[str, float | None]], bad_R: Bools, clips: Sequence[str]) -> Iterator[Contender]:
    """Fit trees to four fifths of the clips and ask them about the others; nothing where scikit-learn or tracks are lacking."""
    if len(bad_R) < LEAST_TRACKS or bad_R.all() or not bad_R.any():
        return
    names, group_R = np.unique(np.asarray(clips), return_inverse=True)
    fold_R = np.random.default_rng(0).permutation(len(names))[group_R] % FOLDS
    for family, columns in FAMILIES.items():
        wanted = [name for name in columns if name in SIGNS]
        matrix_RF = np.stack([_column(values, name) for name in wanted], axis=1)
        has_F = np.flatnonzero(np.isfinite(matrix_RF).sum(axis=0))
        signs = [SIGNS[wanted[f]] for f in has_F]
        risk_R = np.zeros(len(bad_R))
        for fold in range(FOLDS):
            try:
                trees = boosted(matrix_RF[fold_R != fold][:, has_F], bad_R[fold_R != fold], signs)
            except BadConfiguration:
                return
            risk_R[fold_R == fold] = trees.predict_proba(matrix_RF[fold_R == fold][:, has_F])[:, 1]
        yield Contender(family, risk_R, calibrated=True)


def _column(values: Sequence[Mapping[str, float | None]], name: str) -> Floats:
    return np.array([np.nan if (value := of.get(name)) is None else value for of in values], np.float64)
