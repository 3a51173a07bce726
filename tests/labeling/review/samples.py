"""Items, prompts and a clock that the review tests share."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from labeling.review.items import Draft, ItemKey, ReviewItem
from labeling.review.queue import ReviewQueue
from labeling.types import RLE, Prompt, PromptSource, QCFlag


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def pass_s(self, seconds: float) -> None:
        """Move on."""
        self.now += timedelta(seconds=seconds)


def video_id(number: int) -> str:
    """An id as the listing makes them."""
    return hashlib.sha256(f"clip-{number}.mp4".encode()).hexdigest()[:16]


def flag(reason: str, value: float = 0.2) -> QCFlag:
    """A flag on frames 3 to 8."""
    return QCFlag(reason, f"{reason}_share", value, 0.1, (3, 9))


def item(
    number: int, *, risk: float = 0.5, version: int = 1, reasons: Sequence[str] = ("swap",), track: str = "7",
    category: str | None = "car", run: str = "run-1", snapshot: str = "v000001", priority: int = 0,
    reviewers: int = 1,
) -> ReviewItem:
    """A review item of video `number`."""
    return ReviewItem(
        ItemKey(video_id(number), track, version), f"clip-{number}.mp4", run, snapshot, risk,
        tuple(flag(reason) for reason in reasons), (0, 48), category, priority, reviewers,
    )


def click(object_id: int = 7, frame_idx: int = 4) -> Prompt:
    """A correction's click."""
    return Prompt(object_id, frame_idx, points_xy=((12.5, 30.25), (1.0, 2.0)), labels=(1, 0))


def seen_mask() -> Prompt:
    """A correction that keeps its click beside the mask that the reviewer saw."""
    return Prompt(
        7, 9, points_xy=((3.0, 4.0),), labels=(1,), mask=RLE((4, 6), "52203"), category="car", source=PromptSource.CORRECTION
    )


def drafts_of(queue: ReviewQueue) -> list[Draft]:
    """Refused work on any item."""
    return [draft for queued in queue.list(None) for draft in queue.history(queued.item_id).drafts]
