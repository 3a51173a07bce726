"""What every route is given: the queue, store, frames and network of the server, and the signed-in reviewer."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy import Select, select

from labeling.review.accounts import SENIOR, Accounts, Reviewer, SignInLimit
from labeling.review.db.rows import find, logged_decision
from labeling.review.db.tables import DecisionRow, ItemRow, OpinionRow, WorkRow
from labeling.review.figures import Effort, QueueFigures, efforts
from labeling.review.flow.leases import LeaseHolder, holder_of
from labeling.review.flow.listing import ItemFilter, QueueCounts, counts_as_seen, queue_counts
from labeling.review.items import LoggedDecision, Viewer
from labeling.review.queue import ReviewQueue
from labeling.review.web.cache import TtlCache
from labeling.review.web.corrections import Clicker
from labeling.review.web.frames import FrameCache, Prefetcher
from labeling.review.web.requests import Refused
from labeling.review.web.store_view import StoreView


@dataclass(frozen=True, slots=True)
class WorkInHand:
    """A reviewer's unfinished work on an item, as the page's own JSON."""

    work_id: int
    work: str
    kept_at: datetime


class PageQueue:
    """Reads and writes of the review page on a queue's database; each method is one short transaction."""

    def __init__(self, queue: ReviewQueue) -> None:
        self._database, self._clock = queue.database, queue.clock

    def holder(self, token: str) -> LeaseHolder:
        """Whom a lease token was given to; LostLease for one that claim never gave."""
        with self._database.read() as session:
            return holder_of(session, token, self._clock())

    def keep_work(self, item_id: int, reviewer: str, work: str) -> int:
        """Write a reviewer's unfinished work on an item over what was there; returns its number. UnknownItem for no item."""
        with self._database.write() as session:
            # Locked, so that two pages of one reviewer do not both insert a row.
            find(session, item_id, lock=True)
            row = session.scalars(_work(item_id, reviewer)).first()
            if row is None:
                row = WorkRow(item_id=item_id, reviewer=reviewer)
                session.add(row)
            row.work, row.kept_at = work, self._clock()
            session.flush()
            return row.work_id

    def work(self, item_id: int, reviewer: str) -> WorkInHand | None:
        """A reviewer's unfinished work on an item, or None."""
        with self._database.read() as session:
            row = session.scalars(_work(item_id, reviewer)).first()
            return None if row is None else WorkInHand(row.work_id, row.work, row.kept_at)

    def blind_tracks(self, video_id: str) -> frozenset[str]:
        """The objects of a video that wait for a verdict alone, whoever looks at the others."""
        blind = select(ItemRow.track_id).where(ItemRow.video_id == video_id, ItemRow.blind.is_(True))
        with self._database.read() as session:
            return frozenset(session.scalars(blind))

    def is_opinion(self, seq: int) -> bool:
        """Whether a row of the log is an opinion: it awaits others, or answers gold."""
        with self._database.read() as session:
            return session.scalars(select(OpinionRow.seq).where(OpinionRow.seq == seq)).first() is not None

    def decision(self, seq: int) -> LoggedDecision | None:
        """A row of the log, or None."""
        with self._database.read() as session:
            row = session.get(DecisionRow, seq)
            return None if row is None else logged_decision(row)

    def counts(self, chosen: ItemFilter) -> QueueCounts:
        """Count items; with filters those that pass, else nothing that grows with their number."""
        with self._database.read() as session:
            return queue_counts(session, chosen)

    def counts_for(self, counts: QueueCounts, chosen: ItemFilter, viewer: Viewer) -> QueueCounts:
        """The counts as a reviewer sees the items; `counts` are of all of them, by the same filter."""
        with self._database.read() as session:
            return counts_as_seen(session, counts, chosen, viewer)

    def efforts(self) -> Sequence[Effort]:
        """What reviewers' standing decisions took, by reviewer and kind."""
        with self._database.read() as session:
            return efforts(session)


def _work(item_id: int, reviewer: str) -> Select[tuple[WorkRow]]:
    return select(WorkRow).where(WorkRow.item_id == item_id, WorkRow.reviewer == reviewer)

# Counts of a large queue cost more than a page of it, and nobody sees whether they are two seconds old.
COUNTS_S = 2.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the server behaves. `reviewer` signs in whoever opens the page on this machine while there is no token."""

    lease_s: float = 600.0
    reviewer: str | None = None
    open_door: bool = True
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Services:
    """Queue, page, accounts, store, frames, and the network for clicks, or why there is none."""

    queue: ReviewQueue
    page: PageQueue
    accounts: Accounts
    store: StoreView
    frames: FrameCache
    prefetcher: Prefetcher
    clicker: Clicker
    settings: ServerSettings
    sign_in_limit: SignInLimit = field(default_factory=SignInLimit)
    counts: TtlCache[ItemFilter, QueueCounts] = field(default_factory=lambda: TtlCache(COUNTS_S))
    figures: TtlCache[str, QueueFigures] = field(default_factory=lambda: TtlCache(COUNTS_S))
    efforts: TtlCache[str, tuple[Effort, ...]] = field(default_factory=lambda: TtlCache(COUNTS_S))

    def close(self) -> None:
        """Close what was opened for the application; the queue is its owner's."""
        self.prefetcher.close()
        self.frames.close()


async def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    return cast(Services, request.app.state.services)


Served = Annotated[Services, Depends(services_of)]


class PlainRoute(APIRoute):
    """A route whose endpoint returns plain values, written as JSON in the endpoint's own thread.

    Left to itself FastAPI looks at each value again, twice, which costs more than most of these answers.
    """

    def __init__(self, path: str, endpoint: Callable[..., object], **options: Any) -> None:
        @wraps(endpoint)
        def answered(*args: object, **kwargs: object) -> Response:
            answer = endpoint(*args, **kwargs)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        super().__init__(path, answered, **options)

COOKIE = "labeling_session"
CSRF = "X-CSRF-Token"


def reader(request: Request, services: Served) -> Reviewer:
    """Who asks; 401 without a session."""
    cookie = request.cookies.get(COOKIE)
    reviewer = services.accounts.who(cookie) if cookie else None
    if reviewer is None:
        raise Refused(401, "unauthorized", "nobody is signed in", "sign in")
    return reviewer


def writer(request: Request, services: Served) -> Reviewer:
    """Who asks for a change; 403 without the session's own token in a header, which no other site can know."""
    reviewer = reader(request, services)
    csrf = request.headers.get(CSRF, "")
    if not hmac.compare_digest(csrf.encode(), reviewer.csrf.encode()):
        raise Refused(403, "forbidden", f"{CSRF} is missing or of another session", "load the page again")
    return reviewer


Reading = Annotated[Reviewer, Depends(reader)]
Writing = Annotated[Reviewer, Depends(writer)]


def viewer_of(reviewer: Reviewer) -> Viewer:
    """Who asks, as the queue knows them."""
    return Viewer(reviewer.name, senior=reviewer.role == SENIOR)
