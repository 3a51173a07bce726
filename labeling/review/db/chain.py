"""The decision log's hash chain: each row's hash covers its content and the hash of the row before.

A changed, dropped or reordered row breaks the chain; a cut tail shows against the kept head. Whoever can rewrite the whole
database can also rewrite the chain, so a snapshot should keep the head's hash elsewhere and hand it to `verify_chain`.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from labeling.review.db.rows import canonical
from labeling.review.db.tables import ChainHeadRow, DecisionRow, table_of
from labeling.review.items import ChainReport

FIRST_HASH = "0" * 64
_HEAD = table_of(ChainHeadRow)
_READ_HEAD = select(_HEAD.c.num_decisions, _HEAD.c.row_hash).where(_HEAD.c.head_id == 1).with_for_update()
_MOVE_HEAD = update(_HEAD).where(_HEAD.c.head_id == 1)
_APPEND = insert(table_of(DecisionRow)).inline()
_CONTENT = (
    "seq", "item_id", "video_id", "track_id", "label_version", "action", "reviewer", "decided_at", "seconds", "note",
    "prompts", "lease_token",
)


def row_hash(previous_hash: str, content: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of the hash before and the canonical JSON of a decision's columns."""
    plain = {name: content[name] for name in _CONTENT}
    plain["decided_at"] = plain["decided_at"].isoformat(timespec="microseconds")
    return hashlib.sha256(f"{previous_hash}\n{canonical(plain)}".encode("ascii")).hexdigest()


def append_decision(session: Session, content: Mapping[str, Any]) -> DecisionRow:
    """Add one decision at the end of the log and return it, apart from the session.

    Decisions queue up for the head's row, so the log has no gap and no fork.
    """
    num_decisions, previous_hash = session.execute(_READ_HEAD).one()
    full = {**content, "seq": num_decisions + 1}
    full |= {"previous_hash": previous_hash, "row_hash": row_hash(previous_hash, full)}
    session.execute(_APPEND, full)
    session.execute(_MOVE_HEAD, {"num_decisions": full["seq"], "row_hash": full["row_hash"]})
    return DecisionRow(**full)


def verify_chain(session: Session, *, expected_head: str | None = None) -> ChainReport:
    """Recompute every hash from the first row on; `expected_head` is a hash kept elsewhere that the log must contain."""
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
