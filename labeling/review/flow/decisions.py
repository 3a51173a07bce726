"""Decides items: one decision for one lease, logged in the same transaction; what comes too late is kept as a draft."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, delete, func, select
from sqlalchemy.orm import Session

from labeling.errors import BadInput
from labeling.review.db.chain import append_decision
from labeling.review.db.rows import (
    as_corrections,
    checked_note,
    find,
    key_of,
    logged_decision,
    move_one,
    note_event,
    prompts_to_json,
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
from labeling.review.errors import AlreadySettled, OthersLease
from labeling.review.flow.leases import NO_LEASE, claimed_with, expiry_of, has_spoken, held_by, is_live, lost_because, take
from labeling.review.flow.listing import OPINION
from labeling.review.items import Correction, ItemKey, ItemStatus, LoggedDecision, Viewer
from labeling.review.quality import consensus
from labeling.store.records import prompts_from_json
from labeling.types import Prompt, ReviewDecision

ACTIONS = ("accept", "reject", "correct")
PAGE = 1000
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
    """Decide the item that a token holds; a repeated call with the same decision gives the decision that stands.

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
    """Claim and decide one named item; repeated by the same reviewer it gives the decision that stands.

    Errors: UnknownItem, AlreadySettled, NeedsSenior, ItemHeld (another reviewer's live lease), BadInput for prompts of
    another object.
    """
    row = find(session, item, lock=True)
    theirs = select(DecisionRow).where(DecisionRow.item_id == row.item_id, DecisionRow.reviewer == viewer.name, stands())
    standing = session.scalars(theirs.order_by(DecisionRow.seq.desc()).limit(1)).first()
    if standing is not None and (row.status == ItemStatus.DECIDED or has_spoken(session, row.item_id, viewer.name)):
        return _repeated(standing, decision)
    held = take(session, row.item_id, viewer, now, expiry_of(now, SHORT_LEASE_S))
    return _log(session, held, decision, now)


def _log(session: Session, row: ItemRow, decision: NewDecision, now: datetime) -> LoggedDecision:
    started_at = row.lease_started_at or now
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
    # Its work in hand went into it; left behind it would be offered again when the decision is taken back.
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
    if draft is not None:
        return draft
    draft = DraftRow(
        item_id=row.item_id, reviewer=reviewer, action=decision.action, prompts=prompts, note=decision.note,
        seconds=float(decision.seconds or 0.0), refused_because=because, kept_at=now,
    )
    session.add(draft)
    session.flush()
    return draft


def decisions_after(session: Session, seq: int) -> Iterator[LoggedDecision]:
    """The log's rows after one, oldest first."""
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
    """Return the clicks of those decisions for which somebody counted them."""
    query = select(EffortRow.seq, EffortRow.clicks).where(EffortRow.seq.in_(sorted(seqs)))
    return {row.seq: row.clicks for row in session.execute(query)}
