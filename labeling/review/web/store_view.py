"""What the store knows of an item: its track with masks and scores, its verdict, the other objects of the video.

A snapshot never changes, so its tables are read once; whether there is a newer one is asked every two seconds.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from labeling.objects import Objects
from labeling.review.items import ItemKey, UnknownItem
from labeling.review.web.cache import LruCache, TtlCache
from labeling.store.reader import MaskReader, read_mask_rows
from labeling.store.records import mask_from_row, prompts_from_json, verdict_from_row, video_from_row
from labeling.store.snapshots import Slice, Snapshot, newest_snapshot, read_snapshot, slices_of
from labeling.types import FrameMask, Prompt, QCFlag, Span, TableRow, Verdict, Video

NEWEST_S = 2.0
TRACKS_KEPT, VIDEOS_KEPT, SNAPSHOTS_KEPT = 12, 12, 2


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One version of one object's masks, ascending by frame, with what made and judged it.

    `presence_threshold` is the object score above which the tracker kept a mask; `iou_bound` the predicted IoU below which
    the rules doubt, None where they have no such rule.
    """

    video: Video
    frames: tuple[FrameMask, ...]
    prompts: tuple[Prompt, ...]
    verdict: Verdict
    decided_by: str | None
    presence_threshold: float
    iou_bound: float | None
    positions: Mapping[int, int]

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """The source index of each tracked frame."""
        return tuple(frame.frame_idx for frame in self.frames)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One object of a video: where it is visible, as half-open spans of source frames, and what is doubted of it."""

    track_id: str
    category: str | None
    spans: tuple[Span, ...]
    flags: tuple[QCFlag, ...]
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _SnapshotTables:
    snapshot: Snapshot
    rows: Slice

    def of_video(self, video_id: str) -> list[tuple[TableRow, TableRow]]:
        """The rows (track, verdict) of one video; both tables are in the same order."""
        of_video = pc.equal(self.rows.verdicts["video_id"], video_id)
        tracks, verdicts = self.rows.tracks.filter(of_video).to_pylist(), self.rows.verdicts.filter(of_video).to_pylist()
        return list(zip(tracks, verdicts, strict=True))

    def video(self, video_id: str, batch: str) -> Video:
        same = pc.and_(pc.equal(self.rows.videos["video_id"], video_id), pc.equal(self.rows.videos["batch"], batch))
        return video_from_row(self.rows.videos.filter(same).to_pylist()[0])


class StoreView:
    """Reads what items need of a store; safe to share between threads."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._newest: TtlCache[str, Snapshot] = TtlCache(NEWEST_S)
        self._snapshots: LruCache[str, Snapshot] = LruCache(SNAPSHOTS_KEPT)
        self._tables: LruCache[str, _SnapshotTables] = LruCache(SNAPSHOTS_KEPT)
        self._videos: LruCache[str, _SnapshotTables] = LruCache(VIDEOS_KEPT)
        self._tracks: LruCache[ItemKey, Track] = LruCache(TRACKS_KEPT)
        self._neighbours: LruCache[tuple[str, str], tuple[Neighbour, ...]] = LruCache(VIDEOS_KEPT)

    def track(self, key: ItemKey, snapshot: str) -> Track:
        """An item's track; `snapshot` is the one that the item was opened from, for versions that are no longer current.

        UnknownItem where the store does not have it any more.
        """
        return self._tracks.of(key, lambda: self._read_track(key, snapshot))

    def other_track(self, key: ItemKey, snapshot: str, track_id: str) -> Track:
        """Another object's track on an item's video; UnknownItem where there is none."""
        tables, _ = self._find(key, snapshot)
        for row, _ in tables.of_video(key.video_id):
            if row["track_id"] == track_id:
                return self.track(ItemKey.of_row(row), tables.snapshot.name)
        raise UnknownItem(f"the video has no object {track_id!r}")

    def neighbours(self, key: ItemKey, snapshot: str) -> tuple[Neighbour, ...]:
        """Every object of an item's video, itself among them, by object."""
        tables, _ = self._find(key, snapshot)
        return self._neighbours.of(
            (key.video_id, tables.snapshot.name), lambda: self._read_neighbours(tables, key.video_id)
        )

    def published(self, key: ItemKey) -> str | None:
        """The name of the newest snapshot if its verdict on this version is a person's, else None."""
        tables = self._newest_tables(key.video_id)
        rows = tables.of_video(key.video_id) if tables else []
        has_word = any(ItemKey.of_row(track) == key and verdict["decided_by"] is not None for track, verdict in rows)
        return tables.snapshot.name if tables and has_word else None

    def _find(self, key: ItemKey, snapshot: str) -> tuple[_SnapshotTables, tuple[TableRow, TableRow]]:
        # The newest snapshot first: its verdict counts. A superseded version stands in the one that its item was opened from.
        for tables in (self._newest_tables(key.video_id), self._named_tables(snapshot, key.video_id)):
            for rows in tables.of_video(key.video_id) if tables else ():
                if tables and ItemKey.of_row(rows[0]) == key:
                    return tables, rows
        raise UnknownItem(f"the store has no version {key.label_version} of object {key.track_id} any more")

    def _newest_tables(self, video_id: str) -> _SnapshotTables | None:
        try:
            newest = self._newest.of("", lambda: _required(newest_snapshot(self._objects)))
        except LookupError:
            return None
        return self._tables_of(newest, video_id)

    def _named_tables(self, name: str, video_id: str) -> _SnapshotTables | None:
        try:
            return self._tables_of(self._snapshots.of(name, lambda: read_snapshot(self._objects, name)), video_id)
        except ValueError:
            return None

    def _tables_of(self, snapshot: Snapshot, video_id: str) -> _SnapshotTables:
        """Return the rows of a video, or of all where the store has no way to read fewer."""
        if snapshot.in_parts:
            key, rows = f"{snapshot.name}/{video_id}", slices_of(self._objects, snapshot, [video_id])
            return self._videos.of(key, lambda: _SnapshotTables(snapshot, next(rows)))
        return self._tables.of(snapshot.name, lambda: _SnapshotTables(snapshot, next(slices_of(self._objects, snapshot))))

    def _read_track(self, key: ItemKey, snapshot: str) -> Track:
        tables, (row, verdict) = self._find(key, snapshot)
        frames = tuple(mask_from_row(mask) for mask in read_mask_rows(self._objects, row).to_pylist())
        return Track(
            video=tables.video(row["video_id"], row["batch"]),
            frames=frames,
            prompts=prompts_from_json(row["prompts"]),
            verdict=verdict_from_row(verdict),
            decided_by=verdict["decided_by"],
            presence_threshold=row["presence_threshold"],
            iou_bound=_iou_bound(tables.snapshot.qc),
            positions={frame.frame_idx: position for position, frame in enumerate(frames)},
        )

    def _read_neighbours(self, tables: _SnapshotTables, video_id: str) -> tuple[Neighbour, ...]:
        rows = tables.of_video(video_id)
        with MaskReader(self._objects) as masks:
            return tuple(
                Neighbour(
                    track_id=track["track_id"],
                    category=track["category"],
                    spans=spans_of(_visible(masks, track)),
                    flags=verdict_from_row(verdict).flags,
                    prompts=prompts_from_json(track["prompts"]),
                )
                for track, verdict in rows
            )


def _visible(masks: MaskReader, track: TableRow) -> list[tuple[int, bool]]:
    """(frame index, visible) for each tracked frame; no mask is read."""
    columns = masks.rows(track, columns=["video_id", "track_id", "frame_idx", "visible"])
    return list(zip(columns["frame_idx"].to_pylist(), columns["visible"].to_pylist(), strict=True))


def spans_of(visible_by_frame: Sequence[tuple[int, bool]]) -> tuple[Span, ...]:
    """Join tracked frames in which an object is visible into half-open spans of source frames."""
    spans: list[Span] = []
    open_since: int | None = None
    last = -1
    for frame_idx, visible in sorted(visible_by_frame):
        if visible and open_since is None:
            open_since = frame_idx
        if not visible and open_since is not None:
            spans.append((open_since, last + 1))
            open_since = None
        last = frame_idx
    if open_since is not None:
        spans.append((open_since, last + 1))
    return tuple(spans)


def _required(snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None:
        raise LookupError
    return snapshot


def _iou_bound(qc: TableRow) -> float | None:
    rules = qc.get("rules") or []
    bounds = [rule.get("review") for rule in rules if str(rule.get("signal", "")).startswith("predicted_iou_softmin")]
    return next((float(bound) for bound in bounds if bound is not None), None)

MOST = 40
# Natural logarithm of the ratio of areas of two frames: about what the rules call a jump.
AREA_JUMP = 0.6
IOU_BOUND = 0.75


def suspicious_frames(
    frames: Sequence[FrameMask], flags: Sequence[QCFlag] = (), *, iou_bound: float | None = None, most: int = MOST
) -> tuple[int, ...]:
    """At most `most` source frame indices, ascending: one for each stretch in doubt, the worst of it, and where flags begin.

    Doubt is a predicted IoU below the bound, an object that comes or goes, or an area that jumps. A track without any gives
    the frame with the lowest predicted IoU.
    """
    if not frames:
        return ()
    doubts = _doubts(frames, IOU_BOUND if iou_bound is None else iou_bound)
    worst = _worst_of_each_stretch(doubts)
    flag_starts = [flag.frame_span[0] for flag in flags if not _is_whole(flag, frames)]
    flagged = [k for k, frame in enumerate(frames) if frame.frame_idx in set(flag_starts)]
    chosen = [*dict.fromkeys([*sorted(worst, key=lambda k: -doubts[k]), *flagged])][:most]
    if not chosen:
        chosen = [min(range(len(frames)), key=lambda k: frames[k].predicted_iou)]
    return tuple(sorted(frames[k].frame_idx for k in chosen))


def _doubts(frames: Sequence[FrameMask], iou_bound: float) -> list[float]:
    doubts = [max(0.0, iou_bound - frame.predicted_iou) if frame.visible else 0.0 for frame in frames]
    for k, (before, after) in enumerate(itertools.pairwise(frames), start=1):
        if before.visible != after.visible:
            doubts[k] = max(doubts[k], 1.0)
        elif before.visible:
            jump = abs(math.log(after.area / before.area)) - AREA_JUMP
            doubts[k] = max(doubts[k], min(jump, 1.0), 0.0)
    return doubts


def _worst_of_each_stretch(doubts: Sequence[float]) -> list[int]:
    stretches = itertools.groupby(range(len(doubts)), key=lambda k: doubts[k] > 0)
    return [max(stretch, key=lambda k: doubts[k]) for doubted, stretch in stretches if doubted]


def _is_whole(flag: QCFlag, frames: Sequence[FrameMask]) -> bool:
    return flag.frame_span[0] <= frames[0].frame_idx and flag.frame_span[1] > frames[-1].frame_idx
