"""Removes data files that no marker names: what killed jobs put whose keys were never tried again."""

import re
import time

from labeling.objects import Objects
from labeling.store import layout
from labeling.store.each import each
from labeling.store.ledger import Ledger

_DATA_FILE = re.compile(rf"(?:{'|'.join(layout.DATA_TABLES)})/bucket=[0-9a-f]{{2}}/([0-9a-f]{{16}})-([0-9a-f]{{16}})\.parquet")
A_DAY_S = 86_400.0


def sweep_orphans(objects: Objects, ledger: Ledger, *, older_than_s: float = A_DAY_S) -> list[str]:
    """Delete data files of batches that the ledger does not know, and return their keys; call it under the run lock.

    Only files older than `older_than_s` go: a younger one may belong to a job that is about to write its marker. Readers
    that follow a snapshot never see such files; a query over all of `masks/` would.
    """
    known = set(zip(ledger.table["video_id"].to_pylist(), ledger.table["batch"].to_pylist(), strict=True))
    before = time.time() - older_than_s
    orphans = [
        stat.key
        for table in layout.DATA_TABLES
        for stat in objects.list(f"{table}/")
        if (found := _DATA_FILE.fullmatch(stat.key)) and found.groups() not in known and stat.modified_at < before
    ]
    for _ in each(objects, objects.delete, orphans):
        pass
    return orphans
