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

import pyarrow as pa
import pyarrow.compute as pc

from labeling.config import QCConfig
from labeling.errors import BadConfiguration, DamagedStore, StoreBusy
from labeling.objects import Objects, map_objects
from labeling.store import layout, schemas
from labeling.store.commit import commit, delete_all
from labeling.store.judges import Judges, judges_of, keep
from labeling.store.keys import canonical_json
from labeling.store.ledger import BadMarker, Ledger, Marker, read_ledger
from labeling.store.parquet import concat, newest, read
from labeling.store.snapshots import Contents, Snapshot, newest_snapshot, read_contents
from labeling.store.verdicts import (
    HumanVerdict,
    Track,
    human_verdicts_in,
    human_verdicts_of,
    judge_tracks,
    measure_overlaps,
    overlaps_in,
    with_novel,
)
from labeling.store.versions.card import mend_cards
from labeling.types import JsonObject, ReviewDecision

log = logging.getLogger(__name__)

_TRIES = 8
_ROW_NAMES = ["video_id", "object_id", "label_version", "batch"]


@dataclass(frozen=True, slots=True)
class _PendingBatch:
    """A batch that waits, with its rows of `tracks` and `videos`."""

    marker: Marker
    tracks: pa.Table
    videos: pa.Table


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
    (a `RunLock.check`). Written are the snapshot's tables, `snapshots/vNNNNNN.json` and its card; taken-in markers go.

    Raises:
        StoreBusy: other publishers were faster every time, or `still_held` says that the lock is lost.
        DamagedStore: a table of the newest snapshot is not as it was written.
        Unavailable: the store does not answer; what was published before stands.
    """
    layout.check_run_id(run_id)
    human, judges = human_verdicts_of(decisions), judges_of(objects, qc.judge)
    plain_qc = _plain(qc, judges)
    for _ in range(_TRIES):
        ledger = read_ledger(objects)
        before = read_contents(objects, ledger.snapshot)
        batches, bad = _read_batches(objects, _not_packed(ledger.markers, before.tracks))
        # Set aside before anything is staged: a snapshot must not name files that are not as they were written.
        if bad or ledger.bad:
            still_held()
            _set_aside(objects, [*ledger.bad, *bad])
            continue
        after = _advance(objects, ledger, before, batches, qc, judges, human)
        # A version that says nothing new would only push older ones out of what `vacuum` keeps.
        if ledger.snapshot is not None and after.same_as(before) and ledger.snapshot.qc == plain_qc:
            snapshot: Snapshot | None = ledger.snapshot
        else:
            snapshot = commit(objects, ledger.snapshot, after, plain_qc, run_id=run_id, still_held=still_held)
        # None: another publisher was faster, so what was staged has another parent than the newest; start over from that one.
        if snapshot is not None:
            # Only now: until the commit the markers are all that says that these results exist.
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


def nothing_to_publish(objects: Objects, qc: QCConfig, *, decisions: Iterable[ReviewDecision] = ()) -> Snapshot | None:
    """Return the newest snapshot where `publish` would return it as it is; None where it would change anything.

    That is: no marker waits, the rules are those it was judged by, and no decision says anything new of a current masklet.
    Raises DamagedStore where a table of the snapshot is not as it was written.
    """
    ledger = read_ledger(objects)
    snapshot = ledger.snapshot
    if snapshot is None or ledger.markers or ledger.bad or snapshot.qc != _plain(qc, judges_of(objects, qc.judge)):
        return None
    verdicts = read_contents(objects, snapshot).verdicts
    decided = human_verdicts_in(verdicts)
    new_decisions = {track for track, verdict in human_verdicts_of(decisions).items() if decided.get(track) != verdict}
    # What was said of a version that is no longer current changes nothing.
    names = ["video_id", "track_id", "label_version"]
    current = zip(*(verdicts[name].to_pylist() for name in names), strict=True) if new_decisions else ()
    return None if any(track in new_decisions for track in current) else snapshot


def missing_results(objects: Objects, snapshot: Snapshot, names: Iterable[str]) -> list[str]:
    """Return those of the batches (`VIDEO_ID-BATCH`, as receipts name them) whose results a snapshot did not take in."""
    ledger = read(objects, snapshot.ledger, schemas.LEDGER)
    published = set(zip(ledger["video_id"].to_pylist(), ledger["batch"].to_pylist(), strict=True))
    return [name for name in names if tuple(name.split("-")) not in published]


def _advance(
    objects: Objects,
    ledger: Ledger,
    before: Contents,
    batches: Sequence[_PendingBatch],
    qc: QCConfig,
    judges: Judges,
    human: Mapping[Track, HumanVerdict],
) -> Contents:
    """Return what the next snapshot holds."""
    schema = schemas.SNAPSHOT_TRACKS
    tracks = newest(concat([before.tracks, *(batch.tracks for batch in batches)], schema))
    videos = concat([before.videos, *(batch.videos for batch in batches)], schemas.VIDEOS)
    old_qc = ledger.snapshot.qc if ledger.snapshot else None
    return Contents(
        ledger=ledger.table.sort_by([(name, "ascending") for name in _ROW_NAMES]),
        files=_files(before.files, [batch.marker for batch in batches]),
        tracks=tracks,
        videos=_videos_of(videos, tracks),
        verdicts=_verdicts(objects, before, tracks, qc, judges, human, all_anew=old_qc != _plain(qc, judges)),
    )


def _not_packed(markers: Sequence[Marker], tracks: pa.Table) -> list[Marker]:
    """Leave out markers that a killed publisher had taken in already and whose rows were packed since."""
    if not markers:
        return []
    rows = tracks.filter(pc.is_valid(tracks["masks_file"]))
    packed = set(zip(rows["video_id"].to_pylist(), rows["batch"].to_pylist(), strict=True))
    return [marker for marker in markers if (marker.video_id, marker.batch) not in packed]


def _read_batches(objects: Objects, markers: Iterable[Marker]) -> tuple[list[_PendingBatch], list[BadMarker]]:
    """Read the small files of each batch that waits, many at a time; those that are not as their marker says come apart."""
    batches = list(map_objects(objects, lambda marker: _read_batch(objects, marker), markers))
    return [b for b in batches if isinstance(b, _PendingBatch)], [b for b in batches if isinstance(b, BadMarker)]


def _read_batch(objects: Objects, marker: Marker) -> _PendingBatch | BadMarker:
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
    return _PendingBatch(marker, tracks, videos)


def _set_aside(objects: Objects, bad: Iterable[BadMarker]) -> None:
    """Move markers out of the way of all that is whole; nothing of them is lost."""
    for marker in bad:
        aside = layout.set_aside(marker.object_key)
        # Another publisher may have moved it already.
        with suppress(FileNotFoundError):
            objects.put(aside, objects.get(marker.object_key))
            objects.delete(marker.object_key)
            log.warning(
                "%s is set aside as %s (%s); its video is labelled again by the next run",
                objects.uri(marker.object_key), aside, marker.problem,
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


def _verdicts(
    objects: Objects,
    before: Contents,
    tracks: pa.Table,
    qc: QCConfig,
    judges: Judges,
    human: Mapping[Track, HumanVerdict],
    *,
    all_anew: bool,
) -> pa.Table:
    """Judge what must be judged and keep the other rows as they are, in the order of `tracks`."""
    # Containment ties a video's objects together, so videos are judged whole: those with a new result or a new decision.
    fresh = tracks.select(_ROW_NAMES).join(before.verdicts.select(_ROW_NAMES), _ROW_NAMES, join_type="left anti")
    relabelled = set(fresh["video_id"].to_pylist())
    decided = human_verdicts_in(before.verdicts)
    new_decisions = {track: verdict for track, verdict in human.items() if decided.get(track) != verdict}
    touched = pa.array(sorted(relabelled | {track[0] for track in new_decisions}), pa.string())
    to_judge = tracks if all_anew else tracks.filter(pc.is_in(tracks["video_id"], touched))
    judged_ids = pc.unique(to_judge["video_id"])
    untouched = before.verdicts.filter(pc.invert(pc.is_in(before.verdicts["video_id"], judged_ids)))
    rows = to_judge.to_pylist()
    # Masks are read of videos with new results alone; elsewhere what was measured still holds.
    overlaps = {track: overlap for track, overlap in overlaps_in(before.verdicts).items() if track[0] not in relabelled}
    overlaps |= measure_overlaps(objects, [row for row in rows if row["video_id"] in relabelled])
    judged = judge_tracks(rows, overlaps, decided | new_decisions, qc, judges)
    asked = set(judged["judge"].to_pylist())
    for judge in judges.all:
        if judge.digest in asked:
            keep(objects, judge)
    order = [("video_id", "ascending"), ("object_id", "ascending")]
    verdicts = concat([untouched, judged], schemas.VERDICTS).sort_by(order).combine_chunks()
    # With a bound on risk that somebody set, that alone decides.
    return verdicts if qc.accept_risk is not None or not judges.all else with_novel(verdicts).combine_chunks()


def _plain(qc: QCConfig, judges: Judges) -> JsonObject:
    """What verdicts depend on; an audit judges nothing, and what is not set is left out as it was before it could be.

    `judges` holds the digest of each fitted judge by its name, wherever its file was.
    """
    given = dataclasses.asdict(qc)
    for name in ("audit", "judge", "seeds", *(() if qc.accept_risk is not None else ("accept_risk",))):
        del given[name]
    plain = dict(json.loads(canonical_json(given)))
    for rule in plain["rules"]:
        for name in ("risk", "far_at"):
            if not rule[name]:
                del rule[name]
    return plain | ({"judges": judges.digests} if judges.all else {})
