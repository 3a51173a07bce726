"""The store's tables as Arrow schemas, and the version that every file carries and every reader checks.

Anything that reads Parquet reads these. Coordinates are those of the upright frame; `frame_idx` is 0-based, in the
source's presentation order; boxes are x, y, width, height in pixels. `bucket` is in the path only. Rows of other versions
lie there too; what a snapshot holds in DuckDB, with no code of ours:

    SET VARIABLE parts = (SELECT list('ROOT/' || part.file)
    FROM (SELECT unnest(parts.objects) AS part FROM 'ROOT/snapshots/v000001.json'));
    CREATE OR REPLACE TEMP VIEW objects AS SELECT * FROM read_parquet(getvariable('parts'))
    QUALIFY NOT withdrawn AND changed_in = max(changed_in) OVER (PARTITION BY video_id, object_id);
    SET VARIABLE files = (SELECT list(DISTINCT 'ROOT/' || masks_file) FROM objects);
    SELECT masks.* FROM read_parquet(getvariable('files'), union_by_name=true) masks
    SEMI JOIN objects USING (video_id, track_id, label_version)

and in a store of version 2:

    SET VARIABLE files = (SELECT list('ROOT/' || file) FROM 'ROOT/snapshots/v000001/files.parquet' WHERE "table" = 'masks');
    SELECT masks.* FROM read_parquet(getvariable('files'), union_by_name=true) masks
    SEMI JOIN 'ROOT/snapshots/v000001/tracks.parquet' USING (video_id, track_id, label_version)
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import pyarrow as pa

from labeling.errors import LabelingError
from labeling.qc.signals import FIRST_COLUMNS, LATER_COLUMNS
from labeling.types import LATER_SCORES, LOOKS

STORAGE_VERSION = 3  # of new stores, and the highest that this code reads
FILES_VERSION = 2  # of what a run writes, and of whole tables beside a snapshot: equal in stores of both versions
VERSION_KEY = b"samurai_labeling.storage_version"
WRITER_KEY = b"samurai_labeling.written_by"
_DISTRIBUTION = "samurai-labeling"


class NewerStore(LabelingError, ValueError):
    """A file of a store that a newer version of this project wrote."""


def code_version() -> str:
    """Return the installed version of this project, "unknown" where it runs from a bare folder."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def _schema(columns: Mapping[str, pa.DataType], *optional: str, version: int = FILES_VERSION) -> pa.Schema:
    """Make a schema whose columns hold no nulls but for the `optional` ones, stamped with version and writer."""
    stamp = {VERSION_KEY: str(version).encode(), WRITER_KEY: f"{_DISTRIBUTION} {code_version()}".encode()}
    return pa.schema([pa.field(name, kind, nullable=name in optional) for name, kind in columns.items()], metadata=stamp)


_TEXT, _INT, _REAL, _SCORE = pa.string(), pa.int64(), pa.float64(), pa.float32()
FLAG = pa.struct(
    [
        ("reason", _TEXT), ("signal", _TEXT), ("value", _REAL), ("threshold", _REAL),
        ("first_frame_idx", _INT), ("stop_frame_idx", _INT), ("decision", _TEXT),
    ]
)

VIDEOS = _schema(
    {
        "video_id": _TEXT, "video_key": _TEXT, "uri": _TEXT, "content_id": _TEXT, "num_bytes": _INT,
        "height": pa.int32(), "width": pa.int32(), "frame_rate": _REAL,
        "frame_rate_numerator": _INT, "frame_rate_denominator": _INT,
        "num_frames": _INT, "duration_seconds": _REAL, "codec": _TEXT, "rotation_degrees": pa.int32(),
        "batch": _TEXT, "run_id": _TEXT, "created_at": _TEXT, "cuts": _TEXT,
    },
    "cuts",
)

# A column that comes later is nullable and appended, in every table, and leaves the storage version as it is: files
# of both kinds lie in one store, and whoever reads them together sees nulls in the older ones.
MASKS = _schema(
    {
        "video_id": _TEXT, "track_id": _TEXT, "frame_idx": _INT, "pts_seconds": _REAL,
        "height": pa.int32(), "width": pa.int32(), "rle": _TEXT, "area": _INT, "box_xywh": pa.list_(_SCORE),
        "predicted_iou": _SCORE, "object_score": _SCORE, "motion_iou": _SCORE, "stability": _SCORE,
        "candidate_gap": _SCORE, "pointer_similarity": _SCORE,
        "visible": pa.bool_(), "source": _TEXT, "label_version": pa.int32(), "key": _TEXT,
        **dict.fromkeys((*LOOKS, *LATER_SCORES), _SCORE),
    },
    "box_xywh", "motion_iou", "stability", "candidate_gap", "pointer_similarity", *LOOKS, *LATER_SCORES,
)

PROVENANCE: Mapping[str, pa.DataType] = {
    "model": _TEXT, "checkpoint_sha256": _TEXT, "tracker": _TEXT, "precision": _TEXT, "image_size": pa.int32(),
    "device": _TEXT, "presence_threshold": _REAL, "direction": _TEXT, "semantics_version": pa.int32(),
    "code_version": _TEXT, "run_id": _TEXT, "created_at": _TEXT,
}

TRACKS = _schema(
    {
        "video_id": _TEXT, "track_id": _TEXT, "object_id": _INT, "label_version": pa.int32(), "key": _TEXT, "batch": _TEXT,
        "category": _TEXT, "prompts": _TEXT, "first_frame_idx": _INT, "last_frame_idx": _INT,
        "num_masks": _INT, "num_visible": _INT,
        **dict.fromkeys(FIRST_COLUMNS, _REAL), "signal_spans": _TEXT, **PROVENANCE, **dict.fromkeys(LATER_COLUMNS, _REAL),
    },
    "category", "first_frame_idx", "last_frame_idx", *FIRST_COLUMNS, *LATER_COLUMNS,
)

# The tracks of a snapshot: where the masks of a row lie when they were packed with others', null while they are in the file
# of their batch.
SNAPSHOT_TRACKS = TRACKS.append(pa.field("masks_file", _TEXT))

VERDICTS = _schema(
    {
        "video_id": _TEXT, "track_id": _TEXT, "object_id": _INT, "label_version": pa.int32(), "batch": _TEXT,
        "verdict": _TEXT, "risk": _REAL, "flags": pa.list_(FLAG),
        "overlap": _REAL, "overlap_track_id": _TEXT, "overlap_first_frame_idx": _INT, "overlap_stop_frame_idx": _INT,
        "decided_by": _TEXT, "decided_at": _TEXT, "judge": _TEXT, "novelty": _REAL,
        "overlap_early": _REAL, "overlap_late": _REAL,
    },
    "overlap", "overlap_track_id", "overlap_first_frame_idx", "overlap_stop_frame_idx", "decided_by", "decided_at",
    "judge", "novelty", "overlap_early", "overlap_late",
)

# One row a file; `video_id` and `batch` are empty for one that holds many batches.
FILES = _schema(
    {"file": _TEXT, "table": _TEXT, "video_id": _TEXT, "batch": _TEXT, "rows": _INT, "num_bytes": _INT, "sha256": _TEXT},
)

LEDGER = _schema(
    {
        "video_id": _TEXT, "object_id": _INT, "label_version": pa.int32(), "key": _TEXT, "batch": _TEXT, "run_id": _TEXT,
        "written_at": _TEXT, "components": _TEXT, "withdrawn": pa.bool_(),
    },
    "withdrawn",
)

# Tables of storage version 3, which are kept in parts. Every row says in which version of the dataset it changed.
#
# `objects` has a row for each object that ever had a result: its current one, what is said of it, and the highest version that
# it ever had. Where going back to an older snapshot left it without a result it is `withdrawn`.
OBJECTS = _schema(
    {
        "video_id": _TEXT, "object_id": _INT, "track_id": _TEXT, "label_version": pa.int32(), "highest_version": pa.int32(),
        "key": _TEXT, "components": _TEXT, "batch": _TEXT, "run_id": _TEXT, "written_at": _TEXT, "masks_file": _TEXT,
        **{name: VERDICTS.field(name).type for name in VERDICTS.names[5:]}, "withdrawn": pa.bool_(), "changed_in": _INT,
    },
    "masks_file", *VERDICTS.names[5:], version=3,
)


def _in_parts(schema: pa.Schema, **more: pa.DataType) -> pa.Schema:
    columns = {f.name: f.type for f in schema} | more | {"changed_in": _INT}
    return _schema(columns, *(f.name for f in schema if f.nullable), version=3)


TRACK_PARTS, VIDEO_PARTS, FILE_PARTS = _in_parts(TRACKS), _in_parts(VIDEOS), _in_parts(FILES, removed=pa.bool_())


def check_storage_version(metadata: dict[bytes, bytes] | None, name: str) -> None:
    """Refuse a file that a newer version of this project wrote; one without a stamp is refused as not the store's.

    Raises:
        NewerStore: with the version that reads it.
        ValueError: the file carries no storage version.
    """
    stamp = (metadata or {}).get(VERSION_KEY)
    if stamp is None or not stamp.isdigit():
        raise ValueError(f"{name} carries no storage version; expected a Parquet file that this project wrote")
    check_stamp(int(stamp), (metadata or {}).get(WRITER_KEY, b"a newer version").decode(), name)


def check_stamp(storage_version: int, written_by: str, name: str) -> None:
    """Refuse a storage version above the one that this code knows."""
    if storage_version > STORAGE_VERSION:
        raise NewerStore(
            f"{name} has storage version {storage_version}, written by {written_by}; this is {_DISTRIBUTION} "
            f"{code_version()}, which reads up to {STORAGE_VERSION}. Install {written_by} or newer to read it"
        )
