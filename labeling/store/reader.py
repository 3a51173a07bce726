"""Reading masklets back: one snapshot's current tracks, filtered by video, track, verdict and reason, masks as RLE or dense.

Rows of `masks` are read by row group: what another track or another span holds is skipped, not decoded.
Legend: N the track's stored frames; H, W the upright video's height and width.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labeling import rle
from labeling.ingest.listing import video_id_of
from labeling.objects import Objects, open_objects
from labeling.store import layout
from labeling.store.parquet import iterate_rows, open_file, sound
from labeling.store.records import (
    mask_from_row,
    prompts_from_json,
    provenance_from_row,
    signals_from_row,
    verdict_from_row,
    video_from_row,
)
from labeling.store.snapshots import Snapshot, read_snapshot, read_videos, slices_of
from labeling.types import RLE, Decision, FrameMask, Masklet, Signals, Span, TableRow, Verdict, Video

_HEX = frozenset("0123456789abcdef")
_BOUNDED = ("video_id", "track_id", "frame_idx")


@dataclass(frozen=True, slots=True)
class GroupBounds:
    """The least and greatest values of one row group, as its statistics have them; None where it has none."""

    video_id: tuple[str, str] | None
    track_id: tuple[str, str] | None
    frame_idx: tuple[int, int] | None

    def may_hold(self, video_id: str, track_id: str, frame_span: Span | None) -> bool:
        """Return whether the group may hold frames of the track in a half-open span."""
        if self.video_id and not self.video_id[0] <= video_id <= self.video_id[1]:
            return False
        # A group of several videos is ordered by video first, so that its tracks' bounds say less, and nothing false.
        if self.track_id and not self.track_id[0] <= track_id <= self.track_id[1]:
            return False
        return not (frame_span and self.frame_idx and (self.frame_idx[1] < frame_span[0] or self.frame_idx[0] >= frame_span[1]))


class MaskReader:
    """Reads tracks' rows; the file that was read last stays open, because neighbours share it. A context manager."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._open = ExitStack()
        self._file = ""
        self._opened: pq.ParquetFile | None = None
        self._bounds: Sequence[GroupBounds] = ()

    def __enter__(self) -> "MaskReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def rows(self, track: TableRow, frame_span: Span | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the masks of one row of `tracks` in ascending frames; those of a half-open span of frames alone if given.

        `columns` must hold video_id and track_id, and frame_idx with a span.
        """
        with sound(self._objects.uri(masks_file(track))):
            return self._rows(self._opened_for(track), track, frame_span, columns)

    def _rows(
        self, opened: pq.ParquetFile, track: TableRow, frame_span: Span | None, columns: Sequence[str] | None
    ) -> pa.Table:
        groups = groups_of(self._bounds, track["video_id"], track["track_id"], frame_span)
        # pyarrow 18 does not take an empty list of groups.
        rows = opened.read_row_groups(groups, columns=columns) if groups else opened.schema_arrow.empty_table()
        rows = of_track(rows.select(columns or rows.column_names), track)
        if frame_span:
            frame_idx = rows["frame_idx"]
            rows = rows.filter(pc.and_(pc.greater_equal(frame_idx, frame_span[0]), pc.less(frame_idx, frame_span[1])))
        elif len(rows) != track.get("num_masks", len(rows)):
            raise ValueError(f"it has {len(rows)} rows of object {track['track_id']}; expected {track['num_masks']}")
        return rows

    def _opened_for(self, track: TableRow) -> pq.ParquetFile:
        file = masks_file(track)
        if file != self._file:
            self._open.close()
            self._file = ""
            self._opened = self._open.enter_context(open_file(self._objects, file, ranged=bool(track.get("masks_file"))))
            self._bounds = bounds_of(self._opened.metadata)
            self._file = file
        return self._opened


def masks_file(track: TableRow) -> str:
    """Return the key of the file that holds the masks of a row of a snapshot's `tracks`, or of a batch's own."""
    return track.get("masks_file") or layout.data_file("masks", track["video_id"], track["batch"])


def read_mask_rows(objects: Objects, track: TableRow, frame_span: Span | None = None) -> pa.Table:
    """Read the masks of one track, as `MaskReader.rows` does."""
    with MaskReader(objects) as masks:
        return masks.rows(track, frame_span)


def rles_by_frame(rows: pa.Table) -> dict[int, RLE]:
    """Return the run lengths of rows of `masks` by frame index."""
    columns = (rows[name].to_pylist() for name in ("frame_idx", "height", "width", "rle"))
    return {frame_idx: RLE((height, width), counts) for frame_idx, height, width, counts in zip(*columns, strict=True)}


def of_track(rows: pa.Table, track: TableRow) -> pa.Table:
    """Keep the rows of one track."""
    return rows.filter(pc.and_(*(pc.equal(rows[name], track[name]) for name in ("video_id", "track_id"))))


def bounds_of(metadata: pq.FileMetaData) -> list[GroupBounds]:
    """Return what each row group holds at least and at most, from a file's metadata."""
    names = [metadata.schema.column(i).path for i in range(len(metadata.schema))]
    columns = [names.index(name) for name in _BOUNDED]
    bounds = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        stats = [group.column(column).statistics for column in columns]
        bounds.append(GroupBounds(*((s.min, s.max) if s is not None and s.has_min_max else None for s in stats)))
    return bounds


def groups_of(bounds: Sequence[GroupBounds], video_id: str, track_id: str, frame_span: Span | None = None) -> list[int]:
    """Return the row groups that may hold a track's frames in a half-open span."""
    return [number for number, group in enumerate(bounds) if group.may_hold(video_id, track_id, frame_span)]


@dataclass(frozen=True, slots=True, eq=False)
class StoredMasklet:
    """A masklet with what the store says of it: its video, signals, verdict, and who decided if a person did.

    `overlap` is the containment with `overlap_track_id`, None in a video with one object. `masks_NHW` holds the dense masks
    where they were asked for, in the order of `masklet.frames`.
    """

    masklet: Masklet
    video: Video
    signals: Signals
    verdict: Verdict
    overlap: float | None
    overlap_track_id: str | None
    decided_by: str | None
    decided_at: str | None
    masks_NHW: npt.NDArray[np.bool_] | None = None

    @property
    def track_id(self) -> str:
        """The object's id as text, as the tables name it."""
        return self.masklet.track_id

    @property
    def frames(self) -> tuple[FrameMask, ...]:
        """The masks as run lengths with their scores, ascending."""
        return self.masklet.frames

    def reasons(self) -> tuple[str, ...]:
        """The reasons of the flags, the worst first."""
        return tuple(flag.reason for flag in self.verdict.flags)


def read_masklets(
    root: str | Objects,
    video: str | None = None,
    verdict: str | Decision | Collection[str] | None = None,
    reason: str | None = None,
    track: str | int | None = None,
    snapshot: int | str | Snapshot | None = None,
    dense: bool = False,
    frame_span: Span | None = None,
) -> Iterator[StoredMasklet]:
    """Yield a snapshot's current masklets by (video_id, object_id), one in memory at a time.

    Args:
        root: A folder, s3://bucket/prefix, or opened objects.
        video: A video's key, uri or id.
        verdict: One verdict or several: accept, review, reject.
        reason: A flag's reason; masklets without such a flag are left out.
        track: An object's id.
        snapshot: A version's number or name; the newest by default.
        dense: Decode every mask: N x H x W booleans for each masklet.
        frame_span: Half-open span of source frame indices; frames outside are neither read nor yielded.

    Raises:
        ValueError: there is no such snapshot or verdict, or the root was never published.
        DamagedStore: a file or row is not as it was written; what was yielded before it stands.
    """
    objects = open_objects(root) if isinstance(root, str) else root
    version = snapshot if isinstance(snapshot, Snapshot) else read_snapshot(objects, snapshot)
    with MaskReader(objects) as masks:
        for rows in slices_of(objects, version, _ids_of(objects, version, video) if video is not None else None):
            selected = _selected(rows.verdicts, verdict=verdict, reason=reason, track=track)
            # Both tables are by (video_id, object_id), so one filter serves both.
            verdicts, tracks = rows.verdicts.filter(selected), rows.tracks.filter(selected)
            videos = rows.videos.filter(pc.is_in(rows.videos["video_id"], pc.unique(tracks["video_id"])))
            videos_by_batch = {(row["video_id"], row["batch"]): row for row in videos.to_pylist()}
            for verdict_row, row in zip(iterate_rows(verdicts), iterate_rows(tracks), strict=True):
                yield _masklet(masks, row, verdict_row, videos_by_batch[row["video_id"], row["batch"]], dense, frame_span)


def _selected(
    verdicts: pa.Table,
    *,
    verdict: str | Decision | Collection[str] | None,
    reason: str | None,
    track: str | int | None,
) -> pa.Array:
    """Return which rows of `verdicts` are asked for, as booleans."""
    selected = pa.array(np.ones(len(verdicts), bool))
    if verdict is not None:
        selected = pc.and_(selected, pc.is_in(verdicts["verdict"], pa.array(_verdicts_of(verdict), pa.string())))
    if track is not None:
        selected = pc.and_(selected, pc.equal(verdicts["track_id"], str(track)))
    if reason is not None:
        flags = verdicts["flags"].to_pylist()
        selected = pc.and_(selected, pa.array([any(f["reason"] == reason for f in row) for row in flags], pa.bool_()))
    return selected


def _ids_of(objects: Objects, snapshot: Snapshot, video: str) -> list[str]:
    """Return the ids that a video's id, key or uri may mean; an id is 16 hex digits, and a key may look like one."""
    ids = [video_id_of(video)]
    if len(video) == 16 and _HEX.issuperset(video):
        ids.append(video)
    # A uri is looked for in all rows, so only where the name is no key.
    if "/" in video and not len(read_videos(objects, snapshot, ids)):
        for rows in slices_of(objects, snapshot):
            ids += rows.videos.filter(pc.equal(rows.videos["uri"], video))["video_id"].to_pylist()
    return ids


def _verdicts_of(verdict: str | Decision | Collection[str]) -> list[str]:
    verdicts: Iterable[str] = [verdict] if isinstance(verdict, str) else verdict
    unknown = sorted(set(verdicts) - set(Decision))
    if unknown:
        raise ValueError(f"verdict is {unknown[0]!r}; expected {', '.join(Decision)}")
    return [Decision(name).value for name in verdicts]


def _masklet(
    masks: MaskReader, row: TableRow, verdict_row: TableRow, video_row: TableRow, dense: bool, frame_span: Span | None
) -> StoredMasklet:
    frames = tuple(mask_from_row(mask) for mask in masks.rows(row, frame_span).to_pylist())
    masklet = Masklet(
        video_id=row["video_id"],
        object_id=row["object_id"],
        category=row["category"],
        prompts=prompts_from_json(row["prompts"]),
        frames=frames,
        label_version=row["label_version"],
        key=row["key"],
        provenance=provenance_from_row(row),
    )
    video = video_from_row(video_row)
    return StoredMasklet(
        masklet=masklet,
        video=video,
        signals=signals_from_row(row),
        verdict=verdict_from_row(verdict_row),
        overlap=verdict_row["overlap"],
        overlap_track_id=verdict_row["overlap_track_id"],
        decided_by=verdict_row["decided_by"],
        decided_at=verdict_row["decided_at"],
        masks_NHW=dense_masks(frames, video.size_hw) if dense else None,
    )


def dense_masks(frames: Collection[FrameMask], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Decode masks into one array (N, H, W); 1080p takes 2 MB a frame."""
    masks_NHW = np.zeros((len(frames), *size_hw), bool)
    for index, frame in enumerate(frames):
        masks_NHW[index] = rle.decode(frame.rle)
    return masks_NHW
