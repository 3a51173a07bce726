"""Decides items and takes decisions back; the log gets a row in the same transaction.

A decision that comes after its lease ended changes no item: its work is stored as a draft for its reviewer.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from labeling.errors import BadInput
from labeling.review.db.decision_log import ACTIONS, append_decision, stands
from labeling.review.db.rows import (
    as_corrections,
    checked_note,
    find,
    key_of,
    logged_decision,
    move_one,
    note_event,
    prompts_to_json,
    queued_item,
)
from labeling.review.db.tables import (
    AppliedRow,
    DecisionRow,
    DraftRow,
    EffortRow,
    ItemRow,
    OpinionRow,
    UndoneRow,
    WorkRow,
    table_of,
)
from labeling.review.flow import consensus
from labeling.review.flow.consensus import OPINION, is_gold
from labeling.review.flow.leases import NO_LEASE, claimed_with, expiry_of, has_spoken, held_by, is_live, lost_because, take
from labeling.review.items import AlreadySettled, ItemKey, ItemStatus, LoggedDecision, OthersLease, QueuedItem, Viewer
from labeling.types import Prompt

# Only the transaction itself sees the lease of an item that is claimed and decided in one step.
SHORT_LEASE_S = 60.0
_WORK = table_of(WorkRow)
_DROP_WORK = delete(_WORK).where(_WORK.c.item_id == bindparam("item_id"), _WORK.c.reviewer == bindparam("reviewer"))


@dataclass(frozen=True, slots=True)
class NewDecision:
    """What a reviewer hands in; `seconds` None means since the item was claimed, `clicks` None that nobody counted."""

    action: str
    prompts: tuple[Prompt, ...] = ()
    note: str = ""
    seconds: float | None = None
    clicks: int | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise BadInput(f"action is {self.action!r}; expected accept, reject or correct", "bad_decision")
        if (self.action == "correct") != bool(self.prompts):
            raise BadInput(
                f"{len(self.prompts)} prompts came with {self.action}; expected at least one with correct, none otherwise",
                "bad_decision",
            )
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise BadInput(f"seconds is {self.seconds!r}; expected a time spent, 0 or more", "bad_decision")
        if self.clicks is not None and not 0 <= self.clicks < 2**31:
            raise BadInput(f"clicks is {self.clicks!r}; expected a count, 0 or more", "bad_decision")
        checked_note(self.note)


@dataclass(frozen=True, slots=True)
class RefusedDecision:
    """Why a decision was not taken, and the draft that keeps its work."""

    message: str
    draft_id: int | None


def decide_lease(
    session: Session, token: str, decision: NewDecision, now: datetime, *, reviewer: str | None = None,
    item_id: int | None = None,
) -> LoggedDecision | RefusedDecision:
    """Decide the item that a token holds; a repeated call with the same decision returns the row that is logged.

    Written: the log's row, the item's status and event, clicks; or a draft and its event, with RefusedDecision returned and not
    raised, so that the caller's commit stores the draft.

    Errors: AlreadySettled when this lease decided otherwise, OthersLease and BadInput for a lease that is not `reviewer`'s
    or not on `item_id`, BadInput for prompts of another object.
    """
    row = held_by(session, token)
    if row is not None and is_live(row, now):
        _require_theirs(row.lease_reviewer, row.item_id, reviewer, item_id)
        return _log(session, row, decision, now)
    # The lease is gone: it was decided with it already (a repeated request), or the work came too late.
    claim = claimed_with(session, token)
    if claim is not None:
        holder, claimed = claim
        _require_theirs(holder, claimed.item_id, reviewer, item_id)
    standing = session.execute(select(DecisionRow).where(DecisionRow.lease_token == token)).scalar_one_or_none()
    if standing is not None and session.get(UndoneRow, standing.seq) is None:
        return _repeated(standing, decision)
    return _refuse(session, token, claim, decision, now)


def _require_theirs(holder: str | None, held_id: int, reviewer: str | None, item_id: int | None) -> None:
    if reviewer not in (None, holder):
        raise OthersLease("this lease is another reviewer's; claim the item yourself")
    if item_id not in (None, held_id):
        raise BadInput(f"the lease is on item {held_id}, not {item_id}", "bad_decision")


def decide_item(session: Session, item: int | ItemKey, viewer: Viewer, decision: NewDecision, now: datetime) -> LoggedDecision:
    """Claim and decide one named item; repeated by the same reviewer it returns the row that is logged.

    Errors: UnknownItem, AlreadySettled, NeedsSenior, ItemHeld (another reviewer's live lease), BadInput for prompts of
    another object.
    """
    row = find(session, item, lock=True)
    by_reviewer = select(DecisionRow).where(DecisionRow.item_id == row.item_id, DecisionRow.reviewer == viewer.name, stands())
    standing = session.scalars(by_reviewer.order_by(DecisionRow.seq.desc()).limit(1)).first()
    if standing is not None and (row.status == ItemStatus.DECIDED or has_spoken(session, row.item_id, viewer.name)):
        return _repeated(standing, decision)
    held = take(session, row.item_id, viewer, now, expiry_of(now, SHORT_LEASE_S))
    return _log(session, held, decision, now)


def _log(session: Session, row: ItemRow, decision: NewDecision, now: datetime) -> LoggedDecision:
    """Log a decision on a locked, leased item and end its lease: decided where that settles it, else open to others."""
    if row.blind and decision.action == "correct":
        problem = f"item {key_of(row)} is asked for a verdict alone and {len(decision.prompts)} prompts came"
        raise BadInput(f"{problem}; expected accept or reject", "verdict_only")
    started_at = row.lease_started_at or now
    # Without the page's own count, the time since the claim, which an idle reviewer lengthens.
    seconds = (now - started_at).total_seconds() if decision.seconds is None else decision.seconds
    logged = append_decision(session, {
        **key_of(row)._asdict(), "item_id": row.item_id, "action": decision.action, "reviewer": row.lease_reviewer,
        "decided_at": now, "seconds": max(0.0, float(seconds)), "note": decision.note,
        "prompts": prompts_to_json(as_corrections(decision.prompts, row.track_id)), "lease_token": row.lease_token,
    })
    if decision.clicks is not None:
        session.add(EffortRow(seq=logged.seq, clicks=decision.clicks))
    # After the log has it, for reviewers are compared by their rows of the log.
    settled = consensus.settles(session, row, logged)
    note_event(session, "decided" if settled else OPINION, row, now, detail=decision.action)
    # Its unfinished work went into it; left behind it would be offered again when the decision is taken back.
    session.execute(_DROP_WORK, {"item_id": row.item_id, "reviewer": row.lease_reviewer})
    move_one(session, row, ItemStatus.DECIDED if settled else ItemStatus.OPEN, **NO_LEASE)
    return logged_decision(logged)


def _repeated(standing: DecisionRow, decision: NewDecision) -> LoggedDecision:
    same_prompts = standing.prompts == prompts_to_json(as_corrections(decision.prompts, standing.track_id))
    if (standing.action, standing.note) == (decision.action, decision.note) and same_prompts:
        return logged_decision(standing)
    raise AlreadySettled(
        f"item {key_of(standing)} is decided already: {standing.action!r} by {standing.reviewer!r}; "
        "expected one decision for one lease"
    )


def _refuse(
    session: Session, token: str, claim: tuple[str, ItemRow] | None, decision: NewDecision, now: datetime
) -> RefusedDecision:
    if claim is None:
        return RefusedDecision("lease token is unknown; expected one that claim gave: claim the item again", None)
    reviewer, row = claim
    because = lost_because(session, token, row)
    draft = _keep(session, row, reviewer, decision, because, now)
    detail = f"{decision.action} by {reviewer}: {because}; draft {draft.draft_id}"
    note_event(session, "refused", row, now, detail=detail, reviewer=reviewer)
    message = f"lease on item {key_of(row)} is lost: {because}; your decision is kept as draft {draft.draft_id}: claim it again"
    return RefusedDecision(message, draft.draft_id)


def _keep(session: Session, row: ItemRow, reviewer: str, decision: NewDecision, because: str, now: datetime) -> DraftRow:
    prompts = prompts_to_json(as_corrections(decision.prompts, row.track_id))
    same = select(DraftRow).where(
        DraftRow.item_id == row.item_id, DraftRow.reviewer == reviewer, DraftRow.action == decision.action,
        DraftRow.prompts == prompts, DraftRow.note == decision.note,
    )
    draft = session.execute(same).scalars().first()
    if draft is not None:  # a repeated request
        return draft
    draft = DraftRow(
        item_id=row.item_id, reviewer=reviewer, action=decision.action, prompts=prompts, note=decision.note,
        seconds=float(decision.seconds or 0.0), refused_because=because, kept_at=now,
    )
    session.add(draft)
    session.flush()
    return draft


def undo(session: Session, seq: int, reviewer: str, now: datetime) -> QueuedItem:
    """Take back a reviewer's own last decision: they can have its item again.

    AlreadySettled where the decision is not theirs or not their last one, where the item has gone on since, or where a
    run has tracked from the correction.
    """
    standing = select(DecisionRow).where(
        DecisionRow.reviewer == reviewer, DecisionRow.action.in_(ACTIONS), DecisionRow.seq.not_in(select(UndoneRow.seq))
    )
    last = session.scalars(standing.order_by(DecisionRow.seq.desc()).limit(1)).first()
    if last is None or last.seq != seq:
        expected = "none is left" if last is None else f"expected {last.seq}"
        raise AlreadySettled(f"decision {seq} is not your last one that stands: {expected}")
    row = find(session, last.item_id, lock=True)
    opinion = session.get(OpinionRow, (row.item_id, reviewer))
    if opinion is None or opinion.seq != seq:
        _require_untouched(session, row, last)
        move_one(session, row, ItemStatus.OPEN)
    else:
        # The item waits as it did: only the reviewer's say goes.
        _require_unanswered(session, row, last)
        session.delete(opinion)
    # The log only grows: the row that is taken back stays, and this one says so. Its token is unique, so no decision is
    # taken back twice, whatever requests race.
    logged = append_decision(session, {
        **key_of(row)._asdict(), "item_id": row.item_id, "action": "undo", "reviewer": reviewer, "decided_at": now,
        "seconds": 0.0, "note": f"takes back row {seq}", "prompts": "[]", "lease_token": f"undo-{seq}",
    })
    session.add(UndoneRow(seq=seq, undone_by=logged.seq))
    consensus.reconsider(session, row.item_id)
    note_event(session, "undone", row, now, detail=f"row {seq}, {last.action}, by {reviewer}", reviewer=reviewer)
    return queued_item(find(session, row.item_id))


def _require_unanswered(session: Session, row: ItemRow, last: DecisionRow) -> None:
    """AlreadySettled once others have decided after an opinion, or the item is claimed; gold's answers are never built on."""
    if is_gold(session, row.item_id):
        return
    if row.status != ItemStatus.OPEN or _newest(session, row) != last.seq:
        raise AlreadySettled(f"item {key_of(row)} has gone on since decision {last.seq}: others are asked")


def _require_untouched(session: Session, row: ItemRow, last: DecisionRow) -> None:
    if row.status != ItemStatus.DECIDED or _newest(session, row) != last.seq:
        raise AlreadySettled(f"item {key_of(row)} has gone on since decision {last.seq}: it is {row.status}")
    if session.get(AppliedRow, last.seq) is not None:
        raise AlreadySettled(f"a run has tracked from decision {last.seq} already; review the newer version instead")


def _newest(session: Session, row: ItemRow) -> int:
    return int(session.execute(select(func.max(DecisionRow.seq)).where(DecisionRow.item_id == row.item_id)).scalar_one())
