"""What requests are served with: made once, handed to every route, closed with the application."""

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from labeling.review.accounts import Accounts
from labeling.review.figures import QueueFigures
from labeling.review.flow.desk import Desk, QueueCounts
from labeling.review.flow.listing import ItemFilter
from labeling.review.quality.throughput import Effort
from labeling.review.queue import ReviewQueue
from labeling.review.web.clicking import Clicker
from labeling.review.web.frames import FrameShelf
from labeling.review.web.guesses import Guesses
from labeling.review.web.keeping import Recent
from labeling.review.web.storing import StoreView
from labeling.review.web.warming import Warmer

# Counts of a large queue cost more than a page of it, and nobody sees whether they are two seconds old.
COUNTS_S = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server behaves; `reviewer` signs in whoever opens the page on this machine while there is no token."""

    lease_s: float = 600.0
    reviewer: str | None = None
    open_door: bool = True
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Services:
    """Queue, desk, accounts, store, frames, and the network for clicks, or why there is none."""

    queue: ReviewQueue
    desk: Desk
    accounts: Accounts
    store: StoreView
    frames: FrameShelf
    warmer: Warmer
    clicker: Clicker
    settings: Settings
    guesses: Guesses = field(default_factory=Guesses)
    counts: Recent[ItemFilter, QueueCounts] = field(default_factory=lambda: Recent(COUNTS_S))
    figures: Recent[str, QueueFigures] = field(default_factory=lambda: Recent(COUNTS_S))
    efforts: Recent[str, tuple[Effort, ...]] = field(default_factory=lambda: Recent(COUNTS_S))

    def close(self) -> None:
        """Close what was opened for the application; the queue is its owner's."""
        self.warmer.close()
        self.frames.close()


async def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    return cast(Services, request.app.state.services)


Served = Annotated[Services, Depends(services_of)]
