"""What rules and judges read of tracks with truth: signals as the store has them, and those of pairs as publish makes them.

Signals that a piece was made without are measured from its masks, so that a piece outlives the signals of its day.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from flows.quality.make import FRAME_RATE
from flows.quality.truth import Truth
from labeling.config import QCConfig
from labeling.qc.containment import Overlap, containment
from labeling.qc.signals import LATER_COLUMNS, SignalMeter
from labeling.store.judges import Judges
from labeling.store.records import mask_from_row
from labeling.store.verdicts import judge_tracks, judged_values
from labeling.types import RLE, TableRow

Key = tuple[str, str]       # video_id, track_id


@dataclass(frozen=True, slots=True)
class TruthValues:
    """Rows of `tracks` with all signals of today, in the order of a truth's, and their overlaps by id, track and version."""

    rows: Sequence[TableRow]
    overlaps: Mapping[tuple[str, str, int], Overlap]

    def values(self) -> list[dict[str, float | None]]:
        """Return what rules and judges read of each track."""
        return judged_values(self.rows, self.overlaps)

    def verdicts(self, qc: QCConfig, judges: Judges) -> pa.Table:
        """Judge the tracks as publish does; rows of `verdicts` in the same order."""
        return judge_tracks(self.rows, self.overlaps, {}, qc, judges)


def measured(truth: Truth) -> TruthValues:
    """Gather what is measured of all tracks."""
    masks: dict[Key, list[TableRow]] = defaultdict(list)
    for row in truth.masks.to_pylist():
        masks[row["video_id"], row["track_id"]].append(row)
    rows, by_video = [], defaultdict[str, dict[str, Mapping[int, RLE]]](dict)
    for track in truth.tracks.to_pylist():
        key = track["video_id"], track["track_id"]
        lacking = track["num_visible"] and all(track[name] is None for name in LATER_COLUMNS)
        rows.append(dict(track) | signals_again(track, masks[key]) if lacking else track)
        by_video[key[0]][key[1]] = {m["frame_idx"]: RLE((m["height"], m["width"]), m["rle"]) for m in masks[key]}
    versions = {(track["video_id"], track["track_id"]): track["label_version"] for track in rows}
    overlaps = {
        (video_id, track_id, versions[video_id, track_id]): overlap
        for video_id, tracks in by_video.items() if len(tracks) > 1
        for track_id, overlap in containment(tracks).items()
    }
    return TruthValues(rows, overlaps)


def signals_again(track: TableRow, masks: Sequence[TableRow]) -> dict[str, float | None]:
    """Measure a track's signals from its rows of `masks`."""
    meter = SignalMeter((masks[0]["height"], masks[0]["width"]), FRAME_RATE, track["presence_threshold"])
    for mask in sorted(masks, key=lambda mask: int(mask["frame_idx"])):
        meter.add(mask_from_row(mask))
    return dict(meter.signals().values)
