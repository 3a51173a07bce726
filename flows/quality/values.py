"""What rules and judges read of tracks with truth: signals as the store has them, and those of pairs as publish makes them.

Signals that a piece was made without are measured again from its masks, so that a piece outlives the signals of its day.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from flows.quality.make import FRAME_RATE
from flows.quality.truth import Truth
from labeling.config import QCConfig
from labeling.qc.containment import Overlap, containment
from labeling.qc.signals import SignalMeter
from labeling.store.judges import Judges
from labeling.store.records import mask_from_row
from labeling.store.verdicts import judge_tracks, judged_values
from labeling.types import RLE, TableRow

Key = tuple[str, str]       # video_id, track_id
Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows of `tracks` with all signals of today, in the order of a truth's, and their overlaps."""

    rows: Sequence[TableRow]
    overlaps: Mapping[Key, Overlap]

    def values(self) -> list[Values]:
        """Return what rules and judges read of each track."""
        by_key = {_key(row): row for row in self.rows}
        return [
            judged_values(row, overlap, by_key.get((row["video_id"], overlap.other or "")))
            for row, overlap in ((row, self.overlaps[_key(row)]) for row in self.rows)
        ]

    def verdicts(self, qc: QCConfig, judges: Judges) -> pa.Table:
        """Judge the tracks as publish does; rows of `verdicts` in the same order."""
        overlaps = {(*key, 1): overlap for key, overlap in self.overlaps.items()}
        return judge_tracks(self.rows, overlaps, {}, qc, judges)


def measured(truth: Truth, *, again: bool = False) -> Measured:
    """Gather what is measured of all tracks; with `again` their signals are taken anew from the masks."""
    masks: dict[Key, list[TableRow]] = defaultdict(list)
    names = None if again else ["video_id", "track_id", "frame_idx", "height", "width", "rle"]
    for row in (truth.masks.select(names) if names else truth.masks).to_pylist():
        masks[_key(row)].append(row)
    rows = truth.tracks.to_pylist()
    if again:
        rows = [dict(row) | signals_again(row, masks[_key(row)]) for row in rows]
    by_video: dict[str, dict[str, dict[int, RLE]]] = defaultdict(dict)
    for (video_id, track_id), of_track in masks.items():
        by_video[video_id][track_id] = {m["frame_idx"]: RLE((m["height"], m["width"]), m["rle"]) for m in of_track}
    overlaps = {
        (video_id, track_id): overlap
        for video_id, tracks in by_video.items() for track_id, overlap in containment(tracks).items()
    }
    return Measured(rows, overlaps)


def signals_again(track: TableRow, masks: Sequence[TableRow]) -> dict[str, float | None]:
    """Measure a track's signals from rows of `masks`, in ascending frames."""
    size_hw = masks[0]["height"], masks[0]["width"]
    meter = SignalMeter(size_hw, FRAME_RATE, track["presence_threshold"])
    for mask in sorted(masks, key=lambda mask: int(mask["frame_idx"])):
        meter.add(mask_from_row(mask))
    return dict(meter.signals().values)


def with_signals_of_today(truth: Truth) -> Truth:
    """Return the truth with `tracks` whose signals are measured anew."""
    return replace(truth, tracks=pa.Table.from_pylist(list(measured(truth, again=True).rows), schema=truth.tracks.schema))


def _key(row: TableRow) -> Key:
    return row["video_id"], row["track_id"]
