"""Checks a snapshot's files against the checksums that were noted when they were written."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from labeling.objects import Objects
from labeling.store.snapshots import Snapshot, read_files

_THREADS = 8


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is not as it was written: its key and what is wrong."""

    file: str
    problem: str


def verify_files(objects: Objects, snapshot: Snapshot) -> Iterator[BadFile]:
    """Read every data file of a snapshot and yield those that are gone or changed."""
    rows = iter(read_files(objects, snapshot).select(["file", "sha256"]).to_pylist())
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := list(islice(rows, 64 * _THREADS)):
            yield from filter(None, threads.map(lambda row: _check(objects, row["file"], row["sha256"]), some))


def _check(objects: Objects, file: str, sha256: str) -> BadFile | None:
    try:
        found = hashlib.sha256(objects.get(file)).hexdigest()
    except FileNotFoundError:
        return BadFile(file, "it is gone")
    if found == sha256:
        return None
    return BadFile(file, f"its SHA-256 is {found[:12]}..., noted was {sha256[:12]}...")
