"""What goes into the queue and what comes out of it, as frozen records, and what the queue refuses, by name.

Times are aware UTC datetimes; frame spans are half-open; `risk` is in [0, 1].
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from labeling.errors import BadInput, ErrorKind, LabelingError, Unavailable, require, shown
from labeling.types import Prompt, QCFlag, TableRow, Verdict

MAX_REVIEWERS = 9
_MOST_DIGITS = 18  # of an item's number, which is an int64
_NAME = re.compile(r"([0-9a-f]{16})/(-?[0-9]{1,19})@([0-9]{1,9})")


class ItemStatus(StrEnum):
    """Where an item stands; `decided` is final, `closed` means that a newer version or verdict made it moot."""

    OPEN = "open"
    CLAIMED = "claimed"
    DECIDED = "decided"
    CLOSED = "closed"


# The statuses of an item that nobody has settled.
WAITING = (ItemStatus.OPEN, ItemStatus.CLAIMED)


class ItemKey(NamedTuple):
    """Which version of which masklet an item is about; equal to the plain tuple of the same three values."""

    video_id: str
    track_id: str
    label_version: int

    def __str__(self) -> str:
        return f"{self.video_id}/{self.track_id}@{self.label_version}"

    @classmethod
    def of_row(cls, row: TableRow) -> "ItemKey":
        """Return what a row of the store's tables is about."""
        return cls(row["video_id"], row["track_id"], row["label_version"])

    @classmethod
    def parse(cls, text: str) -> "ItemKey":
        """Read `VIDEO_ID/TRACK_ID@VERSION`; BadInput when the text has another form."""
        match = _NAME.fullmatch(text.strip())
        if match is None:
            raise BadInput(f"item is {shown(text)}; expected VIDEO_ID/TRACK_ID@VERSION or the item's number", "unknown_item")
        return cls(match[1], match[2], int(match[3]))


def item_of(text: str) -> int | ItemKey:
    """Read an item as people type it: its number or VIDEO_ID/TRACK_ID@VERSION."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS else ItemKey.parse(text)


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A masklet that the judge doubts, on its way into the queue; higher `priority` goes before any risk.

    `reviewers` is how many are to agree on it; it counts when the item is new.
    """

    key: ItemKey
    video_key: str
    run_id: str
    snapshot: str
    risk: float
    flags: tuple[QCFlag, ...] = ()
    frame_span: tuple[int, int] = (0, 1)
    category: str | None = None
    priority: int = 0
    reviewers: int = 1

    def __post_init__(self) -> None:
        video_id, track_id, label_version = self.key
        require(len(video_id) == 16, "video_id", video_id, "16 lower-case hex digits")
        require(re.fullmatch(r"-?\d+", track_id) is not None, "track_id", track_id, "an object_id as text")
        require(label_version >= 0, "label_version", label_version, "a version from 0 on")
        require(0.0 <= self.risk <= 1.0, "risk", self.risk, "a number in [0, 1]")
        require(0 <= self.frame_span[0] < self.frame_span[1], "frame_span", self.frame_span, "a half-open span of frames")
        require(1 <= self.reviewers <= MAX_REVIEWERS, "reviewers", self.reviewers, f"1 to {MAX_REVIEWERS}")

    @classmethod
    def of_verdict(
        cls, verdict: Verdict, *, video_key: str, run_id: str, snapshot: str,
        frame_span: tuple[int, int], category: str | None = None, priority: int = 0, reviewers: int = 1,
    ) -> Self:
        """Make the item for a verdict; `frame_span` is the masklet's."""
        key = ItemKey(verdict.video_id, verdict.track_id, verdict.label_version)
        return cls(
            key, video_key, run_id, snapshot, verdict.risk, verdict.flags, frame_span, category, priority, reviewers
        )


@dataclass(frozen=True, slots=True)
class QueuedItem:
    """An item as it stands in the queue; `reviewer` and `lease_expires_at` are the lease's, or None.

    One that is `blind` is shown for a verdict alone, and has no risk and no flags that could be told.
    """

    item_id: int
    key: ItemKey
    video_key: str
    category: str | None
    run_id: str
    snapshot: str
    risk: float
    priority: int
    flags: tuple[QCFlag, ...]
    frame_span: tuple[int, int]
    status: ItemStatus
    opened_at: datetime
    reviewer: str | None = None
    lease_expires_at: datetime | None = None
    closed_because: str | None = None
    blind: bool = False

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the flags, worst first, each once."""
        return tuple(dict.fromkeys(flag.reason for flag in self.flags))


@dataclass(frozen=True, slots=True)
class Viewer:
    """A reviewer who looks at the queue; a senior also gets what others disagree on."""

    name: str
    senior: bool = False


@dataclass(frozen=True, slots=True)
class Consensus:
    """How many reviewers an item asks for, and how many of them are known to have had their say."""

    wanted: int
    have: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A reviewer's hold on one item until `expires_at`; `token` is what heartbeat, release and decide ask for."""

    token: str
    reviewer: str
    expires_at: datetime
    item: QueuedItem


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One row of the decision log; `row_hash` covers the content and the hash before.

    `action` is accept, reject, correct, or undo: the reviewer took back what the note names.
    """

    seq: int
    key: ItemKey
    action: str
    reviewer: str
    decided_at: datetime
    seconds: float
    note: str
    prompts: tuple[Prompt, ...]
    previous_hash: str
    row_hash: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A decided correction: the prompts that the next run tracks the object from, each of source `correction`."""

    seq: int
    key: ItemKey
    video_key: str
    prompts: tuple[Prompt, ...]
    applied_by: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A refused decision's work, stored so that nobody has to do it again."""

    draft_id: int
    item_id: int
    reviewer: str
    action: str
    prompts: tuple[Prompt, ...]
    note: str
    seconds: float
    refused_because: str
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class ItemEvent:
    """One step in an item's life.

    opened, refreshed, reopened, claimed, released, expired, decided, opinion (a decision that others are to agree with),
    undone, refused, closed, gold, ungold.
    """

    kind: str
    happened_at: datetime
    reviewer: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class ItemHistory:
    """Everything the queue knows of one item, oldest first."""

    item: QueuedItem
    events: Sequence[ItemEvent] = field(default_factory=tuple)
    decisions: Sequence[LoggedDecision] = field(default_factory=tuple)
    drafts: Sequence[Draft] = field(default_factory=tuple)


class UnknownItem(BadInput):
    """No review item has this id or identity."""

    def __init__(self, message: str, reason: str = "unknown_item") -> None:
        super().__init__(message, reason)


class ItemHeld(LabelingError):
    """Another reviewer holds a live lease on the item."""

    def __init__(self, message: str, reason: str = "item_held") -> None:
        super().__init__(message, reason)


class AlreadySettled(LabelingError):
    """The item is decided or closed: nothing is left to claim or decide."""

    def __init__(self, message: str, reason: str = "already_settled") -> None:
        super().__init__(message, reason)


class NeedsSenior(LabelingError):
    """Reviewers disagree on the item: only a senior can take it."""

    def __init__(self, message: str, reason: str = "needs_senior") -> None:
        super().__init__(message, reason)


class OthersLease(LabelingError):
    """The lease was given to another reviewer than the one who decides with it."""

    def __init__(self, message: str, reason: str = "others_lease") -> None:
        super().__init__(message, reason)


class LostLease(LabelingError):
    """The lease ran out, was released, or its item was closed; a decision that came with it is kept as a draft.

    `draft_id` is the draft's, or None where no work came with the call.
    """

    def __init__(self, message: str, reason: str = "lost_lease", draft_id: int | None = None) -> None:
        super().__init__(message, reason)
        self.draft_id = draft_id


class WrongRevision(Unavailable):
    """The database was written by a newer version of this package; no retry mends that."""

    kind = ErrorKind.POISON

    def __init__(self, message: str, reason: str = "wrong_revision") -> None:
        super().__init__(message, reason)
