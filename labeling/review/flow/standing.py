"""What the log alone does not say of corrections: the clicks that were counted, and which were taken back."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from labeling.review.db.rows import key_of
from labeling.review.db.tables import DecisionRow, EffortRow, ItemRow, UndoneRow
from labeling.review.items import Correction
from labeling.review.queue import ReviewQueue
from labeling.store.records import prompts_from_json


def counted_clicks(queue: ReviewQueue, seqs: Collection[int]) -> Mapping[int, int]:
    """Return the clicks of those decisions for which somebody counted them."""
    query = select(EffortRow.seq, EffortRow.clicks).where(EffortRow.seq.in_(sorted(seqs)))
    with queue.database.read() as session:
        return {row.seq: row.clicks for row in session.execute(query)}


def undone_corrections(queue: ReviewQueue) -> Sequence[Correction]:
    """Return the corrections that their reviewers took back, oldest first."""
    query = (
        select(DecisionRow, ItemRow.video_key)
        .join(UndoneRow, UndoneRow.seq == DecisionRow.seq)
        .join(ItemRow, ItemRow.item_id == DecisionRow.item_id)
        .where(DecisionRow.action == "correct").order_by(DecisionRow.seq)
    )
    with queue.database.read() as session:
        return [
            Correction(row.seq, key_of(row), video_key, prompts_from_json(row.prompts))
            for row, video_key in session.execute(query)
        ]
