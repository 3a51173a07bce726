"""Publish: markers since the last snapshot become a new one, by a single conditional write.

Order: stage what the snapshot names, commit `snapshots/vN.json` by put-if-absent, then tidy up. A crash before the commit
leaves a store as it was, one after it leaves markers that the next publish finds already taken in. Two that publish at
once stage beside each other, one commits, and the other starts over from what that one made.
"""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labeling.config import QCConfig
from labeling.errors import BadConfiguration, DamagedStore, StoreBusy
from labeling.objects import Objects, map_objects
from labeling.store import layout, schemas
from labeling.store.commit import commit, delete_all
from labeling.store.keys import canonical_json
from labeling.store.ledger import BadMarker, Ledger, Marker, read_ledger
from labeling.store.parquet import concat, newest, read
from labeling.store.snapshots import Contents, Snapshot, newest_snapshot, read_contents
from labeling.store.verdicts import Word, judge_tracks, measure_overlaps, overlaps_in, words_in, words_of
from labeling.store.versions.card import mend_cards
from labeling.types import ReviewDecision

log = logging.getLogger(__name__)

_TRIES = 8
_ROW_NAMES = ["video_id", "object_id", "label_version", "batch"]


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch that waits, with its rows of `tracks` and `videos`."""

    marker: Marker
    tracks: Any
    videos: Any


def publish(
    objects: Objects,
    qc: QCConfig,
    *,
    run_id: str,
    decisions: Iterable[ReviewDecision] = (),
    still_held: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Take in every pending marker, judge what is new or judged by other rules, and commit the next snapshot.

    A marker that is not as it was written, or whose files are not, is set aside and named in the log: its video is due again.
    People's accepts and rejects stand above the rules for the version they were said of, in this snapshot and those after
    it. When nothing has changed the newest snapshot is returned as it is. `still_held` is called right before the commit
    (a `RunLock.check`).

    Raises:
        StoreBusy: other publishers were faster every time.
    """
    layout.check_run_id(run_id)
    words = words_of(decisions)
    for _ in range(_TRIES):
        ledger = read_ledger(objects)
        before = read_contents(objects, ledger.snapshot)
        fresh, bad = _rows_of(objects, _not_packed(ledger.markers, before.tracks))
        if bad or ledger.bad:
            still_held()
            _set_aside(objects, [*ledger.bad, *bad])
            continue
        after = _advance(objects, ledger, before, fresh, qc, words)
        if ledger.snapshot is not None and after.same_as(before) and ledger.snapshot.qc == _plain(qc):
            snapshot: Snapshot | None = ledger.snapshot
        else:
            snapshot = commit(objects, ledger.snapshot, after, _plain(qc), run_id=run_id, still_held=still_held)
        if snapshot is not None:
            delete_all(objects, [marker.object_key for marker in ledger.markers])
            mend_cards(objects)
            return snapshot
    raise StoreBusy(f"{objects.root}: {_TRIES} times another publisher was faster; let it end and publish again")


def recompute(
    objects: Objects,
    qc: QCConfig,
    *,
    run_id: str,
    decisions: Iterable[ReviewDecision] = (),
    still_held: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Judge every current masklet anew from its stored signals, under other rules, and take decisions in; nothing is tracked.

    Raises:
        ValueError: the store was never published.
    """
    if newest_snapshot(objects) is None:
        raise BadConfiguration(f"{objects.root} has no snapshot, so there is nothing to judge; `labeling run` publishes one")
    return publish(objects, qc, run_id=run_id, decisions=decisions, still_held=still_held)


def missing_results(objects: Objects, snapshot: Snapshot, names: Iterable[str]) -> list[str]:
    """Return those of the batches (`VIDEO_ID-BATCH`, as receipts name them) whose results a snapshot did not take in."""
    ledger = read(objects, snapshot.ledger, schemas.LEDGER)
    there = set(zip(ledger["video_id"].to_pylist(), ledger["batch"].to_pylist(), strict=True))
    return [name for name in names if tuple(name.split("-")) not in there]


def _advance(
    objects: Objects, ledger: Ledger, before: Contents, fresh: Sequence[_Batch], qc: QCConfig, words: Mapping[Any, Word]
) -> Contents:
    """Return what the next snapshot holds."""
    schema = schemas.SNAPSHOT_TRACKS
    tracks = newest(concat([before.tracks, *(batch.tracks for batch in fresh)], schema))
    videos = concat([before.videos, *(batch.videos for batch in fresh)], schemas.VIDEOS)
    old_qc = ledger.snapshot.qc if ledger.snapshot else None
    return Contents(
        ledger=ledger.table.sort_by([(name, "ascending") for name in _ROW_NAMES]),
        files=_files(before.files, [batch.marker for batch in fresh]),
        tracks=tracks,
        videos=_videos_of(videos, tracks),
        verdicts=_verdicts(objects, before, tracks, qc, words, all_anew=old_qc != _plain(qc)),
    )


def _not_packed(markers: Sequence[Marker], tracks: Any) -> list[Marker]:
    """Leave out markers that a killed publisher had taken in already and whose rows were packed since."""
    if not markers:
        return []
    rows = tracks.filter(pc.is_valid(tracks["masks_file"]))
    packed = set(zip(rows["video_id"].to_pylist(), rows["batch"].to_pylist(), strict=True))
    return [marker for marker in markers if (marker.video_id, marker.batch) not in packed]


def _rows_of(objects: Objects, markers: Iterable[Marker]) -> tuple[list[_Batch], list[BadMarker]]:
    """Read the small files of each batch that waits, many at a time; those that are not as their marker says come apart."""
    found = list(map_objects(objects, lambda marker: _batch_of(objects, marker), markers))
    return [b for b in found if isinstance(b, _Batch)], [b for b in found if isinstance(b, BadMarker)]


def _batch_of(objects: Objects, marker: Marker) -> _Batch | BadMarker:
    noted = {str(file["table"]): file for file in marker.files}
    try:
        masks = objects.stat(marker.file_of("masks"))
        if masks is None or masks.num_bytes != noted["masks"]["num_bytes"]:
            found = "is gone" if masks is None else f"has {masks.num_bytes} bytes; noted were {noted['masks']['num_bytes']}"
            return BadMarker(marker.object_key, f"{marker.file_of('masks')} {found}")
        tracks = read(objects, marker.file_of("tracks"), schemas.SNAPSHOT_TRACKS)
        videos = read(objects, marker.file_of("videos"), schemas.VIDEOS)
    except DamagedStore as error:
        return BadMarker(marker.object_key, str(error))
    names = ["object_id", "label_version"]
    said = sorted(tuple(result[name] for name in names) for result in marker.results)
    if sorted(zip(*(tracks[name].to_pylist() for name in names), strict=True)) != said or len(videos) != 1:
        return BadMarker(marker.object_key, f"{marker.file_of('tracks')} holds other objects than the marker names")
    return _Batch(marker, tracks, videos)


def _set_aside(objects: Objects, bad: Iterable[BadMarker]) -> None:
    """Move markers out of the way of all that is whole; nothing of them is lost."""
    for marker in bad:
        place = layout.set_aside(marker.object_key)
        with suppress(FileNotFoundError):
            objects.put(place, objects.get(marker.object_key))
            objects.delete(marker.object_key)
            log.warning(
                "%s is set aside as %s (%s); its video is labelled again by the next run",
                objects.uri(marker.object_key), place, marker.problem,
            )


def _files(before: Any, markers: Iterable[Marker]) -> Any:
    """Add the markers' files; a file that was written again has the newer marker's checksum."""
    fresh = {str(f["file"]): f for marker in markers for f in marker.files}
    kept = before.filter(pc.invert(pc.is_in(before["file"], pa.array(list(fresh), pa.string()))))
    rows = pa.Table.from_pylist([{name: f[name] for name in schemas.FILES.names} for f in fresh.values()], schemas.FILES)
    return concat([kept, rows], schemas.FILES).sort_by("file").combine_chunks()


def _videos_of(videos: Any, tracks: Any) -> Any:
    """Keep the rows of batches that current tracks come from, each once."""
    wanted = tracks.select(["video_id", "batch"]).group_by(["video_id", "batch"]).aggregate([])
    kept = videos.join(wanted, ["video_id", "batch"], join_type="left semi").sort_by(
        [("video_id", "ascending"), ("batch", "ascending"), ("created_at", "ascending")]
    )
    names = kept["video_id"].to_pylist(), kept["batch"].to_pylist()
    last = {pair: row for row, pair in enumerate(zip(*names, strict=True))}
    return concat([kept.take(pa.array(last.values(), pa.int64())).cast(schemas.VIDEOS)], schemas.VIDEOS)


def _verdicts(
    objects: Objects, before: Contents, tracks: Any, qc: QCConfig, words: Mapping[Any, Word], *, all_anew: bool
) -> Any:
    """Judge what must be judged and keep the other rows as they are, in the order of `tracks`."""
    names = tracks.select(_ROW_NAMES)
    fresh = names.join(before.verdicts.select(_ROW_NAMES), _ROW_NAMES, join_type="left anti")
    changed = pc.unique(fresh["video_id"])
    spoken = words_in(before.verdicts)
    news = {track: word for track, word in words.items() if spoken.get(track) != word}
    touched = pa.concat_arrays([_flat(changed), pa.array(sorted({track[0] for track in news}), pa.string())])
    anew = tracks if all_anew else tracks.filter(pc.is_in(tracks["video_id"], touched))
    kept = before.verdicts.filter(pc.invert(pc.is_in(before.verdicts["video_id"], pc.unique(anew["video_id"]))))
    rows = anew.to_pylist()
    again = set(changed.to_pylist())
    overlaps = overlaps_in(before.verdicts)
    overlaps = {track: o for track, o in overlaps.items() if track[0] not in again}
    overlaps |= measure_overlaps(objects, [row for row in rows if row["video_id"] in again])
    judged = judge_tracks(rows, overlaps, spoken | news, qc)
    order = [("video_id", "ascending"), ("object_id", "ascending")]
    return concat([kept, judged], schemas.VERDICTS).sort_by(order).combine_chunks()


def _flat(array: Any) -> Any:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _plain(qc: QCConfig) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(canonical_json(dataclasses.asdict(qc)))
    return plain
