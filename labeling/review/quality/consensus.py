"""When an item is settled: by one reviewer, by as many as it asks for who agree, or by a senior where they do not.

Reviewers agree on the same action and, where they drew, on the masks: the mean J&F over the frames that both corrected is
`AGREEMENT_JF` or more. Corrections without a common frame cannot be compared, and count as disagreement.
"""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from labeling import rle
from labeling.errors import BadInput
from labeling.geometry import boundary_f, region_similarity
from labeling.review.db.rows import find, key_of
from labeling.review.db.tables import ConsensusRow, DecisionRow, DisputeRow, GoldRow, ItemRow, OpinionRow
from labeling.review.errors import AlreadySettled
from labeling.review.flow.leases import described
from labeling.review.items import MAX_REVIEWERS, WAITING, ItemKey
from labeling.store.records import prompts_from_json
from labeling.types import Prompt

AGREEMENT_JF = 0.85
# Of one item: its number where it is gold, how many reviewers it asks for, its number where they disagree.
_ASKED = select(*(
    select(column).where(kind.item_id == bindparam("item_id")).scalar_subquery() for kind, column in (
        (GoldRow, GoldRow.item_id), (ConsensusRow, ConsensusRow.wanted), (DisputeRow, DisputeRow.item_id),
    )
))


def settles(session: Session, row: ItemRow, logged: DecisionRow) -> bool:
    """Whether a decision just logged is the outcome of its locked item.

    Written where it is not: an opinion, and a dispute where it disagrees with one before. A senior's decision on a disputed
    item settles it and ends the dispute.
    """
    gold, reviewers, dispute = session.execute(_ASKED, {"item_id": row.item_id}).one()
    if gold is not None:
        # Everybody answers gold, so no answer ends it.
        return _add_opinion(session, logged)
    if reviewers is None:
        return True
    if dispute is not None:
        # Only a senior could claim it.
        session.execute(delete(DisputeRow).where(DisputeRow.item_id == row.item_id))
        return True
    others = opinions(session, row.item_id)
    if not all(agree(other, logged) for other in others):
        session.add(DisputeRow(item_id=row.item_id))
        return _add_opinion(session, logged)
    return len(others) + 1 >= reviewers or _add_opinion(session, logged)


def _add_opinion(session: Session, logged: DecisionRow) -> bool:
    session.add(OpinionRow(item_id=logged.item_id, reviewer=logged.reviewer, seq=logged.seq))
    return False


def opinions(session: Session, item_id: int) -> Sequence[DecisionRow]:
    """The decisions on an item that settle nothing by themselves, oldest first."""
    query = select(DecisionRow).join(OpinionRow, OpinionRow.seq == DecisionRow.seq).where(OpinionRow.item_id == item_id)
    return session.scalars(query.order_by(DecisionRow.seq)).all()


def reconsider(session: Session, item_id: int) -> None:
    """Say anew whether reviewers disagree on an item, after one took a decision back."""
    dispute, logged = session.get(DisputeRow, item_id), opinions(session, item_id)
    disagree = not all(agree(first, second) for k, first in enumerate(logged) for second in logged[:k])
    if dispute is not None and not disagree:
        session.delete(dispute)
    if dispute is None and disagree and session.get(ConsensusRow, item_id) is not None:
        session.add(DisputeRow(item_id=item_id))


def ask(session: Session, item: int | ItemKey, reviewers: int) -> None:
    """Ask for so many reviewers of one waiting item; BadInput for fewer than another opinion could still bring about."""
    row = find(session, item, lock=True)
    if row.status not in WAITING:
        raise AlreadySettled(f"item {key_of(row)} is {described(row)}; expected one that waits for a decision")
    have = len(opinions(session, row.item_id))
    if not have < reviewers <= MAX_REVIEWERS:
        problem = f"reviewers is {reviewers} for item {key_of(row)}, which {have} have decided"
        raise BadInput(f"{problem}; expected {have + 1} to {MAX_REVIEWERS}", "bad_reviewers")
    session.merge(ConsensusRow(item_id=row.item_id, wanted=reviewers))


def agree(first: DecisionRow, second: DecisionRow) -> bool:
    """Whether two decisions on one item say the same."""
    if first.action != second.action:
        return False
    if first.action != "correct":
        return True
    likeness = mask_likeness(prompts_from_json(first.prompts), prompts_from_json(second.prompts))
    return likeness is not None and likeness >= AGREEMENT_JF


def mask_likeness(first: Sequence[Prompt], second: Sequence[Prompt]) -> float | None:
    """Mean J&F over the frames for which both give a mask, None where there is no such frame."""
    others = {prompt.frame_idx: prompt.mask for prompt in second if prompt.mask is not None}
    pairs = [(p.mask, others[p.frame_idx]) for p in first if p.mask is not None and p.frame_idx in others]
    both = [(rle.decode(mask), rle.decode(other)) for mask, other in pairs if mask.size_hw == other.size_hw]
    if not both:
        return None
    return float(np.mean([(region_similarity(*pair) + boundary_f(*pair)) / 2 for pair in both]))
