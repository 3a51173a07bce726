"""What requests are served with: parts made once, handed to every route, closed with the application."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.responses import Response

from labeling.review.accounts import Accounts, Guesses
from labeling.review.figures import QueueFigures
from labeling.review.flow.counts import QueueCounts
from labeling.review.flow.listing import ItemFilter
from labeling.review.quality.throughput import Effort
from labeling.review.queue import ReviewQueue
from labeling.review.web.cache import TtlCache
from labeling.review.web.corrections import Clicker
from labeling.review.web.frames import FrameCache
from labeling.review.web.page_queue import PageQueue
from labeling.review.web.prefetch import Prefetcher
from labeling.review.web.store_view import StoreView

# Counts of a large queue cost more than a page of it, and nobody sees whether they are two seconds old.
COUNTS_S = 2.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the server behaves; `reviewer` signs in whoever opens the page on this machine while there is no token."""

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
    guesses: Guesses = field(default_factory=Guesses)
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

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        @wraps(endpoint)
        def answered(*args: Any, **kwargs: Any) -> Response:
            answer = endpoint(*args, **kwargs)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        super().__init__(path, answered, **options)
