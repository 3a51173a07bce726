"""When an item is settled, and what a reviewer may know of it before.

One reviewer settles it, or as many as it asks for who agree, or a senior where they do not. Reviewers agree on the same action
and, where they drew, on the masks: the mean J&F over the frames that both corrected is `AGREEMENT_JF` or more. Corrections
without a common frame cannot be compared, and count as disagreement.

What is shown of an item must not tell that it waits for other reviewers or that its truth is known (gold): until it is settled
for everybody a reviewer sees its openings and their own steps.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Select, bindparam, delete, select
from sqlalchemy.orm import Session

from labeling import rle
from labeling.errors import BadInput
from labeling.geometry import boundary_f, region_similarity
from labeling.review.db.rows import draft, find, item_event, key_of, logged_decision, queued_item
from labeling.review.db.tables import ConsensusRow, DecisionRow, DisputeRow, DraftRow, EventRow, GoldRow, ItemRow, OpinionRow
from labeling.review.flow.leases import described
from labeling.review.items import (
    MAX_REVIEWERS,
    WAITING,
    AlreadySettled,
    Consensus,
    ItemHistory,
    ItemKey,
    ItemStatus,
    QueuedItem,
    Viewer,
)
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
    """Return whether a decision settles its item; called once for each, after the log has it, under the item's lock.

    True for the only reviewer an item asks for, for the last of several who agree, and for a senior on a disputed item, whose
    dispute is deleted. False for the others: the decision is written as an opinion, with a dispute where it disagrees with an
    earlier opinion. Answers to gold never settle it. The item's status is the caller's to write.
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
    # Opinions on one item follow each other by its lock, so two reviewers cannot both count themselves as the last.
    others = opinions(session, row.item_id)
    if not all(agree(other, logged) for other in others):
        session.add(DisputeRow(item_id=row.item_id))
        return _add_opinion(session, logged)
    return len(others) + 1 >= reviewers or _add_opinion(session, logged)


def _add_opinion(session: Session, logged: DecisionRow) -> bool:
    """Write that a decision settles nothing by itself; False, so that callers can return it."""
    session.add(OpinionRow(item_id=logged.item_id, reviewer=logged.reviewer, seq=logged.seq))
    return False


def opinions(session: Session, item_id: int) -> Sequence[DecisionRow]:
    """The decisions on an item that await others to agree, oldest first; answers to gold are among them."""
    query = select(DecisionRow).join(OpinionRow, OpinionRow.seq == DecisionRow.seq).where(OpinionRow.item_id == item_id)
    return session.scalars(query.order_by(DecisionRow.seq)).all()


def reconsider(session: Session, item_id: int) -> None:
    """Write or delete an item's dispute by the opinions that are left, after a reviewer took one back."""
    dispute, logged = session.get(DisputeRow, item_id), opinions(session, item_id)
    disagree = not all(agree(first, second) for k, first in enumerate(logged) for second in logged[:k])
    if dispute is not None and not disagree:
        session.delete(dispute)
    if dispute is None and disagree and session.get(ConsensusRow, item_id) is not None:
        session.add(DisputeRow(item_id=item_id))


def ask(session: Session, item: int | ItemKey, reviewers: int) -> None:
    """Write how many reviewers a waiting item asks for.

    Errors: UnknownItem, AlreadySettled, BadInput unless `reviewers` is above the opinions it has and at most `MAX_REVIEWERS`.
    """
    row = find(session, item, lock=True)
    if row.status not in WAITING:
        raise AlreadySettled(f"item {key_of(row)} is {described(row)}; expected one that waits for a decision")
    have = len(opinions(session, row.item_id))
    # With as many as it has, no decision would come that settles it.
    if not have < reviewers <= MAX_REVIEWERS:
        problem = f"reviewers is {reviewers} for item {key_of(row)}, which {have} have decided"
        raise BadInput(f"{problem}; expected {have + 1} to {MAX_REVIEWERS}", "bad_reviewers")
    session.merge(ConsensusRow(item_id=row.item_id, wanted=reviewers))


def agree(first: DecisionRow, second: DecisionRow) -> bool:
    """Whether two decisions on one item have the same action and, for corrections, masks with a mean J&F of `AGREEMENT_JF`."""
    if first.action != second.action:
        return False
    if first.action != "correct":
        return True
    likeness = mask_likeness(prompts_from_json(first.prompts), prompts_from_json(second.prompts))
    return likeness is not None and likeness >= AGREEMENT_JF


def mask_likeness(first: Sequence[Prompt], second: Sequence[Prompt]) -> float | None:
    """Mean J&F in [0, 1] over the frames for which both give a mask of one size, None where there is no such frame."""
    others = {prompt.frame_idx: prompt.mask for prompt in second if prompt.mask is not None}
    pairs = [(p.mask, others[p.frame_idx]) for p in first if p.mask is not None and p.frame_idx in others]
    both = [(rle.decode(mask), rle.decode(other)) for mask, other in pairs if mask.size_hw == other.size_hw]
    if not both:
        return None
    return float(np.mean([(region_similarity(*pair) + boundary_f(*pair)) / 2 for pair in both]))

OPENINGS = frozenset({"opened", "refreshed", "reopened"})
# The event of a decision that settles nothing by itself; to who made it, it looks like one that does.
OPINION = "opinion"


def spoken_on(viewer: Viewer) -> Select[tuple[int]]:
    """The query for the numbers of waiting items that a reviewer has had their say on."""
    return select(OpinionRow.item_id).where(OpinionRow.reviewer == viewer.name)


def disputed() -> Select[tuple[int]]:
    """The query for the numbers of items whose reviewers disagree."""
    return select(DisputeRow.item_id)


def is_gold(session: Session, item_id: int) -> bool:
    """Whether an item's truth is known."""
    return session.get(GoldRow, item_id) is not None


def as_seen(session: Session, items: Collection[QueuedItem], viewer: Viewer) -> list[QueuedItem]:
    """The items as a reviewer sees them: one that awaits others, or gold, is decided to who has decided it."""
    waiting = [item.item_id for item in items if item.status in WAITING]
    decided_ids = set(session.scalars(spoken_on(viewer).where(OpinionRow.item_id.in_(waiting)))) if waiting else set()
    return [_settled(item) if item.item_id in decided_ids else item for item in items]


def history_of(session: Session, row: ItemRow) -> ItemHistory:
    """All that the queue knows of an item, oldest first."""
    events = session.scalars(select(EventRow).where(EventRow.item_id == row.item_id).order_by(EventRow.event_id))
    logged = session.scalars(select(DecisionRow).where(DecisionRow.item_id == row.item_id).order_by(DecisionRow.seq))
    drafts = session.scalars(select(DraftRow).where(DraftRow.item_id == row.item_id).order_by(DraftRow.draft_id))
    return ItemHistory(
        queued_item(row), tuple(map(item_event, events)), tuple(map(logged_decision, logged)), tuple(map(draft, drafts))
    )


def history_as_seen(session: Session, history: ItemHistory, viewer: Viewer) -> ItemHistory:
    """What a reviewer may know of an item: all of one that is settled or, to a senior, disputed."""
    item = history.item
    (seen,) = as_seen(session, [item], viewer)
    if item.status not in WAITING or (viewer.senior and session.get(DisputeRow, item.item_id) is not None):
        return replace(history, item=seen)
    visible = (event for event in history.events if event.kind in OPENINGS or event.reviewer == viewer.name)
    return replace(
        history,
        item=seen,
        events=tuple(replace(event, kind="decided") if event.kind == OPINION else event for event in visible),
        decisions=tuple(decision for decision in history.decisions if decision.reviewer == viewer.name),
    )


def consensus_as_seen(session: Session, history: ItemHistory, viewer: Viewer) -> Consensus:
    """How far reviewers have come with an item; `history` is all of it.

    While it waits, others count up to one less than are asked for: gold, which anybody may answer, shows no more.
    """
    item_id = history.item.item_id
    consensus_row = session.get(ConsensusRow, item_id)
    reviewers = 1 if consensus_row is None else consensus_row.wanted
    names = set(session.scalars(select(OpinionRow.reviewer).where(OpinionRow.item_id == item_id)))
    if history.item.status not in WAITING:
        names |= {decision.reviewer for decision in history.decisions if decision.action != "undo"}
        return Consensus(reviewers, len(names))
    others = len(names - {viewer.name})
    return Consensus(reviewers, min(others, reviewers - 1) + (viewer.name in names))


def _settled(item: QueuedItem) -> QueuedItem:
    return replace(item, status=ItemStatus.DECIDED, reviewer=None, lease_expires_at=None)
