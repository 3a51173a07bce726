"""Picks the tracks that CI measures the judge on: held-out ones with truth, as many good as bad, values to three digits.

python -m tests.bench.fixed_tracks ROOT
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from flows.quality.truth import BAD_BELOW, HELD, read_truth, tracks_of
from flows.quality.values import measured
from labeling.qc.rules import SIGNALS

FILE = Path(__file__).resolve().parents[1] / "reference" / "tracks_with_truth.csv"
MANY = 60
DIGITS = 3


def pick(root: Path) -> pa.Table:
    """Return rows of `clip`, `j` and every value that a judge reads, of rightly prompted tracks of clips held out."""
    truth = read_truth(root).of_split(HELD)
    values, j_R = measured(truth).values(), np.array([track.mean_j for track in tracks_of(truth)])
    right_R = np.array([not variant.startswith("wrong_seed") for variant in truth.clips["variant"].to_pylist()])
    random, chosen = np.random.default_rng(0), []
    for bad in (True, False):
        rows = np.flatnonzero(right_R & ((j_R < BAD_BELOW) == bad))
        chosen += sorted(random.permutation(rows)[: MANY // 2].tolist())
    columns = {"clip": [truth.clips["clip"][r].as_py() for r in chosen], "j": [round(float(j_R[r]), DIGITS) for r in chosen]}
    for name in SIGNALS:
        columns[name] = [_short(values[r].get(name)) for r in chosen]
    return pa.table(columns)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


if __name__ == "__main__":
    pa.csv.write_csv(pick(Path(sys.argv[1])), FILE, pa.csv.WriteOptions(quoting_style="none"))
    print(FILE, FILE.stat().st_size)
