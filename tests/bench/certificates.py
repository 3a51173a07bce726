"""Certificates tried on many made campaigns: `python -m tests.bench.certificates [--campaigns 1000] [--truth FILE]`.

A campaign draws masklets with a risk and a truth, fixes thresholds from their risks, audits a random sample and asks for a
certificate. It breaks where what it accepts is worse than what it promises, counted on masklets that the campaign has not
seen. Without `--truth`, risks are those of a judge with AUROC .93; with it, masklets are drawn from a stored table of `risk`
and `bad` (or `j`, the mean J, bad below .75), good and bad ones apart so that the base rate is the one asked for.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow.parquet as pq
from scipy.special import ndtr, ndtri

from labeling.certify.alarm import watch
from labeling.certify.bounds import Sensitivity, most_bad_in_lot
from labeling.certify.thresholds import Promise, Terms, find_threshold, thresholds_of

AUROC, BASE, ERROR = 0.93, 0.10, 0.05
POOL, CERTAIN = 4_000, 200_000
LOT, LOT_AUDITS = 1_000, 150
GOLD = 120

Generator = np.random.Generator
# So many masklets: their risks, and which are bad.
Source = Callable[[Generator, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of campaign: how many audits, how well reviewers see bad ones, and how many masklets a video has."""

    name: str
    promise: Promise
    audits: int
    seen: float = 1.0
    gold: int = 0
    per_video: int = 1
    base: float = BASE


KINDS = (
    Kind("S, 300 audits", Promise.WHOLE, 300),
    Kind("A, 600 audits", Promise.ACCEPTED, 600),
    Kind("S, 100 audits", Promise.WHOLE, 100),
    Kind("A, 300 audits", Promise.ACCEPTED, 300),
    Kind("S, 300, reviewers at 80 %, gold 120", Promise.WHOLE, 300, 0.8, GOLD),
    Kind("A, 600, reviewers at 80 %, gold 120", Promise.ACCEPTED, 600, 0.8, GOLD),
    Kind("S, 300, videos of 5", Promise.WHOLE, 300, per_video=5),
    Kind("A, 600, videos of 5", Promise.ACCEPTED, 600, per_video=5),
    Kind("S, 300, videos of 20", Promise.WHOLE, 300, per_video=20),
    Kind("A, 600, videos of 20", Promise.ACCEPTED, 600, per_video=20),
    Kind("S, 300, 20 % bad", Promise.WHOLE, 300, base=0.2),
    Kind("A, 600, 20 % bad", Promise.ACCEPTED, 600, base=0.2),
)


def drawn_judge(rng: Generator, count: int, *, base: float = BASE, per_video: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Risks of a judge with AUROC .93 on two normal distributions; half of what varies is a whole video's."""
    shared = 0.5 if per_video > 1 else 0.0
    videos = -(-count // per_video)

    def normal() -> np.ndarray:
        of_video = np.repeat(rng.standard_normal(videos), per_video)[:count]
        return np.sqrt(shared) * of_video + np.sqrt(1 - shared) * rng.standard_normal(count)

    bad = normal() > ndtri(1 - base)
    score = normal() + np.sqrt(2) * ndtri(AUROC) * bad
    return ndtr(score - np.sqrt(2) * ndtri(AUROC) / 2), bad


def stored_truth(risk: np.ndarray, bad: np.ndarray, rng: Generator, count: int, *, base: float = BASE,
                 per_video: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Masklets of a table with replacement, at a base rate."""
    del per_video
    is_bad = rng.random(count) < base
    rows = np.where(is_bad, rng.choice(np.flatnonzero(bad), count), rng.choice(np.flatnonzero(~bad), count))
    return risk[rows], bad[rows]


def reviewed(bad: np.ndarray, seen: float, rng: Generator) -> np.ndarray:
    """What reviewers call bad of what is."""
    return bad & (rng.random(len(bad)) < seen)


def rule_campaign(kind: Kind, source: Source, rng: Generator, certain: tuple[np.ndarray, np.ndarray]) -> tuple[float, bool]:
    """Ask once; the share that is accepted, and whether the promise is broken on masklets beyond the campaign."""
    risk, bad = source(rng, POOL)
    sample = rng.choice(POOL, kind.audits, replace=False)
    gold = Sensitivity(int(rng.binomial(kind.gold, kind.seen)), kind.gold)
    terms = Terms(kind.promise, ERROR, sensitivity=gold)
    said = reviewed(bad[sample], kind.seen, rng)
    videos = None if kind.per_video == 1 else list(sample // kind.per_video)
    threshold = find_threshold(terms, risk[sample], said, thresholds_of(risk), videos).threshold
    if threshold is None:
        return 0.0, False
    accepted = certain[0] <= threshold
    wrong = np.mean(accepted & certain[1])
    share = float(np.mean(accepted))
    return share, bool(wrong > ERROR * (1.0 if kind.promise is Promise.WHOLE else share))


def run_rule(kind: Kind, campaigns: int, seed: int, truth: tuple[np.ndarray, np.ndarray] | None) -> dict[str, float]:
    """Many campaigns of one kind: how often the promise broke, and the mean share accepted."""
    make = drawn_judge if truth is None else partial(stored_truth, *truth)
    source = partial(make, base=kind.base, per_video=kind.per_video)
    certain = source(np.random.default_rng(seed + 10_000_019), CERTAIN)
    told = [rule_campaign(kind, source, np.random.default_rng([seed, k]), certain) for k in range(campaigns)]
    return {"broken": float(np.mean([b for _, b in told])), "accepted": float(np.mean([s for s, _ in told]))}


def run_lot(campaigns: int, seed: int, *, seen: float = 1.0, gold: int = 0) -> dict[str, float]:
    """Lots of 1,000 with 1 to 9 % bad, 150 audited: how often the bound covers what the lot holds."""
    rng = np.random.default_rng(seed)
    covered, bounds = [], []
    for _ in range(campaigns):
        num_bad = int(rng.binomial(LOT, rng.uniform(0.01, 0.09)))
        drawn = int(rng.hypergeometric(num_bad, LOT - num_bad, LOT_AUDITS))
        terms = Terms(Promise.LOT, sensitivity=Sensitivity(int(rng.binomial(gold, seen)), gold))
        most = most_bad_in_lot(int(rng.binomial(drawn, seen)), LOT_AUDITS, LOT, terms.delta, terms.seen)
        covered.append(most >= num_bad)
        bounds.append(most / LOT)
    return {"covered": float(np.mean(covered)), "bound": float(np.mean(bounds))}


def run_alarm(campaigns: int, seed: int, rate: float, length: int) -> dict[str, float]:
    """Audits at a rate of bad ones: how often the alarm goes off, how often within 150 audits, and the middle of when."""
    rng = np.random.default_rng(seed)
    at = [watch(rng.random(length) < rate, ERROR).raised_at for _ in range(campaigns)]
    raised = [number for number in at if number is not None]
    return {
        "raised": len(raised) / campaigns, "within 150": sum(n <= 150 for n in raised) / campaigns,
        "middle": float(np.median([length + 1 if n is None else n for n in at])),
        "mean": float(np.mean([length + 1 if n is None else n for n in at])),
    }


def read_truth(path: str) -> tuple[np.ndarray, np.ndarray]:
    """A table's risks and which masklets are bad."""
    table = pq.read_table(path)
    bad = table["bad"].to_numpy() if "bad" in table.column_names else table["j"].to_numpy() < 0.75
    return table["risk"].to_numpy().astype(float), bad.astype(bool)


def lines_of(campaigns: int, seed: int, truth: tuple[np.ndarray, np.ndarray] | None) -> Sequence[str]:
    """Every kind, a line each."""
    kinds = [kind for kind in KINDS if truth is None or kind.per_video == 1]
    lines = [f"{'campaign':<40} broken  accepted"]
    for kind in kinds:
        told = run_rule(kind, campaigns, seed, truth)
        lines.append(f"{kind.name:<40} {told['broken']:.3f}   {told['accepted']:.3f}")
    for name, options in (("lot", {}), ("lot, reviewers at 80 %, gold 120", {"seen": 0.8, "gold": GOLD})):
        told = run_lot(campaigns, seed, **options)
        lines.append(f"{f'{name}, {LOT_AUDITS} of {LOT:,}':<40} covered {told['covered']:.3f}, mean bound {told['bound']:.3f}")
    for name, rate, length in (("alarm at 2 x the error", 2 * ERROR, 5_000), ("alarm at 3 x the error", 3 * ERROR, 5_000),
                               ("alarm at the error, 5,000 audits", ERROR, 5_000)):
        told = run_alarm(campaigns, seed, rate, length)
        lines.append(f"{name:<40} raised {told['raised']:.3f}, within 150 {told['within 150']:.3f}, "
                     f"middle {told['middle']:.0f}, mean {told['mean']:.0f}")
    return lines


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--truth", help="a Parquet file with `risk` and `bad` or `j`, one row a masklet")
    given = parser.parse_args()
    print("\n".join(lines_of(given.campaigns, given.seed, read_truth(given.truth) if given.truth else None)))


if __name__ == "__main__":
    main()
