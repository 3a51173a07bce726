"""Opens items in bulk: one for each version of a masklet, newer versions close older ones, decided items stay.

A published snapshot's masklets under review become items, and open items that it judges clear are closed. One chunk of items
is one transaction: a run that is killed in between opens the rest the next time.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.orm import Session

from labeling.config import ReviewOrder
from labeling.objects import Objects
from labeling.review.db.rows import item_columns, move, note_events
from labeling.review.db.tables import ConsensusRow, GoldRow, ItemRow, ReasonRow
from labeling.review.flow.leases import NO_LEASE
from labeling.review.gain import MOST_GAIN, place_by_gain
from labeling.review.items import WAITING, ItemKey, ItemStatus, ReviewItem
from labeling.store.parquet import iterate_rows
from labeling.store.records import verdict_from_row
from labeling.store.snapshots import Snapshot, read_tracks, read_verdicts, read_videos, slices_of
from labeling.types import HELD, Decision, TableRow


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """What opening a batch of items did.

    `opened` are new, `reopened` were closed and are doubted again, `refreshed` got another risk or other flags, `unchanged` and
    `settled` (decided or superseded) stayed as they were, `stale` came with a version older than one already known and were
    ignored; `superseded` counts older items that were closed.
    """

    opened: int = 0
    reopened: int = 0
    refreshed: int = 0
    unchanged: int = 0
    settled: int = 0
    stale: int = 0
    superseded: int = 0

    def __add__(self, other: "OpenCounts") -> "OpenCounts":
        names = self.__slots__
        return OpenCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

CHUNK = 500
SUPERSEDED = "superseded by version"


@dataclass(slots=True)
class _ChunkChanges:
    """What one chunk will write, decided before anything is written."""

    new: list[ReviewItem] = field(default_factory=list)
    reopened: dict[int, ReviewItem] = field(default_factory=dict)
    refreshed: dict[int, ReviewItem] = field(default_factory=dict)
    superseded: dict[int, list[int]] = field(default_factory=dict)
    unchanged: int = 0
    settled: int = 0
    stale: int = 0

    def counts(self) -> OpenCounts:
        return OpenCounts(
            opened=len(self.new), reopened=len(self.reopened), refreshed=len(self.refreshed), unchanged=self.unchanged,
            settled=self.settled, stale=self.stale, superseded=sum(len(item_ids) for item_ids in self.superseded.values()),
        )


def newest_of_each(items: Iterable[ReviewItem]) -> tuple[list[ReviewItem], OpenCounts]:
    """One item per masklet, the newest version and of twins the last, in key order; the rest counted."""
    newest: dict[tuple[str, str], ReviewItem] = {}
    stale = twins = 0
    for item in items:
        track = (item.key.video_id, item.key.track_id)
        other = newest.get(track)
        if other is not None and other.key.label_version > item.key.label_version:
            stale += 1
            continue
        stale += other is not None and other.key.label_version < item.key.label_version
        twins += other is not None and other.key.label_version == item.key.label_version
        newest[track] = item
    return sorted(newest.values(), key=lambda i: i.key), OpenCounts(stale=stale, unchanged=twins)


def chunks_of(items: Iterable[ReviewItem]) -> Iterator[list[ReviewItem]]:
    """The items in lists of at most `CHUNK`."""
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def open_chunk(session: Session, items: list[ReviewItem], now: datetime) -> OpenCounts:
    """Write one chunk's items, reasons and events; a second call with the same items writes nothing."""
    changes = _changes(session, items)
    for version, item_ids in changes.superseded.items():
        _supersede(session, item_ids, version, now)
    _insert(session, changes.new, now)
    _rewrite(session, {**changes.refreshed, **changes.reopened})
    move(session, changes.reopened, ItemStatus.OPEN, closed_because=None)
    note_events(session, "refreshed", changes.refreshed, now)
    note_events(session, "reopened", changes.reopened, now)
    return changes.counts()


def _changes(session: Session, items: list[ReviewItem]) -> _ChunkChanges:
    changes, versions_by_track = _ChunkChanges(), _known_versions(session, items)
    rows = [row.item_id for versions in versions_by_track.values() for row in versions.values()]
    gold = set(session.scalars(_gold().where(GoldRow.item_id.in_(rows))))
    for item in items:
        versions = versions_by_track.get((item.key.video_id, item.key.track_id), {})
        # A run that published late must not bring back what a newer one has replaced.
        if any(version > item.key.label_version for version in versions):
            changes.stale += 1
            continue
        # Claimed ones too: a decision on masks that are gone would be lost, so their lease ends here with a message.
        for version, row in versions.items():
            if version < item.key.label_version and row.status in WAITING and row.item_id not in gold:
                changes.superseded.setdefault(item.key.label_version, []).append(row.item_id)
        known_row = versions.get(item.key.label_version)
        if known_row is not None and known_row.item_id in gold:
            changes.settled += 1
        elif known_row is not None and known_row.blind and known_row.status in WAITING:
            # Its risk and flags are not to be told, whatever a newer judgement says.
            changes.unchanged += 1
        else:
            _sort_in(changes, item, known_row)
    return changes


def _gold() -> Select[tuple[int]]:
    """The query for items of known truth: they stay in the queue as they are, whatever becomes of their masklets."""
    return select(GoldRow.item_id)


def _sort_in(changes: _ChunkChanges, item: ReviewItem, row: ItemRow | None) -> None:
    """Add an item to what its own version's row asks for; a row withdrawn as clear opens again, a superseded one does not."""
    if row is None:
        changes.new.append(item)
    elif row.status == ItemStatus.DECIDED or (row.closed_because or "").startswith(SUPERSEDED):
        changes.settled += 1
    elif row.status == ItemStatus.CLOSED:
        changes.reopened[row.item_id] = item
    elif all(getattr(row, name) == value for name, value in item_columns(item).items()):
        changes.unchanged += 1
    else:
        changes.refreshed[row.item_id] = item


def _known_versions(session: Session, items: list[ReviewItem]) -> Mapping[tuple[str, str], dict[int, ItemRow]]:
    # By video alone, because SQLite does not use an index for pairs; other tracks of these videos are few.
    tracks = {(item.key.video_id, item.key.track_id) for item in items}
    query = select(ItemRow).where(ItemRow.video_id.in_(sorted({video_id for video_id, _ in tracks})))
    versions_by_track: dict[tuple[str, str], dict[int, ItemRow]] = {}
    for row in session.scalars(query.order_by(ItemRow.item_id).with_for_update()):
        if (row.video_id, row.track_id) in tracks:
            versions_by_track.setdefault((row.video_id, row.track_id), {})[row.label_version] = row
    return versions_by_track


def _insert(session: Session, items: list[ReviewItem], now: datetime) -> None:
    if not items:
        return
    rows = [{**item.key._asdict(), **item_columns(item), "status": "open", "opened_at": now} for item in items]
    query = insert(ItemRow).returning(ItemRow.item_id, ItemRow.video_id, ItemRow.track_id, ItemRow.label_version)
    ids = {ItemKey(row.video_id, row.track_id, row.label_version): row.item_id for row in session.execute(query, rows)}
    reasons = [row for item in items for row in _reason_rows(ids[item.key], item)]
    if reasons:
        session.execute(insert(ReasonRow), reasons)
    consensus_rows = [{"item_id": ids[item.key], "wanted": item.reviewers} for item in items if item.reviewers > 1]
    if consensus_rows:
        session.execute(insert(ConsensusRow), consensus_rows)
    note_events(session, "opened", list(ids.values()), now)


def _reason_rows(item_id: int, item: ReviewItem, status: str = ItemStatus.OPEN.value) -> list[dict[str, object]]:
    reasons = dict.fromkeys(flag.reason for flag in item.flags)
    columns = {
        "status": status, "priority": item.priority, "risk": float(item.risk), "category": item.category, "run_id": item.run_id,
    }
    return [{"item_id": item_id, "reason": reason, **columns} for reason in reasons]


def _rewrite(session: Session, items: Mapping[int, ReviewItem]) -> None:
    if not items:
        return
    query = select(ItemRow.item_id, ItemRow.status).where(ItemRow.item_id.in_(items))
    status = {row.item_id: row.status for row in session.execute(query)}
    session.execute(update(ItemRow), [{"item_id": item_id, **item_columns(item)} for item_id, item in items.items()])
    session.execute(delete(ReasonRow).where(ReasonRow.item_id.in_(items)))
    reasons = [row for item_id, item in items.items() for row in _reason_rows(item_id, item, status[item_id])]
    if reasons:
        session.execute(insert(ReasonRow), reasons)


def _supersede(session: Session, item_ids: list[int], version: int, now: datetime) -> None:
    because = f"{SUPERSEDED} {version}"
    note_events(session, "closed", item_ids, now, detail=because)
    move(session, item_ids, ItemStatus.CLOSED, closed_because=because, **NO_LEASE)


def close_superseded(session: Session, current: Mapping[tuple[str, str], int], now: datetime) -> int:
    """Close waiting items whose masklet has a newer version by now; `current` maps (video_id, track_id) to it."""
    query = select(ItemRow.item_id, ItemRow.video_id, ItemRow.track_id, ItemRow.label_version)
    query = query.where(ItemRow.status.in_(WAITING), ItemRow.item_id.not_in(_gold()))
    rows = session.execute(query.order_by(ItemRow.item_id).with_for_update())
    due: dict[int, list[int]] = {}
    for item_id, video_id, track_id, version in rows:
        newest = current.get((video_id, track_id), version)
        if newest > version:
            due.setdefault(newest, []).append(item_id)
    for newest, item_ids in due.items():
        for start in range(0, len(item_ids), CHUNK):
            _supersede(session, item_ids[start:start + CHUNK], newest, now)
    return sum(len(item_ids) for item_ids in due.values())


def withdraw(session: Session, keys: Iterable[tuple[str, str, int]], because: str, now: datetime) -> int:
    """Close open items that are no longer in doubt; a claimed one stays with its reviewer, and doubt opens it again.

    Those that wait for a verdict alone stay: an audit asks of what is clear too.
    """
    clear = set(keys)
    query = select(ItemRow.item_id, ItemRow.video_id, ItemRow.track_id, ItemRow.label_version)
    query = query.where(ItemRow.status == ItemStatus.OPEN.value, ItemRow.item_id.not_in(_gold()), ItemRow.blind.is_(False))
    rows = session.execute(query.order_by(ItemRow.item_id).with_for_update())
    due = [item_id for item_id, *key in rows if tuple(key) in clear]
    for start in range(0, len(due), CHUNK):
        item_ids = due[start:start + CHUNK]
        note_events(session, "closed", item_ids, now, detail=because)
        move(session, item_ids, ItemStatus.CLOSED, closed_because=because)
    return len(due)


@dataclass(frozen=True, slots=True)
class SnapshotItems:
    """What a snapshot says of the queue's items: the newest versions, what is in doubt, and what is not."""

    current: Mapping[tuple[str, str], int]
    doubted: tuple[ReviewItem, ...]
    clear: tuple[ItemKey, ...]


def items_of(
    objects: Objects, snapshot: Snapshot, *, reviewers: int = 1, order: ReviewOrder = ReviewOrder.gain
) -> SnapshotItems:
    """Read a published snapshot; items of masklets under review ask for so many `reviewers` and are placed in an order."""
    current: dict[tuple[str, str], int] = {}
    doubted: list[ReviewItem] = []
    clear: list[ItemKey] = []
    for rows in slices_of(objects, snapshot):
        video_keys = dict(zip(*(rows.videos[name].to_pylist() for name in ("video_id", "video_key")), strict=True))
        for verdict, track in zip(iterate_rows(rows.verdicts), iterate_rows(rows.tracks), strict=True):
            key = ItemKey.of_row(verdict)
            current[key.video_id, key.track_id] = key.label_version
            if verdict["verdict"] == Decision.REVIEW:
                doubted.append(_item_of(verdict, track, video_keys[key.video_id], snapshot.name, reviewers, order))
            else:
                clear.append(key)
    return SnapshotItems(current, tuple(doubted), tuple(clear))


def items_named(
    objects: Objects, snapshot: Snapshot, keys: Collection[ItemKey], *, reviewers: int = 1
) -> tuple[ReviewItem, ...]:
    """The items of certain masklets of a snapshot, whatever their verdicts."""
    chosen = set(keys)
    video_ids = sorted({key.video_id for key in chosen})
    read_rows = (read(objects, snapshot, video_ids).to_pylist() for read in (read_verdicts, read_tracks, read_videos))
    verdicts, tracks, videos = read_rows
    video_keys = {row["video_id"]: row["video_key"] for row in videos}
    return tuple(
        _item_of(verdict, track, video_keys[verdict["video_id"]], snapshot.name, reviewers)
        for verdict, track in zip(verdicts, tracks, strict=True) if ItemKey.of_row(verdict) in chosen
    )


def _item_of(
    verdict: TableRow, track: TableRow, video_key: str, snapshot: str, reviewers: int, order: ReviewOrder = ReviewOrder.gain
) -> ReviewItem:
    first, last = track["first_frame_idx"] or 0, track["last_frame_idx"] or 0
    # A whole object waits for what is held, and it takes a look at one frame.
    held = track["direction"] == HELD
    place = MOST_GAIN if held else place_by_gain(verdict["risk"], track["num_masks"]) if order is ReviewOrder.gain else 0
    return ReviewItem.of_verdict(
        verdict_from_row(verdict), video_key=video_key, run_id=track["run_id"], snapshot=snapshot,
        frame_span=(first, last + 1), category=track["category"], reviewers=reviewers,
        priority=place,
    )
