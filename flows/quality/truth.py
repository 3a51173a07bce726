"""Tracks whose true masks are known, kept in pieces: one clip with one tracker is a piece, and a piece is made once.

    ROOT/pieces/NAME/{masks,tracks,truth,clips}.parquet

`masks` and `tracks` are rows as a store has them, `truth` says how right each mask is, `clips` what kind of clip, prompt and
tracker a track came from. A piece is written beside its place and renamed: one that is there is whole. Columns that a later
release adds are null in older pieces; signals can be measured again from `masks`, where nothing is tracked again.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labeling.errors import BadConfiguration
from labeling.store.parquet import concat, conform
from labeling.store.schemas import MASKS, TRACKS
from labeling.types import TableRow

DEFAULT_ROOT = "outputs/quality"
BAD_BELOW = 0.75            # of the mean J of a track
WRONG_BELOW = 0.5           # of the J of a frame
FAILURES = ("loss", "swap", "ghost", "leak", "part", "drift")
FIT, HELD = "fit", "held"
HELD_SHARE = 3              # one clip in so many is held out
SIZES = {"small": 0.0, "medium": 0.01, "large": 0.05}       # share of the frame from which on an object is of that size

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# One row for each row of `masks`: the true IoU, 1.0 where truth and mask are both empty. `precision` is null for an empty mask,
# `recall` for an object that is not to be seen; `other_j` is the greatest IoU with another object's truth.
TRUTH = pa.schema([
    pa.field("video_id", pa.string(), nullable=False), pa.field("track_id", pa.string(), nullable=False),
    pa.field("frame_idx", pa.int64(), nullable=False), pa.field("j", pa.float64(), nullable=False),
    pa.field("truth_visible", pa.bool_(), nullable=False), pa.field("mask_visible", pa.bool_(), nullable=False),
    pa.field("precision", pa.float64()), pa.field("recall", pa.float64()), pa.field("other_j", pa.float64()),
])

# One row a track. `clip` names what was drawn: pieces of one clip share it, and its split. `variant` is what makes it hard,
# `wrong_seed_KIND` where the prompt was wrong.
CLIPS = pa.schema([
    pa.field(name, pa.int32() if name in ("image_size", "num_frames") else pa.string(), nullable=False)
    for name in (
        "video_id", "track_id", "clip", "generator", "variant", "prompt", "tracker", "image_size", "num_frames", "size_class",
        "split",
    )
])
SCHEMAS = {"masks": MASKS, "tracks": TRACKS, "truth": TRUTH, "clips": CLIPS}


@dataclass(frozen=True, slots=True)
class Truth:
    """The four tables of one piece, or of many joined; `tracks` and `clips` have a row a track, in the same order."""

    masks: pa.Table
    tracks: pa.Table
    truth: pa.Table
    clips: pa.Table

    def __post_init__(self) -> None:
        if len(self.masks) != len(self.truth) or len(self.tracks) != len(self.clips):
            raise ValueError(
                f"{len(self.masks)} masks have {len(self.truth)} rows of truth, {len(self.tracks)} tracks {len(self.clips)} of "
                "clips; expected one each"
            )

    def of_split(self, split: str) -> "Truth":
        """Return the tracks whose clips are of a split, `fit` or `held`."""
        chosen = set(self.clips.filter(pc.equal(self.clips["split"], split))["video_id"].to_pylist())
        wanted = pa.array(sorted(chosen), pa.string())
        return Truth(*(
            table.filter(pc.is_in(table["video_id"], value_set=wanted)) for table in
            (self.masks, self.tracks, self.truth, self.clips)
        ))


@dataclass(frozen=True, slots=True)
class TrackTruth:
    """How right one track is, frame by frame (T,) in ascending frames; columns as in `TRUTH`, NaN for null."""

    video_id: str
    track_id: str
    frame_idx: npt.NDArray[np.int64]
    j: Floats
    truth_visible: Bools
    mask_visible: Bools
    precision: Floats
    recall: Floats
    other_j: Floats

    @property
    def mean_j(self) -> float:
        """Mean J over frames on which truth or mask is not empty; 1.0 where there is none."""
        shown = self.truth_visible | self.mask_visible
        return float(self.j[shown].mean()) if shown.any() else 1.0

    @property
    def bad(self) -> bool:
        """Whether the track is bad: a mean J below 0.75."""
        return self.mean_j < BAD_BELOW

    @property
    def failure(self) -> str | None:
        """What went wrong on most frames with J below 0.5, one of `FAILURES`; None where there are no such frames."""
        wrong = (self.truth_visible | self.mask_visible) & (self.j < WRONG_BELOW)
        lost, ghost = self.truth_visible & ~self.mask_visible, self.mask_visible & ~self.truth_visible
        swap = ~lost & (np.nan_to_num(self.other_j) > WRONG_BELOW)
        leak = ~(lost | ghost | swap) & (np.nan_to_num(self.recall) >= 0.7)
        part = ~(lost | ghost | swap | leak) & (np.nan_to_num(self.precision) >= 0.7)
        kinds = (lost, swap, ghost & ~swap, leak, part, ~(lost | ghost | swap | leak | part))
        counts = {name: int((wrong & kind).sum()) for name, kind in zip(FAILURES, kinds, strict=True)}
        return max(counts, key=counts.__getitem__) if wrong.any() else None


def split_of(clip: str) -> str:
    """Return the split that a clip belongs to, by a digest of its name: all pieces of it are in the same one."""
    return HELD if int(hashlib.sha256(clip.encode()).hexdigest()[:8], 16) % HELD_SHARE == 0 else FIT


def size_class(share: float) -> str:
    """Return the size of an object that covers a share of the frame."""
    return max((name for name, least in SIZES.items() if share >= least), key=SIZES.__getitem__)


def video_id_of(piece: str) -> str:
    """Return the id under which a piece's rows stand."""
    return hashlib.sha256(piece.encode()).hexdigest()[:16]


def has_piece(root: Path, name: str) -> bool:
    """Return whether a piece has been made."""
    return (root / "pieces" / name).is_dir()


def write_piece(root: Path, name: str, piece: Truth) -> Path:
    """Write a piece whole or not at all and return its folder; one that is there already stays as it is."""
    folder = root / "pieces" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        for table, schema in SCHEMAS.items():
            pq.write_table(conform(getattr(piece, table), schema), beside / f"{table}.parquet", compression="zstd")
        with suppress(OSError):     # another process made it first
            os.rename(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    assert folder.is_dir(), folder
    return folder


def read_truth(root: Path) -> Truth:
    """Read all pieces that are there, in the order of their names; BadConfiguration where there are none."""
    folders = sorted(path for path in (root / "pieces").glob("*") if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise BadConfiguration(f"{root} holds no pieces; make some first: `labeling quality make --root {root}`")
    tables: dict[str, list[pa.Table]] = {f.name: [] for f in fields(Truth)}
    for folder in folders:
        for name, parts in tables.items():
            parts.append(conform(pq.read_table(folder / f"{name}.parquet"), SCHEMAS[name]))
    return Truth(**{name: concat(parts, SCHEMAS[name]) for name, parts in tables.items()})


def tracks_of(truth: Truth) -> list[TrackTruth]:
    """Return how right each track is, in the order of `tracks`."""
    rows = truth.truth.sort_by([("video_id", "ascending"), ("track_id", "ascending"), ("frame_idx", "ascending")])
    names = ("frame_idx", "j", "truth_visible", "mask_visible", "precision", "recall", "other_j")
    columns = {name: rows[name].to_numpy(zero_copy_only=False) for name in names}
    ids = list(zip(rows["video_id"].to_pylist(), rows["track_id"].to_pylist(), strict=True))
    starts = [k for k, key in enumerate(ids) if k == 0 or ids[k - 1] != key]
    places = {ids[a]: slice(a, b) for a, b in zip(starts, [*starts[1:], len(ids)], strict=True)}
    return [_track_truth(row, columns, places) for row in truth.tracks.select(["video_id", "track_id"]).to_pylist()]


def _track_truth(
    row: TableRow, columns: dict[str, npt.NDArray[np.generic]], places: dict[tuple[str, str], slice]
) -> TrackTruth:
    key = row["video_id"], row["track_id"]
    return TrackTruth(*key, **{name: column[places[key]] for name, column in columns.items()})   # type: ignore[arg-type]


def joined(pieces: Sequence[Truth]) -> Truth:
    """Join pieces into one."""
    return Truth(**{name: concat([getattr(p, name) for p in pieces], schema) for name, schema in SCHEMAS.items()})
