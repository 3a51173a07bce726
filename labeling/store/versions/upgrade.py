"""Brings a store of version 2 to version 3: one more snapshot with the same rows, in parts, read and written a leaf at a time.

Snapshots before it stay as they are, and readable, until `vacuum` removes them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import BadConfiguration, StoreBusy
from labeling.objects import Objects
from labeling.store import schemas
from labeling.store.changes import Changes
from labeling.store.contents import Contents
from labeling.store.parquet import concat, conform, open_file, sound, sound_table
from labeling.store.parts import LAST, LEAF_ROWS
from labeling.store.snapshots import Snapshot, newest_snapshot, read_files

_BATCH_ROWS = 16_384


class _Table:
    """A whole table of a snapshot, sorted by video, of which rows are taken from the front."""

    def __init__(self, objects: Objects, key: str, schema: pa.Schema, opened: ExitStack) -> None:
        self._uri, self._schema = objects.uri(key), schema
        file = opened.enter_context(open_file(objects, key))
        self._batches: Iterator[pa.RecordBatch] = file.iter_batches(_BATCH_ROWS)
        self._waiting: list[pa.Table] = []

    def before(self, stop: str) -> pa.Table:
        """Take the rows of the videos before `stop` that were not taken yet."""
        while not self._waiting or self._waiting[-1]["video_id"][-1].as_py() < stop:
            with sound(self._uri):
                batch = next(self._batches, None)
                if batch is None:
                    break
                if len(batch):
                    self._waiting.append(sound_table(conform(pa.Table.from_batches([batch]), self._schema)))
        rows = concat(self._waiting, self._schema)
        taken = pc.sum(pc.less(rows["video_id"], stop)).as_py() or 0
        self._waiting = [rows.slice(taken)] if taken < len(rows) else []
        return rows.slice(0, taken)


def upgrade(objects: Objects, *, run_id: str, still_held: Callable[[], None] = lambda: None) -> Snapshot:
    """Commit the newest snapshot again in storage version 3, and return it; a store that is there already stays as it is.

    Raises:
        BadConfiguration: the store was never published.
        DamagedStore: a table of the snapshot is not as it was written; nothing is changed.
        StoreBusy: another publisher committed meanwhile.
    """
    parent = newest_snapshot(objects)
    if parent is None:
        raise BadConfiguration(f"{objects.root} has no snapshot; `labeling run` publishes the first one, in the newest version")
    if parent.in_parts:
        return parent
    version = Changes(objects, parent)
    files = read_files(objects, parent).sort_by([("video_id", "ascending"), ("file", "ascending")]).combine_chunks()
    with ExitStack() as opened:
        ledger = _Table(objects, parent.ledger, schemas.LEDGER, opened)
        tracks = _Table(objects, parent.tracks, schemas.SNAPSHOT_TRACKS, opened)
        videos = _Table(objects, parent.videos, schemas.VIDEOS, opened)
        verdicts = _Table(objects, parent.verdicts, schemas.VERDICTS, opened)
        for stop in _stops(files):
            taken = pc.sum(pc.less(files["video_id"], stop)).as_py() or 0
            of_leaf, files = files.slice(0, taken).sort_by("file"), files.slice(taken)
            rows = [table.before(stop) for table in (tracks, videos, verdicts)]
            version.add(Contents.none(), Contents(ledger.before(stop), of_leaf, *rows))
    note = f"upgraded from storage version {parent.storage_version}"
    snapshot = version.commit(parent.qc, run_id=run_id, note=note, still_held=still_held)
    if snapshot is None:
        raise StoreBusy(f"{objects.root}: another publisher committed meanwhile; upgrade again")
    return snapshot


def _stops(files: pa.Table) -> Sequence[str]:
    """Cut the videos into leaves: the id that each one ends before. A video has a row for each of three tables, or more."""
    ids = files["video_id"]
    return [*dict.fromkeys(ids[row].as_py() for row in range(3 * LEAF_ROWS, len(ids), 3 * LEAF_ROWS)), LAST]
