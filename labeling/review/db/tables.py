"""The queue's tables, typed; `migrations/` holds the same schema step by step, and a test compares the two.

Names start with `review_`, so that the queue can share a PostgreSQL database with other programs.
"""

from datetime import UTC, datetime
from typing import TypedDict

from sqlalchemy import BigInteger, DateTime, Double, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, false
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import JSON, TypeDecorator


class StoredFlag(TypedDict):
    """A flag of an item as JSON; a number that JSON has no word for is None, `frame_span` is half-open."""

    reason: str
    signal: str
    value: float | None
    threshold: float | None
    frame_span: list[int]
    decision: str


# SQLite numbers rows by itself only where the key is spelled INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, on SQLite too (which keeps no zone); a naive value is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware datetime into what the database keeps."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"datetime is {value!r}; expected an aware one, as datetime.now(UTC) gives")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the datetime its zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What the queue's tables share."""

    type_annotation_map = {datetime: UtcDateTime(), float: Double()}


def table_of(kind: type[Base]) -> Table:
    """The plain table behind rows of a kind, for statements that need no objects."""
    return Base.metadata.tables[kind.__tablename__]


class ItemRow(Base):
    """A review item with its lease; token, reviewer and expiry change together, by compare and set.

    A `blind` item is shown for a verdict alone: its row has neither risk nor flags, so that none can be told.
    """

    __tablename__ = "review_item"
    item_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    video_id: Mapped[str] = mapped_column(String(16))
    track_id: Mapped[str] = mapped_column(String(20))
    label_version: Mapped[int]
    video_key: Mapped[str] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[str] = mapped_column(Text)
    snapshot: Mapped[str] = mapped_column(Text)
    risk: Mapped[float]
    priority: Mapped[int]
    flags: Mapped[list[StoredFlag]] = mapped_column(JSON)
    first_frame: Mapped[int]
    end_frame: Mapped[int]
    status: Mapped[str] = mapped_column(String(8))
    opened_at: Mapped[datetime]
    closed_because: Mapped[str | None] = mapped_column(Text)
    blind: Mapped[bool] = mapped_column(default=False, server_default=false())
    lease_token: Mapped[str | None] = mapped_column(String(64), unique=True)
    lease_reviewer: Mapped[str | None] = mapped_column(Text)
    lease_started_at: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("video_id", "track_id", "label_version", name="uq_review_item_identity"),)


_rank = (ItemRow.priority.desc(), ItemRow.risk.desc(), ItemRow.item_id)
Index("ix_review_item_rank", ItemRow.status, *_rank)
# What stands behind the rank is there to filter by without a look at the row.
Index("ix_review_item_category", ItemRow.status, ItemRow.category, *_rank, ItemRow.run_id)
Index("ix_review_item_run", ItemRow.status, ItemRow.run_id, *_rank)
Index("ix_review_item_lease", ItemRow.status, ItemRow.lease_expires_at)


class ReasonRow(Base):
    """One reason of one item, with what items are ranked and filtered by, so that any mix of filters is one index's work."""

    __tablename__ = "review_item_reason"
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), primary_key=True)
    reason: Mapped[str] = mapped_column(Text, primary_key=True)
    status: Mapped[str] = mapped_column(String(8))
    priority: Mapped[int]
    risk: Mapped[float]
    category: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[str] = mapped_column(Text)


Index(
    "ix_review_item_reason_rank", ReasonRow.reason, ReasonRow.status, ReasonRow.priority.desc(), ReasonRow.risk.desc(),
    ReasonRow.item_id, ReasonRow.category, ReasonRow.run_id,
)


class TallyRow(Base):
    """How many items of a status have a reason, category or run; triggers keep it. Rows of one name add up."""

    __tablename__ = "review_tally"
    tally_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    facet: Mapped[str] = mapped_column(String(8))
    status: Mapped[str] = mapped_column(String(8))
    name: Mapped[str] = mapped_column(Text)
    num_items: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_review_tally_name", "facet", "status", "name"),)


class DecisionRow(Base):
    """The decision log: rows are only ever added (a trigger refuses the rest), each chained by hash to the one before."""

    __tablename__ = "review_decision"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), index=True)
    video_id: Mapped[str] = mapped_column(String(16))
    track_id: Mapped[str] = mapped_column(String(20))
    label_version: Mapped[int]
    action: Mapped[str] = mapped_column(String(8))
    reviewer: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime]
    seconds: Mapped[float]
    note: Mapped[str] = mapped_column(Text)
    prompts: Mapped[str] = mapped_column(Text)
    lease_token: Mapped[str] = mapped_column(String(64), unique=True)
    previous_hash: Mapped[str] = mapped_column(String(64))
    row_hash: Mapped[str] = mapped_column(String(64), unique=True)


class ChainHeadRow(Base):
    """The log's length and last hash: one row, locked while a decision is added, so that a cut tail shows."""

    __tablename__ = "review_chain_head"
    head_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    num_decisions: Mapped[int] = mapped_column(BigInteger)
    row_hash: Mapped[str] = mapped_column(String(64))


class AppliedRow(Base):
    """A correction that a run has tracked from; apart from the log, which never changes."""

    __tablename__ = "review_applied"
    seq: Mapped[int] = mapped_column(BigId, ForeignKey("review_decision.seq"), primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(Text)
    applied_at: Mapped[datetime]


class DraftRow(Base):
    """A refused decision's work."""

    __tablename__ = "review_draft"
    draft_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), index=True)
    reviewer: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(8))
    prompts: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    seconds: Mapped[float]
    refused_because: Mapped[str] = mapped_column(Text)
    kept_at: Mapped[datetime]


class EventRow(Base):
    """One step in an item's life; `lease_token` finds the item of a lease that is gone."""

    __tablename__ = "review_event"
    event_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    happened_at: Mapped[datetime]
    reviewer: Mapped[str | None] = mapped_column(Text)
    lease_token: Mapped[str | None] = mapped_column(String(64), index=True)
    detail: Mapped[str] = mapped_column(Text)


class EffortRow(Base):
    """What a decision took beside its seconds; apart from the log, whose hashes cover its own columns only."""

    __tablename__ = "review_effort"
    seq: Mapped[int] = mapped_column(BigId, ForeignKey("review_decision.seq"), primary_key=True, autoincrement=False)
    clicks: Mapped[int]


class UndoneRow(Base):
    """A decision that its reviewer took back, and the row of the log that says so."""

    __tablename__ = "review_undone"
    seq: Mapped[int] = mapped_column(BigId, ForeignKey("review_decision.seq"), primary_key=True, autoincrement=False)
    undone_by: Mapped[int] = mapped_column(BigId, ForeignKey("review_decision.seq"), unique=True)


class WorkRow(Base):
    """What a reviewer has on the page and not yet decided: one for each item and reviewer, as the page's own JSON."""

    __tablename__ = "review_work"
    work_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"))
    reviewer: Mapped[str] = mapped_column(Text)
    work: Mapped[str] = mapped_column(Text)
    kept_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("item_id", "reviewer", name="uq_review_work_owner"),)


class ConsensusRow(Base):
    """How many reviewers an item asks for, where it is more than one."""

    __tablename__ = "review_consensus"
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), primary_key=True, autoincrement=False)
    wanted: Mapped[int]


class DisputeRow(Base):
    """An item whose reviewers disagree: it waits for a senior."""

    __tablename__ = "review_dispute"
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), primary_key=True, autoincrement=False)


class OpinionRow(Base):
    """A reviewer who has had their say on an item that goes on waiting; they do not get it again.

    `seq` is the row of the log that settles nothing by itself, None for who settled the item before it became gold.
    """

    __tablename__ = "review_opinion"
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), primary_key=True, autoincrement=False)
    reviewer: Mapped[str] = mapped_column(Text, primary_key=True, index=True)
    seq: Mapped[int | None] = mapped_column(BigId, ForeignKey("review_decision.seq"), unique=True)


class GoldRow(Base):
    """An item of known truth: whether its masks are `good`, and true masks as prompts; the log after `after_seq` answers it."""

    __tablename__ = "review_gold"
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), primary_key=True, autoincrement=False)
    good: Mapped[bool]
    truth: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    after_seq: Mapped[int] = mapped_column(BigInteger)
    added_at: Mapped[datetime]


class AuditRow(Base):
    """An item that a draw of the random audit holds, and the probability with which it was drawn."""

    __tablename__ = "review_audit"
    draw: Mapped[str] = mapped_column(Text, primary_key=True)
    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.item_id"), primary_key=True, autoincrement=False)
    inclusion: Mapped[float]
    drawn_at: Mapped[datetime]


class TokenRow(Base):
    """A reviewer's token: its SHA-256 alone, so that who reads the database cannot sign in."""

    __tablename__ = "review_token"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    reviewer: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(8))
    made_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class SessionRow(Base):
    """A signed-in browser: the SHA-256 of its cookie; `token_sha256` is what it signed in with, None where none was asked."""

    __tablename__ = "review_session"
    session_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_sha256: Mapped[str | None] = mapped_column(String(64))
    reviewer: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(8))
    csrf: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime]
