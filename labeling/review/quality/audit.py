"""The decision log for an auditor: verified row by row, and written out with everything that its hashes cover."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from sqlalchemy import select

from labeling.ingest.tables import require_like, write_rows
from labeling.review.db.chain import verify_chain
from labeling.review.db.tables import DecisionRow
from labeling.review.items import ChainReport
from labeling.review.queue import ReviewQueue

# A row's hash covers all columns but the last, in canonical JSON; `prompts` is the very text that is hashed.
COLUMNS: Mapping[str, pa.DataType] = {
    "seq": pa.int64(), "item_id": pa.int64(), "video_id": pa.string(), "track_id": pa.string(), "label_version": pa.int64(),
    "action": pa.string(), "reviewer": pa.string(), "decided_at": pa.string(), "seconds": pa.float64(), "note": pa.string(),
    "prompts": pa.string(), "lease_token": pa.string(), "previous_hash": pa.string(), "row_hash": pa.string(),
}


def audit(queue: ReviewQueue, *, out: str | None = None, expected_head: str | None = None) -> ChainReport:
    """Recompute the log's hashes, and write the log as it is to `out` (.jsonl, .csv or .parquet; a path or s3://).

    `expected_head` is a hash that was kept elsewhere and that the log must contain.
    """
    if out is not None:
        require_like(out, COLUMNS)
    with queue.database.read() as session:
        report = verify_chain(session, expected_head=expected_head)
        if out is not None:
            rows = session.execute(select(DecisionRow).order_by(DecisionRow.seq)).yield_per(1000).scalars()
            write_rows(out, map(_values, rows), columns=COLUMNS)
    return report


def render_audit(report: ChainReport, *, out: str | None = None) -> Iterator[str]:
    """Say in lines whether the log is whole, or which row is the first that does not fit."""
    if report.ok:
        yield f"the decision log is whole: {report.num_decisions} decisions, head {report.head_hash}"
        yield "keep this hash where the queue's owner cannot write, and give it as --expected-head next time"
    else:
        yield f"the decision log is BROKEN at row {report.broken_at}: {report.problem}"
        yield f"{report.num_decisions} decisions before it fit, up to hash {report.head_hash}"
    if out is not None:
        yield f"written to {out}"


def _values(row: DecisionRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in COLUMNS}
    return values | {"decided_at": row.decided_at.isoformat(timespec="microseconds")}
