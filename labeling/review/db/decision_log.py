"""The decision log: rows are appended under a hash chain, verified, written out, and read as decisions and corrections.

Each row's hash covers its content and the hash of the row before. A changed, dropped or reordered row breaks the chain; a cut
tail shows against the stored head. Whoever can rewrite the whole database can also rewrite the chain, so a snapshot should
store the head's hash elsewhere and hand it to `audit_log`.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.orm import Session

from labeling.errors import BadInput
from labeling.ingest.tables import require_like, write_rows
from labeling.review.db.database import Database
from labeling.review.db.rows import canonical, key_of, logged_decision
from labeling.review.db.tables import AppliedRow, ChainHeadRow, DecisionRow, EffortRow, ItemRow, OpinionRow, UndoneRow, table_of
from labeling.review.items import Correction, LoggedDecision
from labeling.store.records import prompts_from_json
from labeling.types import ReviewDecision

FIRST_HASH = "0" * 64
_HEAD = table_of(ChainHeadRow)
_READ_HEAD = select(_HEAD.c.num_decisions, _HEAD.c.row_hash).where(_HEAD.c.head_id == 1).with_for_update()
_MOVE_HEAD = update(_HEAD).where(_HEAD.c.head_id == 1)
_APPEND = insert(table_of(DecisionRow)).inline()
_CONTENT = (
    "seq", "item_id", "video_id", "track_id", "label_version", "action", "reviewer", "decided_at", "seconds", "note",
    "prompts", "lease_token",
)


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Whether the decision log is whole; if not, the first row that is missing or does not fit, and why."""

    num_decisions: int
    head_hash: str
    broken_at: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether every row fits the one before it and the stored head."""
        return not self.problem


def row_hash(previous_hash: str, content: Mapping[str, object]) -> str:
    """SHA-256, in hex, of the hash before and the canonical JSON of a decision's columns."""
    decided_at = content["decided_at"]
    assert isinstance(decided_at, datetime), "a decision's time"
    plain = {name: content[name] for name in _CONTENT} | {"decided_at": decided_at.isoformat(timespec="microseconds")}
    return hashlib.sha256(f"{previous_hash}\n{canonical(plain)}".encode("ascii")).hexdigest()


def append_decision(session: Session, content: Mapping[str, object]) -> DecisionRow:
    """Write one decision at the end of the log and return it, detached from the session.

    `content` has the columns of `_CONTENT` but `seq`. Writers wait for the head's row lock, so the log has no gap and no fork.
    """
    num_decisions, previous_hash = session.execute(_READ_HEAD).one()
    full = {**content, "seq": num_decisions + 1}
    full |= {"previous_hash": previous_hash, "row_hash": row_hash(previous_hash, full)}
    session.execute(_APPEND, full)
    session.execute(_MOVE_HEAD, {"num_decisions": full["seq"], "row_hash": full["row_hash"]})
    return DecisionRow(**full)


def verify_chain(session: Session, *, expected_head: str | None = None) -> ChainReport:
    """Recompute every hash from the first row on; `expected_head` is a hash stored elsewhere that the log must contain."""
    previous, count, seen = FIRST_HASH, 0, expected_head in (None, FIRST_HASH)
    for row in session.execute(select(DecisionRow).order_by(DecisionRow.seq)).yield_per(1000).scalars():
        problem = _problem_of(row, previous, count + 1)
        if problem:
            return ChainReport(count, previous, count + 1, problem)
        previous, count = row.row_hash, count + 1
        seen = seen or previous == expected_head
    head = session.get_one(ChainHeadRow, 1)
    if (head.num_decisions, head.row_hash) != (count, previous):
        problem = f"the log ends after {count} rows; expected {head.num_decisions}, as the kept head says"
        return ChainReport(count, previous, count + 1, problem)
    if not seen:
        return ChainReport(count, previous, count + 1, f"no row has the hash {expected_head}, which was kept elsewhere")
    return ChainReport(count, previous)


def _problem_of(row: DecisionRow, previous: str, seq: int) -> str:
    if row.seq != seq:
        return f"row {seq} is missing: row {row.seq} follows row {seq - 1}"
    if row.previous_hash != previous:
        return f"row {seq} names {row.previous_hash[:12]} as the hash before it; expected {previous[:12]}"
    content = {name: getattr(row, name) for name in _CONTENT}
    if row.row_hash != row_hash(previous, content):
        return f"row {seq} does not match its hash: its content was changed"
    return ""

# A row's hash covers all columns but the last, in canonical JSON; `prompts` is the very text that is hashed.
COLUMNS: Mapping[str, pa.DataType] = {
    "seq": pa.int64(), "item_id": pa.int64(), "video_id": pa.string(), "track_id": pa.string(), "label_version": pa.int64(),
    "action": pa.string(), "reviewer": pa.string(), "decided_at": pa.string(), "seconds": pa.float64(), "note": pa.string(),
    "prompts": pa.string(), "lease_token": pa.string(), "previous_hash": pa.string(), "row_hash": pa.string(),
}


def audit_log(database: Database, *, out: str | None = None, expected_head: str | None = None) -> ChainReport:
    """Recompute the log's hashes, and write the log as it is to `out` (.jsonl, .csv or .parquet; a path or s3://).

    `expected_head` is a hash that was stored elsewhere and that the log must contain. Raises BadConfiguration
    where `out` is there and is no earlier log.
    """
    if out is not None:
        require_like(out, COLUMNS)
    with database.read() as session:
        report = verify_chain(session, expected_head=expected_head)
        if out is not None:
            rows = session.execute(select(DecisionRow).order_by(DecisionRow.seq)).yield_per(1000).scalars()
            write_rows(out, map(_values, rows), columns=COLUMNS)
    return report


def _values(row: DecisionRow) -> dict[str, object]:
    values = {name: getattr(row, name) for name in COLUMNS}
    return values | {"decided_at": row.decided_at.isoformat(timespec="microseconds")}

ACTIONS = ("accept", "reject", "correct")
PAGE = 1000


def decisions_after(session: Session, seq: int) -> Iterator[LoggedDecision]:
    """At most `PAGE` rows of the log after `seq`, oldest first."""
    query = select(DecisionRow).where(DecisionRow.seq > seq).order_by(DecisionRow.seq).limit(PAGE)
    for row in session.execute(query).scalars():
        yield logged_decision(row)


def stands() -> ColumnElement[bool]:
    """The condition for a row of the log that says something of its item and was not taken back."""
    return DecisionRow.action.in_(ACTIONS) & DecisionRow.seq.not_in(select(UndoneRow.seq))


def is_outcome() -> ColumnElement[bool]:
    """The condition for a row that settles its item: it stands and is no opinion beside others'."""
    return stands() & DecisionRow.seq.not_in(select(OpinionRow.seq).where(OpinionRow.seq.is_not(None)))


def standing_decisions(session: Session) -> list[ReviewDecision]:
    """The decision that settled each settled item, oldest first; opinions and answers to gold are none."""
    last = select(func.max(DecisionRow.seq)).where(is_outcome()).group_by(DecisionRow.item_id)
    rows = session.scalars(select(DecisionRow).where(DecisionRow.seq.in_(last)).order_by(DecisionRow.seq))
    return [
        ReviewDecision(
            *key_of(row), action=row.action, reviewer=row.reviewer, decided_at=row.decided_at.isoformat(),
            seconds=row.seconds, note=row.note, prompts=prompts_from_json(row.prompts),
        )
        for row in rows
    ]


def list_corrections(session: Session, *, unapplied_only: bool) -> list[Correction]:
    """Corrections that settled their items and stand, oldest first."""
    query = (
        select(DecisionRow, ItemRow.video_key, AppliedRow.run_id)
        .join(ItemRow, ItemRow.item_id == DecisionRow.item_id)
        .outerjoin(AppliedRow, AppliedRow.seq == DecisionRow.seq)
        .where(DecisionRow.action == "correct", is_outcome()).order_by(DecisionRow.seq)
    )
    if unapplied_only:
        query = query.where(AppliedRow.seq.is_(None))
    return [
        Correction(row.seq, key_of(row), video_key, prompts_from_json(row.prompts), run_id)
        for row, video_key, run_id in session.execute(query)
    ]


def mark_applied(session: Session, seqs: Collection[int], run_id: str, now: datetime) -> int:
    """Note that a run has tracked from corrections; BadInput for a row of the log that is no correction."""
    distinct = sorted(set(seqs))
    is_correction = DecisionRow.seq.in_(distinct) & (DecisionRow.action == "correct")
    count = session.execute(select(func.count()).where(is_correction)).scalar_one()
    if count != len(distinct):
        raise BadInput(f"seqs are {distinct[:8]}; expected rows of the decision log that are corrections", "unknown_correction")
    done = set(session.execute(select(AppliedRow.seq).where(AppliedRow.seq.in_(distinct))).scalars())
    session.add_all(AppliedRow(seq=seq, run_id=run_id, applied_at=now) for seq in distinct if seq not in done)
    return len(distinct) - len(done)


def counted_clicks(session: Session, seqs: Collection[int]) -> Mapping[int, int]:
    """Return the clicks by row of the log, for rows whose clicks were counted."""
    query = select(EffortRow.seq, EffortRow.clicks).where(EffortRow.seq.in_(sorted(seqs)))
    return {row.seq: row.clicks for row in session.execute(query)}


def undone_corrections(session: Session) -> Sequence[Correction]:
    """Return the corrections that their reviewers took back, oldest first."""
    query = (
        select(DecisionRow, ItemRow.video_key)
        .join(UndoneRow, UndoneRow.seq == DecisionRow.seq)
        .join(ItemRow, ItemRow.item_id == DecisionRow.item_id)
        .where(DecisionRow.action == "correct").order_by(DecisionRow.seq)
    )
    return [
        Correction(row.seq, key_of(row), video_key, prompts_from_json(row.prompts))
        for row, video_key in session.execute(query)
    ]
