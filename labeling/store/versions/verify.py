"""Checks a snapshot's files against the checksums that were noted when they were written."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from labeling.objects import Objects, map_objects
from labeling.store.parquet import sha256_of_object
from labeling.store.snapshots import Snapshot, read_files


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is not as it was written: its key and what is wrong."""

    file: str
    problem: str


def verify_files(
    objects: Objects, snapshot: Snapshot, *, at_most_bytes: int | None = None, seed: str = ""
) -> Iterator[BadFile]:
    """Read every data file of a snapshot and yield those that are gone or changed.

    With `at_most_bytes`, a sample of about that many bytes is read: another one for each `seed`.
    """
    rows = read_files(objects, snapshot).select(["file", "num_bytes", "sha256"]).to_pylist()
    if at_most_bytes is not None:
        random.Random(seed).shuffle(rows)
        before = accumulate((row["num_bytes"] for row in rows), initial=0)
        rows = [row for row, read in zip(rows, before, strict=False) if read < at_most_bytes]
    yield from filter(None, map_objects(objects, lambda row: _check(objects, row["file"], row["sha256"]), rows))


def problem_of(noted: str, sha256: str | None) -> str:
    """Say what is wrong with a file by its SHA-256, None where it is gone; "" where nothing is."""
    if sha256 is None:
        return "it is gone"
    return "" if sha256 == noted else f"its SHA-256 is {sha256[:12]}..., noted was {noted[:12]}..."


def _check(objects: Objects, file: str, noted: str) -> BadFile | None:
    try:
        sha256: str | None = sha256_of_object(objects, file)
    except FileNotFoundError:
        sha256 = None
    problem = problem_of(noted, sha256)
    return BadFile(file, problem) if problem else None
