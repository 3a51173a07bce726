"""What a version holds, as Arrow tables: of the whole dataset, or of some videos; and how its parts are made of it.

Storage version 2 keeps five whole tables beside each snapshot. Version 3 keeps four tables in parts: `objects` has what is said
of each object now, in place of ledger and verdicts; `tracks` and `videos` keep rows that count no more until a merge, and a
row of `objects` names the one that does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import DamagedStore
from labeling.objects import Objects
from labeling.qc.reasons import UNUSUAL
from labeling.store import schemas
from labeling.store.parquet import concat, conform
from labeling.store.parts import (
    LAST,
    Part,
    Parts,
    PartTable,
    changed_rows,
    joined_key,
    leaf_ranges,
    removed_rows,
    rows_between,
    rows_of,
)
from labeling.types import Decision

_OBJECT = ("video_id", "object_id")
_RESULT = ("video_id", "object_id", "label_version", "batch")
OBJECTS = PartTable("objects", schemas.OBJECTS, _OBJECT)
TRACKS = PartTable("tracks", schemas.TRACK_PARTS, _RESULT)
VIDEOS = PartTable("videos", schemas.VIDEO_PARTS, ("video_id", "batch"))
FILES = PartTable("files", schemas.FILE_PARTS, ("video_id", "file"))
PART_TABLES = (OBJECTS, TRACKS, VIDEOS, FILES)
_BY_RESULT = [(name, "ascending") for name in _RESULT]
_LEDGER_COLUMNS = (
    *_OBJECT, "label_version", "highest_version", "key", "components", "batch", "run_id", "written_at", "withdrawn",
)

_NAMED = (*_RESULT, "masks_file", "withdrawn")

ReadRows = Callable[..., pa.Table]  # `rows_between` or `rows_of` of some videos


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies beside one snapshot, as Arrow tables, and the whole ledger's rows; `verdicts` in the order of `tracks`."""

    ledger: pa.Table
    files: pa.Table
    tracks: pa.Table
    videos: pa.Table
    verdicts: pa.Table

    def same_as(self, other: "Contents") -> bool:
        """Return whether every row is the same."""
        return all(getattr(self, f.name).equals(getattr(other, f.name)) for f in fields(self))

    def counts(self) -> dict[str, int]:
        """Count videos, tracks, masks, what people decided, and each verdict."""
        verdicts = self.verdicts["verdict"].to_pylist()
        return {
            "videos": pc.count_distinct(self.tracks["video_id"]).as_py(),
            "tracks": len(self.tracks),
            "masks": pc.sum(self.tracks["num_masks"]).as_py() or 0,
            "visible_masks": pc.sum(self.tracks["num_visible"]).as_py() or 0,
            "decided": len(verdicts) - self.verdicts["decided_by"].null_count,
            **{decision.value: verdicts.count(decision.value) for decision in Decision},
        }

    @classmethod
    def none(cls) -> "Contents":
        """Return what a store without a snapshot holds."""
        empty = (schemas.LEDGER, schemas.FILES, schemas.SNAPSHOT_TRACKS, schemas.VIDEOS, schemas.VERDICTS)
        return cls(*(schema.empty_table() for schema in empty))


def queue_counts(verdicts: pa.Table) -> dict[str, int]:
    """Count the masklets that were doubted before people saw them, and the novel ones that have a place in the queue."""
    flags = verdicts["flags"].combine_chunks()
    rows, each = pc.list_parent_indices(flags), pc.list_flatten(flags)
    novel = pc.equal(pc.struct_field(each, "reason"), UNUSUAL)
    doubts = pc.and_(pc.equal(pc.struct_field(each, "decision"), Decision.REVIEW.value), pc.invert(novel))
    placed = pc.or_(pc.equal(verdicts["verdict"], Decision.REVIEW.value), pc.is_valid(verdicts["decided_by"])).combine_chunks()
    return {
        "doubted": len(pc.unique(rows.filter(doubts))),
        "novel": pc.sum(placed.take(pc.unique(rows.filter(novel)))).as_py() or 0,
    }


def contents_of_videos(objects: Objects, parts: Parts, video_ids: Iterable[str]) -> Contents:
    """Read what parts hold of some videos; the rest of the dataset costs nothing."""
    return _contents(objects, parts, partial(rows_of, video_ids=sorted(set(video_ids))))


def contents_between(objects: Objects, parts: Parts, first: str = "", stop: str = LAST) -> Contents:
    """Read what parts hold of the videos from `first` on and before `stop`; everything by default."""
    return _contents(objects, parts, partial(rows_between, first=first, stop=stop))


def _contents(objects: Objects, parts: Parts, read: ReadRows) -> Contents:
    rows = read(objects, OBJECTS, parts["objects"])
    current = current_objects(rows)
    return Contents(
        ledger=ledger_rows(rows),
        files=files_in(objects, parts, read),
        tracks=tracks_of(current, read(objects, TRACKS, parts["tracks"])),
        videos=_videos_of(current, read(objects, VIDEOS, parts["videos"])),
        verdicts=conform(current, schemas.VERDICTS),
    )


def verdicts_in(objects: Objects, parts: Parts, read: ReadRows = rows_between) -> pa.Table:
    """Read the verdicts that parts hold."""
    columns = (*schemas.VERDICTS.names, "withdrawn")
    return conform(current_objects(read(objects, OBJECTS, parts["objects"], columns=columns)), schemas.VERDICTS)


def tracks_in(objects: Objects, parts: Parts, read: ReadRows = rows_between) -> pa.Table:
    """Read the current tracks that parts hold, in the order of their verdicts."""
    current = current_objects(read(objects, OBJECTS, parts["objects"], columns=_NAMED))
    return tracks_of(current, read(objects, TRACKS, parts["tracks"]))


def videos_in(objects: Objects, parts: Parts, read: ReadRows = rows_between) -> pa.Table:
    """Read the rows of `videos` that parts hold, one for each video and batch that is current."""
    current = current_objects(read(objects, OBJECTS, parts["objects"], columns=_NAMED))
    return _videos_of(current, read(objects, VIDEOS, parts["videos"]))


def files_in(objects: Objects, parts: Parts, read: ReadRows = rows_between) -> pa.Table:
    """Read the data files that parts name."""
    rows = read(objects, FILES, parts["files"])
    return conform(rows.filter(pc.invert(rows["removed"])), schemas.FILES).sort_by("file").combine_chunks()


def _videos_of(current: pa.Table, rows: pa.Table) -> pa.Table:
    named = pc.is_in(joined_key(rows, VIDEOS.key), value_set=joined_key(current, VIDEOS.key))
    return conform(rows.filter(named), schemas.VIDEOS)


def ranges_of(parts: Parts) -> list[tuple[str, str]]:
    """Cut a dataset into half-open ranges of videos, each about as large as is read at a time."""
    return leaf_ranges(*(parts[table.name] for table in PART_TABLES))


def current_objects(rows: pa.Table) -> pa.Table:
    """Keep the rows of `objects` that have a current result."""
    return rows.filter(pc.invert(rows["withdrawn"]))


def tracks_of(current: pa.Table, rows: pa.Table) -> pa.Table:
    """Return the rows of `tracks` that rows of `objects` name, in their order; DamagedStore where one is missing."""
    at = pc.index_in(joined_key(current, _RESULT), value_set=joined_key(rows, _RESULT))
    if at.null_count:
        missing = current.filter(pc.is_null(at)).select([*_RESULT]).slice(0, 1).to_pylist()[0]
        raise DamagedStore(f"the parts of `tracks` lack {missing}, which those of `objects` name; go back to a version before")
    # A file of its batch's own goes without saying.
    packed = pc.not_equal(current["masks_file"], _own_files(current))
    masks_files = pc.if_else(packed, current["masks_file"], pa.scalar(None, pa.string()))
    return conform(rows.take(at).append_column("masks_file", masks_files), schemas.SNAPSHOT_TRACKS)


def _own_files(rows: pa.Table) -> pa.Array:
    """Return the files of masks that batches have of their own, as `layout.data_file` names them."""
    video_ids = rows["video_id"].combine_chunks()
    names = pc.binary_join_element_wise(video_ids, rows["batch"].combine_chunks(), "-")
    buckets = pc.utf8_slice_codeunits(video_ids, 0, 2)
    folders = pc.binary_join_element_wise(pa.scalar("masks/bucket="), buckets, "")
    return pc.binary_join_element_wise(pc.binary_join_element_wise(folders, names, "/"), pa.scalar(".parquet"), "")


def ledger_rows(rows: pa.Table) -> pa.Table:
    """Return rows of `objects` as the ledger has them: the current results, and the versions above them that stay taken."""
    current = current_objects(rows)
    results = conform(current.set_column(
        current.schema.get_field_index("withdrawn"), "withdrawn", pa.nulls(len(current), pa.bool_())
    ), schemas.LEDGER)
    taken = rows.filter(pc.or_(rows["withdrawn"], pc.greater(rows["highest_version"], rows["label_version"])))
    ids = {name: taken[name] for name in _OBJECT}
    blank = pa.array([""] * len(taken), pa.string())
    columns = ids | {
        "label_version": taken["highest_version"], "key": blank, "batch": blank, "run_id": blank, "written_at": blank,
        "components": pa.array(["{}"] * len(taken), pa.string()), "withdrawn": pa.array([True] * len(taken), pa.bool_()),
    }
    return concat([results, conform(pa.table(columns), schemas.LEDGER)], schemas.LEDGER).sort_by(_BY_RESULT).combine_chunks()


def ledger_of_videos(objects: Objects, parts: Sequence[Part], video_ids: Iterable[str] | None) -> pa.Table:
    """Read the rows of the ledger of some videos, of all without."""
    if video_ids is None:
        return ledger_rows(rows_between(objects, OBJECTS, parts, columns=_LEDGER_COLUMNS))
    return ledger_rows(rows_of(objects, OBJECTS, parts, sorted(set(video_ids)), _LEDGER_COLUMNS))


def object_rows(contents: Contents) -> pa.Table:
    """Return what a version says of each object as rows of `objects`, without the version that they changed in."""
    ledger, tracks = contents.ledger, contents.tracks
    highest = ledger.group_by([*_OBJECT]).aggregate([("label_version", "max")])
    highest_key = joined_key(highest, _OBJECT)
    result = ledger.take(pc.index_in(joined_key(tracks, _RESULT), value_set=joined_key(ledger, _RESULT)))
    above = highest["label_version_max"].take(pc.index_in(joined_key(tracks, _OBJECT), value_set=highest_key))
    columns = {
        **{name: contents.verdicts[name] for name in schemas.VERDICTS.names},
        "highest_version": pc.max_element_wise(above, tracks["label_version"]), "key": tracks["key"],
        "masks_file": pc.coalesce(tracks["masks_file"], _own_files(tracks)),
        "run_id": pc.coalesce(result["run_id"], tracks["run_id"]), "written_at": pc.fill_null(result["written_at"], ""),
        "components": pc.fill_null(result["components"], "{}"), "withdrawn": pa.array([False] * len(tracks), pa.bool_()),
    }
    gone = highest.filter(pc.invert(pc.is_in(highest_key, value_set=joined_key(tracks, _OBJECT))))
    blank = pa.array([""] * len(gone), pa.string())
    withdrawn = {
        **{name: gone[name] for name in _OBJECT}, **dict.fromkeys(("key", "batch", "run_id", "written_at"), blank),
        **dict.fromkeys(("label_version", "highest_version"), gone["label_version_max"]),
        "track_id": gone["object_id"].cast(pa.string()), "components": pa.array(["{}"] * len(gone), pa.string()),
        "withdrawn": pa.array([True] * len(gone), pa.bool_()),
    }
    schema = schemas.OBJECTS.remove(len(schemas.OBJECTS) - 1)
    rows = [conform(pa.table(columns), schema), conform(pa.table(withdrawn), schema)]
    return concat(rows, schema).sort_by([(name, "ascending") for name in _OBJECT]).combine_chunks()


def changes(before: Contents, after: Contents) -> Mapping[str, pa.Table]:
    """Return the rows that a version adds to each table in parts where it makes `after` of `before`."""
    gone = removed_rows(before.files, after.files, FILES.key)
    came = changed_rows(before.files, after.files, FILES.key)
    files = [
        rows.append_column("removed", pa.array([removed] * len(rows), pa.bool_()))
        for rows, removed in ((came, False), (gone, True))
    ]
    old_tracks, new_tracks = (conform(contents.tracks, schemas.TRACKS) for contents in (before, after))
    return {
        "objects": changed_rows(object_rows(before), object_rows(after), OBJECTS.key),
        "tracks": changed_rows(old_tracks, new_tracks, TRACKS.key),
        "videos": changed_rows(before.videos, after.videos, VIDEOS.key),
        "files": pa.concat_tables(files),
    }
