"""What a publisher changes in a store in parts: some videos at a time, each before and after, written as new parts.

Counts and the card's facts move by what came and went, so that a version costs what is new in it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from labeling.objects import Objects
from labeling.store import layout, schemas
from labeling.store.contents import OBJECTS, PART_TABLES, TRACKS, Contents, changes, current_objects, queue_counts
from labeling.store.parts import (
    LAST,
    LEAF_ROWS,
    Part,
    Parts,
    PartTable,
    joined_key,
    leaf_cuts,
    merged,
    put_part,
    rows_between,
    stamped,
    worth_merging,
)
from labeling.store.snapshots import Snapshot
from labeling.store.versions.card import CardFacts, facts_in_card, facts_of, write_card
from labeling.types import JsonObject


@dataclass(slots=True)
class Changes:
    """Collects the changes of one version: `add` slices of whole videos that do not overlap, then `commit`.

    Parts are written as they come. Those of a version that is not committed are named by nothing, and left to `vacuum`.
    """

    objects: Objects
    parent: Snapshot | None
    parts: dict[str, list[Part]] = field(init=False)
    counts: Counter[str] = field(init=False)
    queue: Counter[str] = field(init=False)
    changed: bool = field(default=False, init=False)
    _went: CardFacts = field(default_factory=CardFacts, init=False)
    _came: CardFacts = field(default_factory=CardFacts, init=False)

    def __post_init__(self) -> None:
        # What a store of version 2 holds is all new to parts.
        base = self.parent if self.parent and self.parent.in_parts else None
        before: Parts = base.parts if base else {}
        self.parts = {table.name: list(before.get(table.name, ())) for table in PART_TABLES}
        self.counts = Counter(base.counts if base else Contents.none().counts())
        self.queue = Counter(base.queue if base else {})

    @property
    def version(self) -> int:
        """The version that is being made."""
        return self.parent.version + 1 if self.parent else 1

    def add(self, before: Contents, after: Contents) -> None:
        """Write what differs between two states of some videos, which must be there whole."""
        if after.same_as(before):
            return
        self.changed = True
        rows = changes(before, after)
        for table in PART_TABLES:
            self._write(table, rows[table.name])
        for counts, counted in ((self.counts, Contents.counts), (self.queue, lambda of: queue_counts(of.verdicts))):
            counts.subtract(counted(before))
            counts.update(counted(after))
        self._went = self._went.moved(CardFacts(), facts_of(before))
        self._came = self._came.moved(CardFacts(), facts_of(after))

    def _write(self, table: PartTable, rows: pa.Table) -> None:
        parts = self.parts[table.name]
        rows = stamped(rows, self.version, table)
        if not len(rows):
            return
        # Many rows that lie over nothing are leaves at once.
        first, last = rows["video_id"][0].as_py(), rows["video_id"][-1].as_py()
        leaf = len(rows) > LEAF_ROWS // 2 and not any(part.meets(first, f"{last}{LAST}") for part in parts)
        parts += (put_part(self.objects, table, cut, leaf=leaf) for cut in leaf_cuts(rows))

    def commit(
        self, qc: JsonObject, *, run_id: str, note: str = "", still_held: Callable[[], None] = lambda: None
    ) -> Snapshot | None:
        """Merge what is worth it and commit the version; None when another publisher committed it first."""
        moves_on = self.parent is not None and self.parent.in_parts
        facts = facts_in_card(self.objects, self.parent) if self.parent and moves_on else CardFacts()
        snapshot = Snapshot(
            self.version, self.parent.version if self.parent else None, run_id,
            datetime.now(UTC).isoformat(timespec="seconds"), "", "", "", "", "", dict(self.counts), qc, note,
            schemas.STORAGE_VERSION, queue=dict(self.queue), parts=merged_parts(self.objects, self.parts),
        )
        # As late as can be: staging takes long, and a lock that was lost meanwhile is another run's.
        still_held()
        # From this write on the version is there, whole: readers find it by this object alone.
        if not self.objects.put_if_absent(layout.snapshot(self.version), snapshot.to_json()):
            return None
        # Without its parent's card a version has none until somebody counts: `mend_cards` does.
        if facts is not None:
            write_card(self.objects, snapshot, facts.moved(self._went, self._came))
        return snapshot


def merged_parts(objects: Objects, parts: Mapping[str, list[Part]], *, always: bool = False) -> Parts:
    """Merge each table's parts where what is new in it is much, `always` for all; rows that count no more go."""
    keep: dict[str, Callable[[pa.Table], pa.Table]] = {
        "files": lambda rows: rows.filter(pc.invert(rows["removed"])),
        "tracks": lambda rows: _named(objects, parts["objects"], rows, TRACKS.key),
        "videos": lambda rows: _named(objects, parts["objects"], rows, ("video_id", "batch")),
    }
    return {
        table.name: tuple(
            merged(objects, table, parts[table.name], keep.get(table.name, lambda rows: rows), into_leaves=always)
            if always or worth_merging(parts[table.name]) else parts[table.name]
        )
        for table in PART_TABLES
    }


def _named(objects: Objects, parts: list[Part], rows: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """Keep the rows that rows of `objects` name."""
    if not len(rows):
        return rows
    first, last = rows["video_id"][0].as_py(), rows["video_id"][-1].as_py()
    columns = ("video_id", "object_id", "label_version", "batch", "withdrawn")
    current = current_objects(rows_between(objects, OBJECTS, parts, first, f"{last}{LAST}", columns))
    return rows.filter(pc.is_in(joined_key(rows, key), value_set=joined_key(current, key)))
