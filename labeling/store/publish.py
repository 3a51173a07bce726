"""Publish: markers since the last snapshot become a new one, by a single conditional write.

Order: stage what the snapshot names, commit `snapshots/vN.json` by put-if-absent, then tidy up. A crash before the commit
leaves a store as it was, one after it leaves markers that the next publish finds already taken in. Two that publish at
once stage beside each other, one commits, and the other starts over from what that one made.
"""

import dataclasses
import heapq
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path

from pyarrow import feather

from labeling.config import QCConfig
from labeling.errors import BadConfiguration, StoreBusy
from labeling.objects import Objects
from labeling.store import layout, schemas
from labeling.store.advance import Judging, counts_elsewhere, grown, judged, not_packed, read_batches, sent_novel
from labeling.store.changes import Changes
from labeling.store.commit import commit, delete_all, keeps_parts
from labeling.store.contents import VIDEOS, Contents, contents_between, contents_of_videos, queue_counts, ranges_of, verdicts_in
from labeling.store.judges import Judges, judges_of
from labeling.store.keys import canonical_json
from labeling.store.ledger import BadMarker, Marker, read_markers
from labeling.store.parquet import read
from labeling.store.parts import rows_of
from labeling.store.snapshots import Snapshot, newest_snapshot, read_contents
from labeling.store.verdicts import HumanVerdict, Track, human_verdicts_in, human_verdicts_of, novel_places, novelties
from labeling.store.versions.card import mend_cards
from labeling.types import JsonObject, ReviewDecision

log = logging.getLogger(__name__)

_TRIES = 8
_VIDEOS_AT_A_TIME = 5000


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
        # Markers first: they are deleted after the snapshot that takes them in, so one that has gone is in what is read next.
        markers, bad = read_markers(objects)
        parent = newest_snapshot(objects)
        if parent is not None and not parent.in_parts:
            log.info(
                "%s goes on in storage version %d, whose tables are written whole; `labeling upgrade` leads to version %d",
                objects.root, parent.storage_version, schemas.STORAGE_VERSION,
            )
        by = Judging(qc, judges, human, all_anew=parent is None or parent.qc != plain_qc)
        # Set aside before anything is staged: a snapshot must not name files that are not as they were written.
        version = bad or (_in_parts if keeps_parts(parent) else _whole)(objects, parent, markers, by)
        if isinstance(version, Sequence):
            still_held()
            _set_aside(objects, version)
            continue
        # A version that says nothing new would only push older ones out of what `vacuum` keeps.
        if parent is not None and not version.changed and parent.qc == plain_qc:
            snapshot: Snapshot | None = parent
        else:
            snapshot = version.commit(plain_qc, run_id=run_id, still_held=still_held)
        # None: another publisher was faster, so what was staged has another parent than the newest; start over from that one.
        if snapshot is not None:
            # Only now: until the commit the markers are all that says that these results exist.
            delete_all(objects, [marker.object_key for marker in markers])
            mend_cards(objects)
            return snapshot
    raise StoreBusy(f"{objects.root}: {_TRIES} times another publisher was faster; let it end and publish again")


@dataclass(frozen=True, slots=True)
class _WholeVersion:
    """The next version of a store of version 2."""

    objects: Objects
    parent: Snapshot | None
    after: Contents
    changed: bool

    def commit(self, qc: JsonObject, *, run_id: str, still_held: Callable[[], None]) -> Snapshot | None:
        return commit(self.objects, self.parent, self.after, qc, run_id=run_id, still_held=still_held)


def _whole(
    objects: Objects, parent: Snapshot | None, markers: Sequence[Marker], by: Judging
) -> _WholeVersion | Sequence[BadMarker]:
    before = read_contents(objects, parent)
    after = _advanced(objects, before, markers, by)
    if not isinstance(after, Contents):
        return after
    after = sent_novel(after, by)
    return _WholeVersion(objects, parent, after, not after.same_as(before))


@dataclass(frozen=True, slots=True)
class _Slice:
    """Some whole videos of a store in parts: how to read them, and what waits of them."""

    read: Callable[[], Contents]
    markers: Sequence[Marker]


def _slices(objects: Objects, parent: Snapshot | None, markers: Sequence[Marker], by: Judging) -> list[_Slice]:
    """Cut what a version touches into slices: by other rules all videos, else those with a new result or decision."""
    if parent is not None and by.all_anew:
        ranges = ranges_of(parent.parts)
        waiting = [[marker for marker in markers if first <= marker.video_id < stop] for first, stop in ranges]
        read = [partial(contents_between, objects, parent.parts, first, stop) for first, stop in ranges]
        return [_Slice(*of) for of in zip(read, waiting, strict=True)]
    decided = _new_decisions(objects, parent, by.human) if parent else by.human
    touched = sorted({marker.video_id for marker in markers} | {video_id for video_id, _, _ in decided})
    slices = []
    for some in _batched(touched, _VIDEOS_AT_A_TIME):
        waiting_of = [marker for marker in markers if some[0] <= marker.video_id <= some[-1]]
        slices.append(_Slice(partial(contents_of_videos, objects, parent.parts, some) if parent else Contents.none, waiting_of))
    return slices


def _batched(names: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    return (names[start : start + count] for start in range(0, len(names), count))


def _in_parts(
    objects: Objects, parent: Snapshot | None, markers: Sequence[Marker], by: Judging
) -> Changes | Sequence[BadMarker]:
    """Write the parts of the next version, some videos at a time."""
    version, slices = Changes(objects, parent), _slices(objects, parent, markers, by)
    if by.all_anew and by.sends_novel and len(slices) > 1:
        return _in_parts_ranked(objects, version, slices, by)
    for some in slices:
        before = some.read()
        after = _advanced(objects, before, some.markers, by)
        if not isinstance(after, Contents):
            return after
        version.add(before, sent_novel(after, by, counts=counts_elsewhere(version.queue, before)))
    return version


def _in_parts_ranked(
    objects: Objects, version: Changes, slices: Sequence[_Slice], by: Judging
) -> Changes | Sequence[BadMarker]:
    """Judge all videos, then send the most novel of all to review: verdicts wait on disk until it is known which those are."""
    doubted, novel = 0, list[tuple[float, int]]()
    with tempfile.TemporaryDirectory(prefix="verdicts-") as folder:
        paths = [Path(folder) / f"{number}.arrow" for number in range(len(slices))]
        for number, some in enumerate(slices):
            after = _advanced(objects, some.read(), some.markers, by)
            if not isinstance(after, Contents):
                return after
            feather.write_feather(after.verdicts, paths[number])
            doubted += queue_counts(after.verdicts)["doubted"]
            novel += ((novelty, number) for novelty, _ in novelties(after.verdicts))
        places = Counter(number for _, number in heapq.nlargest(novel_places(doubted), novel, key=itemgetter(0)))
        for number, some in enumerate(slices):
            before = some.read()
            batches, _ = read_batches(objects, not_packed(some.markers, before.tracks))
            verdicts = feather.read_table(paths[number]).cast(schemas.VERDICTS)
            after = sent_novel(replace(grown(before, some.markers, batches), verdicts=verdicts), by, places[number])
            version.add(before, after)
    return version


def _advanced(
    objects: Objects, before: Contents, markers: Sequence[Marker], by: Judging
) -> Contents | Sequence[BadMarker]:
    """Return the contents with what waits, judged; or the markers that are not as they were written."""
    batches, bad = read_batches(objects, not_packed(markers, before.tracks))
    return bad or judged(objects, before, grown(before, markers, batches), by)


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
    markers, bad = read_markers(objects)
    snapshot = newest_snapshot(objects)
    if snapshot is None or markers or bad or snapshot.qc != _plain(qc, judges_of(objects, qc.judge)):
        return None
    return None if _new_decisions(objects, snapshot, human_verdicts_of(decisions)) else snapshot


def _new_decisions(objects: Objects, snapshot: Snapshot, human: Mapping[Track, HumanVerdict]) -> set[Track]:
    """Return the current masklets of which people decided something that a snapshot does not say yet."""
    if snapshot.in_parts:
        verdicts = verdicts_in(objects, snapshot.parts, partial(rows_of, video_ids=[video_id for video_id, _, _ in human]))
    else:
        # All tables are read here, so that a run finds out now that one is not as it was written.
        verdicts = read_contents(objects, snapshot).verdicts
    decided = human_verdicts_in(verdicts)
    new = {track for track, verdict in human.items() if decided.get(track) != verdict}
    # What was said of a version that is no longer current changes nothing.
    names = ["video_id", "track_id", "label_version"]
    return new & set(zip(*(verdicts[name].to_pylist() for name in names), strict=True)) if new else new


def missing_results(objects: Objects, snapshot: Snapshot, names: Iterable[str]) -> list[str]:
    """Return those of the batches (`VIDEO_ID-BATCH`, as receipts name them) whose results a snapshot did not take in."""
    batches = {name: tuple(name.split("-")) for name in names}
    if snapshot.in_parts:
        video_ids = sorted({video_id for video_id, _ in batches.values()})
        results = rows_of(objects, VIDEOS, snapshot.parts["videos"], video_ids, ["video_id", "batch"])
    else:
        results = read(objects, snapshot.ledger, schemas.LEDGER)
    published = set(zip(results["video_id"].to_pylist(), results["batch"].to_pylist(), strict=True))
    return [name for name, batch in batches.items() if batch not in published]


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
