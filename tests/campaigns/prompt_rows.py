"""Mutated rows of prompt tables: each is read, or is one bad row with a short message, and its neighbours are labelled.

`python -m tests.campaigns.prompt_rows [COUNT] [--seed N]` writes tables of up to 200 rows in JSONL, CSV and Parquet. Before,
between and behind the mutated rows stand good ones of another video and object. A case is wrong where reading or planning
raises anything, takes over 10 s, loses a good row, or gives a message that nobody would read to its end.
"""

import argparse
import csv
import io
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.ingest.prompts import PromptTable, read_prompts
from labeling.objects import open_objects
from labeling.store.dead_letters import put_dead_letter
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from tests.labeling.store.made_store import RECIPE, ref_of

CASES, A_TABLE = 100_000, 200
MOST_SECONDS, MOST_LETTERS = 10.0, 2_000
NEIGHBOUR = "neighbour.mp4"
Row = dict[str, Any]

NUMBERS: Sequence[Any] = (
    0, 1, -1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**23, 10**400, 0.5, -0.0, 1e18, 1e308, float("nan"),
    float("inf"), True,
)
TEXTS: Sequence[Any] = (
    "", " ", "x", "\0", "\ud800", "caf\udce9.mp4", "a\u200b.mp4", "\x0b\x1b[31m", "[bold]", "</script>|", "null", "NaN",
    "[" * 5000,
    "x" * 100_000, "1e400", "../../x", "cafe\u0301.mp4", "A.MP4 ", "//a.mp4", '"', "'", "a\nb", "1" * 5000, "\ufeff", "\u2028",
)
LISTS: Sequence[Any] = (
    [], [[]], [1], [None], [[1, 2, 3]], [[1, 2]] * 2000, [1, 1, 5, 5], [5, 5, 1, 1], [1, 1, 1, 1], {}, {"size": [4, 6]},
    {"size": [4, 6], "counts": [24]}, {"size": [4, 6], "counts": "P1"}, {"size": [2.9, 2], "counts": [4]}, [[[[[[1]]]]]],
    {"size": [10**6] * 2, "counts": [10**12]}, {"size": [4, 6], "counts": [10**19]}, {"size": [4, 6], "counts": [-1, 25]},
)
COLUMNS = (
    "video", "object_id", "frame_idx", "points_xy", "labels", "box_xyxy", "mask", "category", "source", "span", "bbox", "",
)


@dataclass(slots=True)
class Figures:
    """What came of the cases: rows by outcome, tables by outcome, and what is wrong."""

    rows: Counter[str] = field(default_factory=Counter)
    tables: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def mutated(rng: random.Random, number: int) -> Row:
    """A good row with up to three columns changed, added or taken away."""
    row: Row = {"video": "a.mp4", "object_id": number, "frame_idx": 0, "box_xyxy": [1, 1, 9, 9]}
    for _ in range(rng.randint(1, 3)):
        column = rng.choice(COLUMNS)
        if rng.random() < 0.1:
            row.pop(column, None)
        else:
            value = rng.choice(rng.choice((NUMBERS, TEXTS, LISTS)))
            row[column] = [value] * rng.randint(1, 4) if rng.random() < 0.2 else value
    return row


def neighbours(count: int) -> Iterator[Row]:
    """Good rows to stand between the others."""
    for object_id in range(count):
        yield {"video": NEIGHBOUR, "object_id": object_id, "frame_idx": 0, "box_xyxy": [1, 1, 9, 9]}


def jsonl(rng: random.Random, rows: Sequence[Row], good: Sequence[Row]) -> bytes:
    """Rows as lines of JSON, some cut, doubled or with bytes changed; good ones as they are."""
    lines = [json.dumps(good[0]).encode()]
    for row, beside in zip(rows, good[1:], strict=True):
        lines += [_bytes_changed(rng, json.dumps(row).encode()).replace(b"\n", b" "), json.dumps(beside).encode()]
    return rng.choice((b"", b"\xef\xbb\xbf")) + rng.choice((b"\n", b"\r\n")).join(lines)


def as_csv(rng: random.Random, rows: Sequence[Row], good: Sequence[Row]) -> bytes:
    """The same as CSV, where a changed byte may be a quote."""

    def line(row: Row) -> bytes:
        out = io.StringIO()
        cells = (json.dumps(v) if isinstance(v, list | dict) else _digits(v) for v in map(row.get, COLUMNS))
        csv.writer(out, lineterminator="\n").writerow(cells)
        return out.getvalue().encode("utf-8", "surrogateescape" if "\ud800" not in out.getvalue() else "replace")

    head = ",".join(name or "other" for name in COLUMNS).encode() + b"\n"
    lines = [head, line(good[0])]
    for row, beside in zip(rows, good[1:], strict=True):
        changed = _bytes_changed(rng, line(row).rstrip(b"\n"))
        lines += [changed.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n", line(beside)]
    return b"".join(lines)


def parquet(rng: random.Random, rows: Sequence[Row], good: Sequence[Row]) -> bytes:
    """The same as Parquet, whose columns are text where the values have no one type."""
    every = [good[0], *(row for pair in zip(rows, good[1:], strict=True) for row in pair)]
    columns = {name: _column([row.get(name) for row in every]) for name in COLUMNS if name}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        texts = [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
        return pa.array([t if t is None else t.encode("utf-8", "surrogatepass") for t in texts], pa.binary()).view(pa.string())


def _digits(value: Any) -> str:
    return "" if value is None else str(value)


def _bytes_changed(rng: random.Random, body: bytes) -> bytes:
    if rng.random() < 0.6:
        return body
    changed = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) or 1)
        changed[at : at + rng.randint(0, 2)] = bytes(rng.choice(b'"\\\0,{}[]:\xff\xc3 5') for _ in range(rng.randint(0, 2)))
    return bytes(changed)


FORMATS: dict[str, Callable[[random.Random, Sequence[Row], Sequence[Row]], bytes]] = {
    "jsonl": jsonl, "csv": as_csv, "parquet": parquet,
}


def tried(path: Path, store: Path, num_good: int) -> tuple[str, PromptTable | None]:
    """Read and plan a table; returns what is wrong, "" where nothing is."""
    try:
        table = read_prompts(str(path))
        plan = make_plan([ref_of("a.mp4"), ref_of(NEIGHBOUR)], table, read_ledger(open_objects(str(store))), RECIPE, "run-1")
        for letter in plan.dead:
            put_dead_letter(open_objects(str(store)), letter)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}", None
    planned = {job.video.key: len(job.keys) for job in plan.jobs}.get(NEIGHBOUR, 0)
    if planned != num_good:
        return f"{planned} of {num_good} neighbours are planned", table
    longest = max((len(row.message) for row in table.bad_rows), default=0)
    return f"a message of {longest} letters" if longest > MOST_LETTERS else "", table


def campaign(count: int, seed: int) -> Figures:
    """Try so many mutated rows, a table of each format in turn."""
    figures, rng = Figures(), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-(-count // A_TABLE)):
            suffix = list(FORMATS)[number % len(FORMATS)]
            rows = [mutated(rng, k) for k in range(min(A_TABLE, count - number * A_TABLE))]
            good = list(neighbours(len(rows) + 1))
            path = Path(folder, f"table.{suffix}")
            path.write_bytes(FORMATS[suffix](rng, rows, good))
            began = time.monotonic()
            problem, table = tried(path, Path(folder, f"store-{number % 8}"), len(good))
            took_s = time.monotonic() - began
            figures.slowest_s = max(figures.slowest_s, took_s)
            figures.tables[suffix] += 1
            if problem or took_s > MOST_SECONDS:
                figures.wrong.append(f"table {number} ({suffix}): {problem or f'{took_s:.0f} s'}")
            if table is not None:
                figures.rows["bad"] += len(table.bad_rows)
                figures.rows["read"] += sum(map(len, table.by_video.values())) - len(good)
    return figures


def main() -> None:
    """Run the campaign and print its figures; exit code 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures = campaign(given.count, given.seed)
    print(f"{given.count} rows in {figures.tables.total()} tables, slowest {figures.slowest_s:.1f} s:", dict(figures.rows))
    print("\n".join(figures.wrong[:20]) or "nothing wrong")
    raise SystemExit(bool(figures.wrong))


if __name__ == "__main__":
    main()
