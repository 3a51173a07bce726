"""Checks a snapshot's files against the checksums that were noted when they were written."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from labeling.objects import Objects
from labeling.store.each import each
from labeling.store.snapshots import Snapshot, read_files


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is not as it was written: its key and what is wrong."""

    file: str
    problem: str


def verify_files(objects: Objects, snapshot: Snapshot) -> Iterator[BadFile]:
    """Read every data file of a snapshot and yield those that are gone or changed."""
    rows = read_files(objects, snapshot).select(["file", "sha256"]).to_pylist()
    yield from filter(None, each(objects, lambda row: _check(objects, row["file"], row["sha256"]), rows))


def _check(objects: Objects, file: str, sha256: str) -> BadFile | None:
    try:
        found = hashlib.sha256(objects.get(file)).hexdigest()
    except FileNotFoundError:
        return BadFile(file, "it is gone")
    if found == sha256:
        return None
    return BadFile(file, f"its SHA-256 is {found[:12]}..., noted was {sha256[:12]}...")
