"""What the rules are worth on tracks with truth: `python -m tests.bench.rules_by_truth ROOT [default|strict]`.

For each rule: the share of good and of bad tracks that it flags, the share of bad ones among those just past its bound (the
nearer half) and far past it, where far begins, and what the signal alone ranks (AUROC). Then the whole set beside it.
"""

import sys
from pathlib import Path

import numpy as np

from flows.configure import load_config
from flows.quality.figures import auroc
from flows.quality.judging import measured
from flows.quality.known import chosen, known_tracks, rightly_prompted
from flows.quality.truth import read_truth
from labeling.qc.rules import checked_rules, judge
from labeling.types import Decision


def main(root: str, rules: str = "default") -> None:
    truth = read_truth(Path(root))
    known = chosen(known_tracks(truth), rightly_prompted(truth))
    qc = load_config([f"qc={rules}"]).qc
    bad = known.bad_R
    print(f"{len(bad)} tracks rightly prompted, {bad.mean():.2f} bad")
    print(f"{'signal':26} {'bound':>8} {'good':>6} {'bad':>6} {'near':>6} {'far':>6} {'far at':>8} {'auroc':>6}")
    for rule in checked_rules(qc):
        values = np.array([np.nan if row.get(rule.signal) is None else row[rule.signal] for row in known.rows], float)
        bound = rule.reject if rule.review is None else rule.review
        beyond = np.where(np.isnan(values), -np.inf, values - bound if rule.upward else bound - values)
        flagged = beyond > 0
        ranked = auroc(bad, np.where(np.isnan(values), -np.inf, values if rule.upward else -values))
        line = f"{rule.signal:26} {bound:8.3g} {flagged[~bad].mean():6.2f} {flagged[bad].mean():6.2f}"
        if flagged.sum() >= 4:
            middle = np.median(beyond[flagged])
            far = flagged & (beyond >= middle)
            near = flagged & (beyond <= middle)
            typical = np.median(values[far])
            line += f" {bad[near].mean():6.2f} {bad[far].mean():6.2f} {typical:8.3g}"
        else:
            line += " " * 23
        print(f"{line} {ranked:6.3f}")
    verdicts = [judge("v", "1", 1, row, {}, (0, 1), qc) for row in known.rows]
    risk = np.array([verdict.risk for verdict in verdicts])
    accepted = np.array([verdict.decision is Decision.ACCEPT for verdict in verdicts])
    print(measured(known, risk))
    print(f"accepted {accepted.mean():.3f}, of them bad {bad[accepted].mean():.3f}, of the good {accepted[~bad].mean():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
