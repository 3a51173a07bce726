"""What the next version holds: the contents before, and the results that wait; of the whole dataset or of some of its videos.

Containment ties a video's objects together, so videos are judged whole: those with a new result or a new decision, all of
them by other rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from labeling.config import QCConfig
from labeling.errors import DamagedStore
from labeling.objects import Objects, map_objects
from labeling.store import schemas
from labeling.store.contents import Contents, queue_counts
from labeling.store.judges import Judges, keep
from labeling.store.ledger import BadMarker, Marker, ledger_table
from labeling.store.parquet import concat, newest, read
from labeling.store.verdicts import (
    HumanVerdict,
    Track,
    human_verdicts_in,
    judge_tracks,
    measure_overlaps,
    novel_places,
    overlaps_in,
    with_novel,
)

_ROW_NAMES = ["video_id", "object_id", "label_version", "batch"]


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch that waits, with its rows of `tracks` and `videos`."""

    marker: Marker
    tracks: pa.Table
    videos: pa.Table


@dataclass(frozen=True, slots=True)
class Judging:
    """What masklets are judged by: rules, fitted judges, and what people decided; `all_anew` where the rules are others."""

    qc: QCConfig
    judges: Judges
    human: Mapping[Track, HumanVerdict]
    all_anew: bool

    @property
    def sends_novel(self) -> bool:
        """Whether the most novel of the accepted get places in the queue; a bound on risk that somebody set decides alone."""
        return self.qc.accept_risk is None and bool(self.judges.all)


def not_packed(markers: Sequence[Marker], tracks: pa.Table) -> list[Marker]:
    """Leave out markers that a killed publisher had taken in already and whose rows were packed since."""
    if not markers:
        return []
    rows = tracks.filter(pc.is_valid(tracks["masks_file"]))
    packed = set(zip(rows["video_id"].to_pylist(), rows["batch"].to_pylist(), strict=True))
    return [marker for marker in markers if (marker.video_id, marker.batch) not in packed]


def read_batches(objects: Objects, markers: Iterable[Marker]) -> tuple[list[PendingBatch], list[BadMarker]]:
    """Read the small files of each batch that waits, many at a time; those that are not as their marker says come apart."""
    batches = list(map_objects(objects, lambda marker: _read_batch(objects, marker), markers))
    return [b for b in batches if isinstance(b, PendingBatch)], [b for b in batches if isinstance(b, BadMarker)]


def _read_batch(objects: Objects, marker: Marker) -> PendingBatch | BadMarker:
    file_rows = {str(file["table"]): file for file in marker.files}
    try:
        # Of masks the length alone: reading them all would cost as much as the run took to write. `upkeep` reads them.
        masks = objects.stat(marker.file_of("masks"))
        num_bytes = file_rows["masks"]["num_bytes"]
        if masks is None or masks.num_bytes != num_bytes:
            problem = "is gone" if masks is None else f"has {masks.num_bytes} bytes; noted were {num_bytes}"
            return BadMarker(marker.object_key, f"{marker.file_of('masks')} {problem}")
        tracks = read(objects, marker.file_of("tracks"), schemas.SNAPSHOT_TRACKS)
        videos = read(objects, marker.file_of("videos"), schemas.VIDEOS)
    except DamagedStore as error:
        return BadMarker(marker.object_key, str(error))
    names = ["object_id", "label_version"]
    results = sorted(tuple(result[name] for name in names) for result in marker.results)
    if sorted(zip(*(tracks[name].to_pylist() for name in names), strict=True)) != results or len(videos) != 1:
        return BadMarker(marker.object_key, f"{marker.file_of('tracks')} holds other objects than the marker names")
    return PendingBatch(marker, tracks, videos)


def grown(before: Contents, markers: Sequence[Marker], batches: Sequence[PendingBatch]) -> Contents:
    """Return the contents with the results that wait; the verdicts are those before."""
    tracks = newest(concat([before.tracks, *(batch.tracks for batch in batches)], schemas.SNAPSHOT_TRACKS))
    videos = concat([before.videos, *(batch.videos for batch in batches)], schemas.VIDEOS)
    return Contents(
        ledger=ledger_table(before.ledger, markers).sort_by([(name, "ascending") for name in _ROW_NAMES]),
        files=_files(before.files, [batch.marker for batch in batches]),
        tracks=tracks,
        videos=_videos_of(videos, tracks),
        verdicts=before.verdicts,
    )


def _files(before: pa.Table, markers: Iterable[Marker]) -> pa.Table:
    """Add the markers' files; a file that was written again has the newer marker's checksum."""
    fresh = {str(f["file"]): f for marker in markers for f in marker.files}
    untouched = before.filter(pc.invert(pc.is_in(before["file"], pa.array(list(fresh), pa.string()))))
    rows = pa.Table.from_pylist([{name: f[name] for name in schemas.FILES.names} for f in fresh.values()], schemas.FILES)
    return concat([untouched, rows], schemas.FILES).sort_by("file").combine_chunks()


def _videos_of(videos: pa.Table, tracks: pa.Table) -> pa.Table:
    """Keep the rows of batches that current tracks come from, each once."""
    current = tracks.select(["video_id", "batch"]).group_by(["video_id", "batch"]).aggregate([])
    rows = videos.join(current, ["video_id", "batch"], join_type="left semi").sort_by(
        [("video_id", "ascending"), ("batch", "ascending"), ("created_at", "ascending")]
    )
    # A batch that was written again has two rows; the later one describes the files that are there.
    last = {pair: row for row, pair in enumerate(zip(rows["video_id"].to_pylist(), rows["batch"].to_pylist(), strict=True))}
    return concat([rows.take(pa.array(last.values(), pa.int64())).cast(schemas.VIDEOS)], schemas.VIDEOS)


def judged(objects: Objects, before: Contents, after: Contents, by: Judging) -> Contents:
    """Judge what must be judged and keep the other rows as they are, in the order of `tracks`; nothing is sent as novel."""
    tracks = after.tracks
    fresh = tracks.select(_ROW_NAMES).join(before.verdicts.select(_ROW_NAMES), _ROW_NAMES, join_type="left anti")
    relabelled = set(fresh["video_id"].to_pylist())
    decided = human_verdicts_in(before.verdicts)
    new_decisions = {track: verdict for track, verdict in by.human.items() if decided.get(track) != verdict}
    touched = pa.array(sorted(relabelled | {track[0] for track in new_decisions}), pa.string())
    to_judge = tracks if by.all_anew else tracks.filter(pc.is_in(tracks["video_id"], touched))
    judged_ids = pc.unique(to_judge["video_id"])
    untouched = before.verdicts.filter(pc.invert(pc.is_in(before.verdicts["video_id"], judged_ids)))
    rows = to_judge.to_pylist()
    # Masks are read of videos with new results alone; elsewhere what was measured still holds.
    overlaps = {track: overlap for track, overlap in overlaps_in(before.verdicts).items() if track[0] not in relabelled}
    overlaps |= measure_overlaps(objects, [row for row in rows if row["video_id"] in relabelled])
    verdicts = judge_tracks(rows, overlaps, decided | new_decisions, by.qc, by.judges)
    asked = set(verdicts["judge"].to_pylist())
    for judge in by.judges.all:
        if judge.digest in asked:
            keep(objects, judge)
    order = [("video_id", "ascending"), ("object_id", "ascending")]
    return replace(after, verdicts=concat([untouched, verdicts], schemas.VERDICTS).sort_by(order).combine_chunks())


def sent_novel(after: Contents, by: Judging, places: int | None = None, *, counts: Mapping[str, int] | None = None) -> Contents:
    """Send the most novel to review: as many as get 15 % of the queue's places, or `places`.

    `counts` say what the rest of the dataset, whose masklets are not in `after`, has in doubt and sent as novel. The same for
    the same rows, whichever of them are new.
    """
    if not by.sends_novel:
        return after
    if places is None:
        elsewhere = counts or {}
        doubted = queue_counts(after.verdicts)["doubted"] + elsewhere.get("doubted", 0)
        places = novel_places(doubted) - elsewhere.get("novel", 0)
    return replace(after, verdicts=with_novel(after.verdicts, places).combine_chunks())


def counts_elsewhere(counts: Mapping[str, int], before: Contents) -> dict[str, int]:
    """Return how many masklets are doubted, and have a place as novel, in the rest of a dataset that counts so many."""
    return {name: counts.get(name, 0) - count for name, count in queue_counts(before.verdicts).items()}
