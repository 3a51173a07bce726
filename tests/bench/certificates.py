"""Certificates tried on many made campaigns: `python -m tests.bench.certificates [--campaigns 1000] [--truth PATH]`.

A campaign draws masklets with a risk and a truth, fixes thresholds from their risks, audits a random sample and asks for a
certificate. It breaks where what it accepts is worse than what it promises, counted on masklets that the campaign has not
seen. Without `--truth`, risks are those of a judge with AUROC .93. With it, masklets are drawn from stored ones: a folder that
`labeling quality make` made (rightly prompted tracks of clips that the shipped judge was not fitted to, with its risks), or a
table of `risk` and `bad` (or `j`, the mean J, bad below .75). Whole clips are drawn where videos have several masklets, single
masklets elsewhere; bad ones are thinned out until the base rate is the one asked for.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.special import ndtr, ndtri

from flows.configure import load_config
from flows.quality import truth as pieces
from flows.quality.known import rightly_prompted
from flows.quality.values import measured
from labeling.certify.alarm import watch
from labeling.certify.bounds import Sensitivity, most_bad_in_lot
from labeling.certify.thresholds import Promise, Terms, find_threshold, thresholds_of
from labeling.store.judges import shipped_judges

AUROC, BASE, ERROR = 0.93, 0.10, 0.05
POOL, CERTAIN = 4_000, 200_000
LOT, LOT_AUDITS = 1_000, 150
VIDEO = 5                   # masklets of a usual video
GOLD = 120

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class Masklets:
    """Masklets (R,): their risks, which are bad, and whose each is."""

    risk: np.ndarray
    bad: np.ndarray
    video: np.ndarray


# So many masklets.
Source = Callable[[Generator, int], Masklets]


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
    Kind("S, 300, several of a video", Promise.WHOLE, 300, per_video=VIDEO),
    Kind("A, 600, several of a video", Promise.ACCEPTED, 600, per_video=VIDEO),
    Kind("S, 300, videos of 20", Promise.WHOLE, 300, per_video=20),
    Kind("A, 600, videos of 20", Promise.ACCEPTED, 600, per_video=20),
    Kind("S, 300, 20 % bad", Promise.WHOLE, 300, base=0.2),
    Kind("A, 600, 20 % bad", Promise.ACCEPTED, 600, base=0.2),
)


def drawn_judge(rng: Generator, count: int, *, base: float = BASE, per_video: int = 1) -> Masklets:
    """Risks of a judge with AUROC .93 on two normal distributions; half of what varies is a whole video's."""
    shared = 0.5 if per_video > 1 else 0.0
    videos = -(-count // per_video)

    def normal() -> np.ndarray:
        of_video = np.repeat(rng.standard_normal(videos), per_video)[:count]
        return np.sqrt(shared) * of_video + np.sqrt(1 - shared) * rng.standard_normal(count)

    bad = normal() > ndtri(1 - base)
    score = normal() + np.sqrt(2) * ndtri(AUROC) * bad
    return Masklets(ndtr(score - np.sqrt(2) * ndtri(AUROC) / 2), bad, np.arange(count) // per_video)


def stored_truth(truth: Masklets, rng: Generator, count: int, *, base: float = BASE, per_video: int = 1) -> Masklets:
    """Stored masklets with replacement, at a base rate: one by one, or with the others of their clip."""
    if per_video == 1:
        is_bad = rng.random(count) < base
        rows = np.where(is_bad, rng.choice(np.flatnonzero(truth.bad), count), rng.choice(np.flatnonzero(~truth.bad), count))
        return Masklets(truth.risk[rows], truth.bad[rows], np.arange(count))
    # Of the kind that there is too much of, some: what is left of a clip stays together.
    odds, wanted = truth.bad.mean() / (1 - truth.bad.mean()), base / (1 - base)
    stays = np.where(truth.bad, min(1.0, wanted / odds), min(1.0, odds / wanted))
    clips = [np.flatnonzero(truth.video == video) for video in np.unique(truth.video)]
    # More clips than it takes, most likely; the rest comes the same way.
    drawn = rng.integers(len(clips), size=ceil(1.2 * count * len(clips) / stays.sum()) + 10)
    rows = np.concatenate([clips[clip] for clip in drawn])
    videos = np.repeat(np.arange(len(drawn)), [len(clips[clip]) for clip in drawn])
    left = rng.random(len(rows)) < stays[rows]
    rows, videos = rows[left][:count], videos[left][:count]
    assert len(rows) == count, "too few clips were drawn"
    return Masklets(truth.risk[rows], truth.bad[rows], videos)


def reviewed(bad: np.ndarray, seen: float, rng: Generator) -> np.ndarray:
    """What reviewers call bad of what is."""
    return bad & (rng.random(len(bad)) < seen)


def rule_campaign(kind: Kind, source: Source, rng: Generator, certain: Masklets) -> tuple[float, bool]:
    """Ask once; the share that is accepted, and whether the promise is broken on masklets beyond the campaign."""
    pool = source(rng, POOL)
    sample = rng.choice(POOL, kind.audits, replace=False)
    gold = Sensitivity(int(rng.binomial(kind.gold, kind.seen)), kind.gold)
    terms = Terms(kind.promise, ERROR, sensitivity=gold)
    said = reviewed(pool.bad[sample], kind.seen, rng)
    videos = None if kind.per_video == 1 else list(pool.video[sample])
    threshold = find_threshold(terms, pool.risk[sample], said, thresholds_of(pool.risk), videos).threshold
    if threshold is None:
        return 0.0, False
    accepted = certain.risk <= threshold
    wrong = np.mean(accepted & certain.bad)
    share = float(np.mean(accepted))
    return share, bool(wrong > ERROR * (1.0 if kind.promise is Promise.WHOLE else share))


def run_rule(kind: Kind, campaigns: int, seed: int, truth: Masklets | None) -> dict[str, float]:
    """Many campaigns of one kind: how often the promise broke, and the mean share accepted."""
    make = drawn_judge if truth is None else partial(stored_truth, truth)
    source = partial(make, base=kind.base, per_video=kind.per_video)
    certain = source(np.random.default_rng(seed + 10_000_019), CERTAIN)
    told = [rule_campaign(kind, source, np.random.default_rng([seed, k]), certain) for k in range(campaigns)]
    return {"broken": float(np.mean([b for _, b in told])), "accepted": float(np.mean([s for s, _ in told]))}


def run_lot(
    campaigns: int, seed: int, *, seen: float = 1.0, gold: int = 0, truth: Masklets | None = None
) -> dict[str, float]:
    """Lots of 1,000, 150 audited: how often the bound covers what the lot holds.

    They have 1 to 9 % bad; of stored truth they are what is accepted of masklets with 2 to 25 % bad, up to the risk that nine
    of ten good ones have at most.
    """
    rng = np.random.default_rng(seed)
    covered, bounds = [], []
    for _ in range(campaigns):
        if truth is None:
            num_bad = int(rng.binomial(LOT, rng.uniform(0.01, 0.09)))
        else:
            num_bad = int(_accepted_lot(truth, rng).sum())
        drawn = int(rng.hypergeometric(num_bad, LOT - num_bad, LOT_AUDITS))
        terms = Terms(Promise.LOT, sensitivity=Sensitivity(int(rng.binomial(gold, seen)), gold))
        most = most_bad_in_lot(int(rng.binomial(drawn, seen)), LOT_AUDITS, LOT, terms.delta, terms.seen)
        covered.append(most >= num_bad)
        bounds.append(most / LOT)
    return {"covered": float(np.mean(covered)), "bound": float(np.mean(bounds))}


def _accepted_lot(truth: Masklets, rng: Generator) -> np.ndarray:
    """Which of a lot of accepted masklets are bad."""
    threshold = float(np.quantile(truth.risk[~truth.bad], 0.9))
    drawn = stored_truth(truth, rng, 2 * LOT, base=rng.uniform(0.02, 0.25))
    accepted = drawn.bad[drawn.risk <= threshold]
    assert len(accepted) >= LOT
    return accepted[:LOT]


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


def read_truth(path: str) -> Masklets:
    """Stored masklets: a folder of pieces, judged as they are published, or a table."""
    if Path(path).is_dir():
        return judged_pieces(Path(path))
    table = pq.read_table(path)
    bad = table["bad"].to_numpy() if "bad" in table.column_names else table["j"].to_numpy() < 0.75
    return Masklets(table["risk"].to_numpy().astype(float), bad.astype(bool), np.arange(len(table)))


def judged_pieces(root: Path) -> Masklets:
    """Rightly prompted tracks of clips that no judge was fitted to, with the risks that the shipped judge gives them."""
    truth = pieces.read_truth(root).of_split(pieces.HELD)
    right = rightly_prompted(truth)
    bad = np.array([track.bad for track in pieces.tracks_of(truth)])
    risk = np.array(measured(truth).verdicts(load_config([]).qc, shipped_judges())["risk"].to_pylist())
    _, video = np.unique(truth.clips["clip"].to_pylist(), return_inverse=True)
    return Masklets(risk[right], bad[right], video[right])


def lines_of(campaigns: int, seed: int, truth: Masklets | None) -> Sequence[str]:
    """Every kind, a line each."""
    lines = [f"{'campaign':<40} broken  accepted"]
    if truth is not None:
        clips = len(np.unique(truth.video))
        lines.insert(0, f"{len(truth.risk)} tracks of {clips} clips, {100 * truth.bad.mean():.0f} % of them bad")
    # Stored clips are as large as they are.
    for kind in [kind for kind in KINDS if truth is None or kind.per_video <= VIDEO]:
        told = run_rule(kind, campaigns, seed, truth)
        lines.append(f"{kind.name:<40} {told['broken']:.3f}   {told['accepted']:.3f}")
    for name, options in (("lot", {}), ("lot, reviewers at 80 %, gold 120", {"seen": 0.8, "gold": GOLD})):
        told = run_lot(campaigns, seed, truth=truth, **options)
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
    parser.add_argument("--truth", help="a folder of tracks with truth, or a Parquet file with `risk` and `bad` or `j`")
    given = parser.parse_args()
    print("\n".join(lines_of(given.campaigns, given.seed, read_truth(given.truth) if given.truth else None)))


if __name__ == "__main__":
    main()
