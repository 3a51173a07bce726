"""What changed between two snapshots: masklets that came, went or were labelled again, and verdicts that moved."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labeling import rle
from labeling.objects import Objects
from labeling.store.parquet import iterate_rows
from labeling.store.reader import MaskReader, rles_by_frame
from labeling.store.snapshots import Snapshot, read_tracks, read_verdicts, read_videos
from labeling.types import RLE, TableRow

_TRACK = ["video_id", "object_id", "track_id", "label_version", "batch", "category", "masks_file"]


@dataclass(frozen=True, slots=True)
class TrackVersion:
    """One masklet of one of the two snapshots."""

    video_key: str
    track_id: str
    category: str | None
    label_version: int
    verdict: str


@dataclass(frozen=True, slots=True)
class ChangedTrack:
    """One masklet that was labelled again; `j` is the mean intersection over union on frames that both versions have.

    A frame where both are empty counts 1; `j` is None where they share no frame, or none of one size.
    """

    before: TrackVersion
    after: TrackVersion
    j: float | None
    frames_shared: int
    frames_before: int
    frames_after: int


@dataclass(frozen=True, slots=True)
class MovedVerdict:
    """One masklet whose verdict is another."""

    before: TrackVersion
    after: TrackVersion


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed from one snapshot to another; the changed ones with the lowest J first."""

    before: str
    after: str
    added: tuple[TrackVersion, ...]
    removed: tuple[TrackVersion, ...]
    changed: tuple[ChangedTrack, ...]
    moved: tuple[MovedVerdict, ...]
    same: int

    @property
    def mean_j(self) -> float | None:
        """The mean J of the changed masklets that have one."""
        measured = [track.j for track in self.changed if track.j is not None]
        return float(np.mean(measured)) if measured else None

    def moves(self) -> Mapping[tuple[str, str], int]:
        """How many verdicts moved from which to which, most frequent first."""
        return dict(Counter((moved.before.verdict, moved.after.verdict) for moved in self.moved).most_common())


def diff_snapshots(objects: Objects, before: Snapshot, after: Snapshot) -> Diff:
    """Compare two snapshots of one store; masks are read of the changed masklets alone, two at a time."""
    keys = _video_keys(objects, before) | _video_keys(objects, after)
    pairs = _pairs(objects, before, after)
    gone, came = pc.is_null(pairs["track_id_b"]), pc.is_null(pairs["track_id_a"])
    both = pairs.filter(pc.invert(pc.or_(gone, came)))
    again = pc.or_(
        pc.not_equal(both["label_version_a"], both["label_version_b"]), pc.not_equal(both["batch_a"], both["batch_b"])
    )
    with MaskReader(objects) as old, MaskReader(objects) as new:
        changed = [_changed(old, new, row, keys) for row in iterate_rows(both.filter(again))]
    moved = both.filter(pc.not_equal(both["verdict_a"], both["verdict_b"]))
    return Diff(
        before=before.name,
        after=after.name,
        added=tuple(_named(row, "b", keys) for row in iterate_rows(pairs.filter(came))),
        removed=tuple(_named(row, "a", keys) for row in iterate_rows(pairs.filter(gone))),
        changed=tuple(sorted(changed, key=lambda track: 2.0 if track.j is None else track.j)),
        moved=tuple(MovedVerdict(_named(row, "a", keys), _named(row, "b", keys)) for row in iterate_rows(moved)),
        same=len(both) - len(changed),
    )


def _video_keys(objects: Objects, snapshot: Snapshot) -> dict[str, str]:
    videos = read_videos(objects, snapshot)
    return dict(zip(videos["video_id"].to_pylist(), videos["video_key"].to_pylist(), strict=True))


def _pairs(objects: Objects, before: Snapshot, after: Snapshot) -> pa.Table:
    """Join the tracks of both by video and object, each side's columns with its suffix, null where a side lacks it."""
    sides = []
    for snapshot in (before, after):
        # Both tables are by (video_id, object_id).
        tracks = read_tracks(objects, snapshot).select(_TRACK)
        sides.append(tracks.append_column("verdict", read_verdicts(objects, snapshot)["verdict"]))
    joined = sides[0].join(
        sides[1], ["video_id", "object_id"], join_type="full outer", left_suffix="_a", right_suffix="_b"
    )
    return joined.sort_by([("video_id", "ascending"), ("object_id", "ascending")])


def _named(row: TableRow, side: str, keys: Mapping[str, str]) -> TrackVersion:
    return TrackVersion(
        keys[row["video_id"]], row[f"track_id_{side}"], row[f"category_{side}"], row[f"label_version_{side}"],
        row[f"verdict_{side}"],
    )


def _changed(old: MaskReader, new: MaskReader, row: TableRow, keys: Mapping[str, str]) -> ChangedTrack:
    first, second = (_masks(reader, row, side) for reader, side in ((old, "a"), (new, "b")))
    shared = [i for i in first.keys() & second.keys() if first[i].size_hw == second[i].size_hw]
    j = float(np.mean([rle.iou(first[i], second[i]) for i in shared])) if shared else None
    return ChangedTrack(_named(row, "a", keys), _named(row, "b", keys), j, len(shared), len(first), len(second))


def _masks(reader: MaskReader, row: TableRow, side: str) -> dict[int, RLE]:
    track = {"video_id": row["video_id"]} | {n: row[f"{n}_{side}"] for n in ("track_id", "batch", "masks_file")}
    return rles_by_frame(reader.rows(track, columns=["video_id", "track_id", "frame_idx", "height", "width", "rle"]))
