"""Publish: markers since the last snapshot become a new one, by a single conditional write.

Order: stage what the snapshot names, commit `snapshots/vN.json` by put-if-absent, then tidy up. A crash before the commit
leaves a store as it was, one after it leaves markers that the next publish finds already taken in. Two that publish at
once stage beside each other, one commits, and the other starts over from what that one made.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labeling.config import QCConfig
from labeling.objects import Objects
from labeling.store import layout, schemas
from labeling.store.commit import commit, delete_all
from labeling.store.each import each
from labeling.store.keys import canonical_json
from labeling.store.ledger import Ledger, Marker, read_ledger
from labeling.store.parquet import concat, newest, read
from labeling.store.snapshots import Contents, Snapshot, newest_snapshot, read_contents
from labeling.store.verdicts import Word, judge_tracks, measure_overlaps, overlaps_in, words_in, words_of
from labeling.types import ReviewDecision

_TRIES = 8
_ROW_NAMES = ["video_id", "object_id", "label_version", "batch"]


def publish(
    objects: Objects,
    qc: QCConfig,
    *,
    run_id: str,
    decisions: Iterable[ReviewDecision] = (),
    still_held: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Take in every pending marker, judge what is new or judged by other rules, and commit the next snapshot.

    People's accepts and rejects stand above the rules for the version they were said of, in this snapshot and those after
    it. When nothing has changed the newest snapshot is returned as it is. `still_held` is called right before the commit
    (a `RunLock.check`).

    Raises:
        RuntimeError: other publishers were faster every time.
    """
    layout.check_run_id(run_id)
    words = words_of(decisions)
    for _ in range(_TRIES):
        ledger = read_ledger(objects)
        before = read_contents(objects, ledger.snapshot)
        after = _advance(objects, ledger, before, qc, words)
        if ledger.snapshot is not None and after.same_as(before) and ledger.snapshot.qc == _plain(qc):
            snapshot: Snapshot | None = ledger.snapshot
        else:
            snapshot = commit(objects, ledger.snapshot, after, _plain(qc), run_id=run_id, still_held=still_held)
        if snapshot is not None:
            delete_all(objects, [marker.object_key for marker in ledger.markers])
            return snapshot
    raise RuntimeError(f"{objects.root}: {_TRIES} times another publisher was faster; let it end and publish again")


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
        raise ValueError(f"{objects.root} has no snapshot, so there is nothing to judge; `labeling run` publishes one")
    return publish(objects, qc, run_id=run_id, decisions=decisions, still_held=still_held)


def _advance(objects: Objects, ledger: Ledger, before: Contents, qc: QCConfig, words: Mapping[Any, Word]) -> Contents:
    """Return what the next snapshot holds."""
    schema, markers = schemas.SNAPSHOT_TRACKS, _not_packed(ledger.markers, before.tracks)
    tracks = newest(concat([before.tracks, *_rows_of(objects, markers, "tracks", schema)], schema))
    videos = concat([before.videos, *_rows_of(objects, markers, "videos", schemas.VIDEOS)], schemas.VIDEOS)
    old_qc = ledger.snapshot.qc if ledger.snapshot else None
    return Contents(
        ledger=ledger.table.sort_by([(name, "ascending") for name in _ROW_NAMES]),
        files=_files(before.files, markers),
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


def _rows_of(objects: Objects, markers: Iterable[Marker], table: str, schema: Any) -> list[Any]:
    """Read one small file of each batch that waits, many at a time."""
    keys = sorted({marker.file_of(table) for marker in markers})
    return list(each(objects, lambda key: read(objects, key, schema), keys))


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
