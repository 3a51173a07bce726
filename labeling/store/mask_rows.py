"""Rows of `masks` of one track, read by row group: what another track or another span holds is skipped, not decoded."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labeling.objects import Objects
from labeling.store import layout
from labeling.store.parquet import open_file, sound
from labeling.store.schemas import TableRow
from labeling.types import RLE

Span = tuple[int, int]
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def rows(
        self, track: TableRow, frame_span: Span | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
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
            inside = pc.and_(
                pc.greater_equal(rows["frame_idx"], frame_span[0]), pc.less(rows["frame_idx"], frame_span[1])
            )
            rows = rows.filter(inside)
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
    return rows.filter(
        pc.and_(pc.equal(rows["video_id"], track["video_id"]), pc.equal(rows["track_id"], track["track_id"]))
    )


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
