"""Rows of `masks` of one track, by row group: what another track or another span holds is skipped, not decoded."""

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from labeling.objects import Objects
from labeling.store import layout
from labeling.store.parquet import open_file

Span = tuple[int, int]


def read_mask_rows(objects: Objects, track: Mapping[str, Any], frame_span: Span | None = None) -> Any:
    """Read the masks of one row of `tracks` in ascending frames, those of a half-open span of frames alone if given."""
    with open_file(objects, layout.data_file("masks", track["video_id"], track["batch"])) as opened:
        read = opened.read_row_groups(groups_of(opened.metadata, track["track_id"], frame_span))
    kept = pc.equal(read["track_id"], track["track_id"])
    if frame_span:
        inside = pc.and_(
            pc.greater_equal(read["frame_idx"], frame_span[0]), pc.less(read["frame_idx"], frame_span[1])
        )
        kept = pc.and_(kept, inside)
    return read.filter(kept)


def groups_of(metadata: Any, track_id: str, frame_span: Span | None = None) -> list[int]:
    """Return the row groups that may hold a track's frames in a half-open span, by their statistics."""
    names = [metadata.schema.column(i).path for i in range(len(metadata.schema))]
    track_at, frame_at = names.index("track_id"), names.index("frame_idx")
    kept = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        tracks, frames = group.column(track_at).statistics, group.column(frame_at).statistics
        if tracks is not None and not tracks.min <= track_id <= tracks.max:
            continue
        if frame_span and frames is not None and (frames.max < frame_span[0] or frames.min >= frame_span[1]):
            continue
        kept.append(number)
    return kept
