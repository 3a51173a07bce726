"""The review queue: items wait by risk, reviewers hold them by leases, decisions go to a log that only grows.

Every method is one short transaction on the database; any number of threads, processes and machines may share it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from labeling.config import ReviewOrder
from labeling.errors import BadInput
from labeling.objects import Objects
from labeling.review.db import decision_log
from labeling.review.db.database import Database, open_database
from labeling.review.db.rows import checked_name, find, queued_item
from labeling.review.flow import consensus, decisions, leases, listing, opening
from labeling.review.flow.listing import ItemFilter, item_counts
from labeling.review.flow.opening import OpenCounts
from labeling.review.items import (
    Consensus,
    Correction,
    ItemHistory,
    ItemKey,
    ItemStatus,
    Lease,
    LoggedDecision,
    LostLease,
    QueuedItem,
    ReviewItem,
    Viewer,
)
from labeling.store.snapshots import Snapshot
from labeling.types import Prompt, ReviewDecision

Clock = Callable[[], datetime]
MAX_PAGE = 10_000


def utc_now() -> datetime:
    """The time of this machine's clock."""
    return datetime.now(UTC)


class ReviewQueue:
    """The queue at a URL: a path or sqlite:///PATH, or postgresql+psycopg://...; made or migrated when it is opened.

    With `reading` it is only looked at: nothing is made or migrated. Errors: BadConfiguration for another URL, Unavailable
    when the database does not answer or is none of ours, WrongRevision when newer code wrote it. `clock` gives aware UTC
    datetimes; machines that share a queue need clocks that agree to a few seconds.
    """

    def __init__(self, url: str, *, clock: Clock = utc_now, reading: bool = False) -> None:
        self._database: Database = open_database(url, reading=reading)
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    @property
    def database(self) -> Database:
        """The queue's database."""
        return self._database

    @property
    def clock(self) -> Clock:
        """The clock that leases and events are timed by."""
        return self._clock

    def open_items(self, items: Iterable[ReviewItem]) -> OpenCounts:
        """Put items in; the same identity never twice, and a newer version closes the older one even while it is claimed."""
        chosen, counts = opening.newest_of_each(items)
        for chunk in opening.chunks_of(chosen):
            with self._database.write() as session:
                self._database.lock_opening(session)
                counts += opening.open_chunk(session, chunk, self._clock())
        return counts

    def open_from_snapshot(
        self, objects: Objects, snapshot: Snapshot, *, reviewers: int = 1, order: ReviewOrder = ReviewOrder.gain
    ) -> OpenCounts:
        """Open an item for each masklet under review, close those of older versions, withdraw those now judged clear.

        New items ask for so many `reviewers`; all that are open come in an `order`. Repeatable. What people have decided is
        left alone, here and in the snapshot.
        """
        items = opening.items_of(objects, snapshot, reviewers=reviewers, order=order)
        superseded = self.close_superseded(items.current)
        counts = self.open_items(items.doubted)
        self.withdraw(items.clear, because=f"judged clear in {snapshot.name}")
        return counts + OpenCounts(superseded=superseded)

    def close_superseded(self, current: Mapping[tuple[str, str], int]) -> int:
        """Close waiting items whose masklet has a newer version: `current` maps (video_id, track_id) to its version."""
        with self._database.write() as session:
            self._database.lock_opening(session)
            return opening.close_superseded(session, current, self._clock())

    def withdraw(self, keys: Iterable[tuple[str, str, int]], *, because: str) -> int:
        """Close open items that a newer verdict no longer doubts; claimed ones stay, and doubt opens them again."""
        with self._database.write() as session:
            self._database.lock_opening(session)
            return opening.withdraw(session, keys, because, self._clock())

    def list(
        self, status: ItemStatus | str | None = ItemStatus.OPEN, *, reason: str | None = None, category: str | None = None,
        run: str | None = None, limit: int = 100, offset: int = 0, viewer: Viewer | None = None,
    ) -> Sequence[QueuedItem]:
        """One page of items, highest priority and risk first; `status` None means any.

        A `viewer` finds what they have had their say on among the decided ones.
        """
        if not 0 < limit <= MAX_PAGE or offset < 0:
            raise BadInput(f"limit, offset are {limit}, {offset}; expected 1 to {MAX_PAGE}, and 0 or more", "bad_page")
        chosen = ItemFilter(_status(status), reason, category, run, viewer)
        with self._database.read() as session:
            return listing.list_items(session, chosen, limit=limit, offset=offset)

    def get(self, item: int | ItemKey) -> QueuedItem:
        """One item by number or identity; UnknownItem when there is none."""
        with self._database.read() as session:
            return queued_item(find(session, item))

    def counts(self) -> Mapping[ItemStatus, int]:
        """How many items have each status."""
        with self._database.read() as session:
            return item_counts(session).by_status()

    def history(self, item: int | ItemKey) -> ItemHistory:
        """An item with its events, decisions and drafts, oldest first."""
        with self._database.read() as session:
            return consensus.history_of(session, find(session, item))

    def history_for(self, item: int | ItemKey, viewer: Viewer) -> tuple[ItemHistory, Consensus]:
        """What a reviewer may know of an item, and how far reviewers have come with it."""
        with self._database.read() as session:
            whole = consensus.history_of(session, find(session, item))
            return consensus.history_as_seen(session, whole, viewer), consensus.consensus_as_seen(session, whole, viewer)

    def ask(self, item: int | ItemKey, reviewers: int) -> None:
        """Ask for so many reviewers of a waiting item; where they disagree a senior settles it."""
        with self._database.write() as session:
            consensus.ask(session, item, reviewers)

    def claim(
        self, reviewer: str, *, lease_s: float = 600.0, item: int | ItemKey | None = None, reason: str | None = None,
        category: str | None = None, run: str | None = None, skipping: Collection[int] = (), senior: bool = False,
    ) -> Lease | None:
        """Lease the riskiest item that nobody holds, or the named one, for `lease_s` seconds; None when nothing waits.

        Nobody gets an item twice that they have had their say on; a `senior` also gets those on which others disagree.
        `skipping` are numbers of items to pass over. Errors for a named one: UnknownItem, AlreadySettled, NeedsSenior,
        ItemHeld.
        """
        viewer, now = Viewer(checked_name(reviewer), senior), self._clock()
        expires_at = leases.expiry_of(now, lease_s)
        with self._database.write() as session:
            if item is not None:
                return leases.lease_of(leases.take(session, item, viewer, now, expires_at))
            # First, so that an item whose lease just ran out is handed out by its rank.
            leases.expire_leases(session, now)
            chosen = ItemFilter(ItemStatus.OPEN, reason, category, run, viewer)
            row = listing.next_open(session, chosen, skipping=skipping)
            return None if row is None else leases.lease_of(leases.grant(session, row, viewer.name, now, expires_at))

    def heartbeat(self, token: str, *, lease_s: float = 600.0) -> Lease:
        """Keep a lease for `lease_s` from now; LostLease when it ran out or the item is no longer held by it."""
        now = self._clock()
        expires_at = leases.expiry_of(now, lease_s)
        with self._database.write() as session:
            return leases.lease_of(leases.keep(session, token, now, expires_at))

    def release(self, token: str, *, note: str = "") -> None:
        """Give an item back undecided; a lease that is gone already is fine."""
        with self._database.write() as session:
            leases.release(session, token, self._clock(), note=note)

    def decide(
        self, held: Lease | str | ItemKey | int, action: str, *, prompts: Iterable[Prompt] = (), note: str = "",
        seconds: float | None = None, clicks: int | None = None, reviewer: str | None = None, senior: bool = False,
        item_id: int | None = None,
    ) -> LoggedDecision:
        """Accept, reject or correct (with prompts) what a lease or its token holds, or a named item in one step.

        A named item needs `reviewer`; with a token, `reviewer` and `item_id` must be the lease's. A repeated call gives the
        decision that stands; work in hand on the item goes. Errors: LostLease (with the draft that keeps the work),
        OthersLease, AlreadySettled, NeedsSenior, ItemHeld, UnknownItem, BadInput for prompts of another object.
        """
        decision, now = decisions.NewDecision(action, tuple(prompts), note, seconds, clicks), self._clock()
        with self._database.write() as session:
            if isinstance(held, (Lease, str)):
                token = held.token if isinstance(held, Lease) else held
                outcome = decisions.decide_lease(session, token, decision, now, reviewer=reviewer, item_id=item_id)
            else:
                outcome = decisions.decide_item(session, held, Viewer(checked_name(reviewer or ""), senior), decision, now)
        # Raised after the commit, so that the draft is stored.
        if isinstance(outcome, decisions.RefusedDecision):
            raise LostLease(outcome.message, draft_id=outcome.draft_id)
        return outcome

    def undo(self, seq: int, reviewer: str) -> QueuedItem:
        """Take back a reviewer's own last decision: they can have its item again, and the log has one more row that says so.

        AlreadySettled where the decision is not theirs or not their last one, where the item has gone on since, or where a
        run has tracked from the correction.
        """
        with self._database.write() as session:
            return decisions.undo(session, seq, reviewer, self._clock())

    def decisions_since(self, seq: int = 0) -> Iterator[LoggedDecision]:
        """The log's rows after `seq`, oldest first."""
        while True:
            with self._database.read() as session:
                page = list(decision_log.decisions_after(session, seq))
            yield from page
            if len(page) < decision_log.PAGE:
                return
            seq = page[-1].seq

    def pending_decisions(self) -> Sequence[ReviewDecision]:
        """What settled each settled item, oldest first: what `labeling.store.publish` takes as `decisions`.

        All of them, each time: a decision is said of one version, and saying it twice changes nothing.
        """
        with self._database.read() as session:
            return decision_log.standing_decisions(session)

    def corrections(self, *, unapplied_only: bool = True) -> Sequence[Correction]:
        """Decided corrections, oldest first; with `unapplied_only=False` also those that a run has tracked from."""
        with self._database.read() as session:
            return decision_log.list_corrections(session, unapplied_only=unapplied_only)

    def undone_corrections(self) -> Sequence[Correction]:
        """The corrections that their reviewers took back, oldest first."""
        with self._database.read() as session:
            return decision_log.undone_corrections(session)

    def counted_clicks(self, seqs: Collection[int]) -> Mapping[int, int]:
        """The clicks of those decisions for which somebody counted them, by row of the log."""
        with self._database.read() as session:
            return decision_log.counted_clicks(session, seqs)

    def mark_applied(self, corrections: Iterable[Correction], *, run_id: str) -> int:
        """Note that a run has tracked from corrections; how many were not noted before."""
        with self._database.write() as session:
            self._database.lock_opening(session)
            seqs = [correction.seq for correction in corrections]
            return decision_log.mark_applied(session, seqs, run_id, self._clock())



def _status(status: ItemStatus | str | None) -> ItemStatus | None:
    if status is None:
        return None
    try:
        return ItemStatus(status)
    except ValueError as error:
        raise BadInput(f"status is {status!r}; expected one of {', '.join(ItemStatus)}", "bad_status") from error
