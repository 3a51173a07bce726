"""Decides items: one decision for one lease, logged in the same transaction; what comes too late is kept as a draft."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, select
from sqlalchemy.orm import Session

from labeling.errors import BadInput
from labeling.review.db.chain import append_decision
from labeling.review.db.rows import (
    as_corrections,
    checked_note,
    key_of,
    logged_decision,
    prompts_to_json,
)
from labeling.review.db.tables import (
    AppliedRow,
    DecisionRow,
    DraftRow,
    EffortRow,
    EventRow,
    ItemRow,
    OpinionRow,
    UndoneRow,
    WorkRow,
    table_of,
)
from labeling.review.errors import AlreadySettled, OthersLease
from labeling.review.flow.seen import OPINION
from labeling.review.flow.steps import NO_LEASE, described, expiry_of, find, has_spoken, is_live, move_one, note_event, take
from labeling.review.items import Correction, ItemKey, ItemStatus, LoggedDecision, Viewer
from labeling.review.quality import consensus
from labeling.store.records import prompts_from_json
from labeling.types import Prompt, ReviewDecision

ACTIONS = ("accept", "reject", "correct")
PAGE = 1000
# Only the transaction itself sees the lease of an item that is claimed and decided in one step.
SHORT_LEASE_S = 60.0
_HELD = select(ItemRow).where(ItemRow.lease_token == bindparam("token")).with_for_update()
_WORK = table_of(WorkRow)
_DROP_WORK = delete(_WORK).where(_WORK.c.item_id == bindparam("item_id"), _WORK.c.reviewer == bindparam("reviewer"))


@dataclass(frozen=True, slots=True)
class Ruling:
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
class Refusal:
    """Why a ruling was not taken, and the draft that keeps it."""

    message: str
    draft_id: int | None


def decide_lease(
    session: Session, token: str, ruling: Ruling, now: datetime, *, reviewer: str | None = None, item_id: int | None = None
) -> LoggedDecision | Refusal:
    """Decide the item that a token holds; a repeated call with the same ruling gives the decision that stands.

    Errors: AlreadySettled when this lease decided otherwise, OthersLease and BadInput for a lease that is not `reviewer`'s
    or not on `item_id`, BadInput for prompts of another object.
    """
    row = session.scalars(_HELD, {"token": token}).one_or_none()
    if row is not None and is_live(row, now):
        _require_theirs(row.lease_reviewer, row.item_id, reviewer, item_id)
        return _log(session, row, ruling, now)
    claim = session.execute(_claimed_with(token)).first()
    if claim is not None:
        _require_theirs(claim.reviewer, claim.item_id, reviewer, item_id)
    standing = session.execute(select(DecisionRow).where(DecisionRow.lease_token == token)).scalar_one_or_none()
    if standing is not None and session.get(UndoneRow, standing.seq) is None:
        return _repeated(standing, ruling)
    return _refuse(session, token, ruling, now)


def _require_theirs(holder: str | None, held_id: int, reviewer: str | None, item_id: int | None) -> None:
    if reviewer not in (None, holder):
        raise OthersLease("this lease is another reviewer's; claim the item yourself")
    if item_id not in (None, held_id):
        raise BadInput(f"the lease is on item {held_id}, not {item_id}", "bad_decision")


def _claimed_with(token: str) -> Select[Any]:
    return select(EventRow.reviewer, EventRow.item_id).where(EventRow.lease_token == token, EventRow.kind == "claimed")


def decide_item(session: Session, item: int | ItemKey, viewer: Viewer, ruling: Ruling, now: datetime) -> LoggedDecision:
    """Claim and decide one named item; repeated by the same reviewer it gives the decision that stands.

    Errors: UnknownItem, AlreadySettled, NeedsSenior, ItemHeld (another reviewer's live lease), BadInput for prompts of
    another object.
    """
    row = find(session, item, lock=True)
    theirs = select(DecisionRow).where(DecisionRow.item_id == row.item_id, DecisionRow.reviewer == viewer.name, stands())
    standing = session.scalars(theirs.order_by(DecisionRow.seq.desc()).limit(1)).first()
    if standing is not None and (row.status == ItemStatus.DECIDED or has_spoken(session, row.item_id, viewer.name)):
        return _repeated(standing, ruling)
    held = take(session, row.item_id, viewer, now, expiry_of(now, SHORT_LEASE_S))
    return _log(session, held, ruling, now)


def _log(session: Session, row: ItemRow, ruling: Ruling, now: datetime) -> LoggedDecision:
    started_at = row.lease_started_at or now
    seconds = (now - started_at).total_seconds() if ruling.seconds is None else ruling.seconds
    logged = append_decision(session, {
        **key_of(row)._asdict(), "item_id": row.item_id, "action": ruling.action, "reviewer": row.lease_reviewer,
        "decided_at": now, "seconds": max(0.0, float(seconds)), "note": ruling.note,
        "prompts": prompts_to_json(as_corrections(ruling.prompts, row.track_id)), "lease_token": row.lease_token,
    })
    if ruling.clicks is not None:
        session.add(EffortRow(seq=logged.seq, clicks=ruling.clicks))
    settled = consensus.settles(session, row, logged)
    note_event(session, "decided" if settled else OPINION, row, now, detail=ruling.action)
    session.execute(_DROP_WORK, {"item_id": row.item_id, "reviewer": row.lease_reviewer})
    move_one(session, row, ItemStatus.DECIDED if settled else ItemStatus.OPEN, **NO_LEASE)
    return logged_decision(logged)


def _repeated(standing: DecisionRow, ruling: Ruling) -> LoggedDecision:
    same_prompts = standing.prompts == prompts_to_json(as_corrections(ruling.prompts, standing.track_id))
    if (standing.action, standing.note) == (ruling.action, ruling.note) and same_prompts:
        return logged_decision(standing)
    raise AlreadySettled(
        f"item {key_of(standing)} is decided already: {standing.action!r} by {standing.reviewer!r}; "
        "expected one decision for one lease"
    )


def _refuse(session: Session, token: str, ruling: Ruling, now: datetime) -> Refusal:
    claim = session.execute(_claimed_with(token)).first()
    if claim is None:
        return Refusal("lease token is unknown; expected one that claim gave: claim the item again", None)
    row = session.get_one(ItemRow, claim.item_id)
    because = lost_because(session, token, row)
    kept = _keep(session, row, claim.reviewer or "", ruling, because, now)
    told = f"{ruling.action} by {claim.reviewer}: {because}; draft {kept.draft_id}"
    note_event(session, "refused", row, now, detail=told, reviewer=claim.reviewer)
    message = f"lease on item {key_of(row)} is lost: {because}; your decision is kept as draft {kept.draft_id}: claim it again"
    return Refusal(message, kept.draft_id)


def lost_because(session: Session, token: str, row: ItemRow) -> str:
    """What became of a lease that is no longer live."""
    if row.lease_token == token:
        return "it ran out"
    ended = session.execute(
        select(EventRow.kind).where(EventRow.lease_token == token, EventRow.kind.in_(("released", "expired")))
    ).scalars().first()
    ending = {"released": "it was released", "expired": "it ran out"}.get(ended or "", "")
    standing = f"the item is {described(row)}" + (f" by {row.lease_reviewer}" if row.lease_reviewer else "")
    return ", ".join(part for part in (ending, standing) if part)


def _keep(session: Session, row: ItemRow, reviewer: str, ruling: Ruling, because: str, now: datetime) -> DraftRow:
    prompts = prompts_to_json(as_corrections(ruling.prompts, row.track_id))
    same = select(DraftRow).where(
        DraftRow.item_id == row.item_id, DraftRow.reviewer == reviewer, DraftRow.action == ruling.action,
        DraftRow.prompts == prompts, DraftRow.note == ruling.note,
    )
    found = session.execute(same).scalars().first()
    if found is not None:
        return found
    kept = DraftRow(
        item_id=row.item_id, reviewer=reviewer, action=ruling.action, prompts=prompts, note=ruling.note,
        seconds=float(ruling.seconds or 0.0), refused_because=because, kept_at=now,
    )
    session.add(kept)
    session.flush()
    return kept


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
    wanted = sorted(set(seqs))
    is_correction = DecisionRow.seq.in_(wanted) & (DecisionRow.action == "correct")
    found = session.execute(select(func.count()).where(is_correction)).scalar_one()
    if found != len(wanted):
        raise BadInput(f"seqs are {wanted[:8]}; expected rows of the decision log that are corrections", "unknown_correction")
    done = set(session.execute(select(AppliedRow.seq).where(AppliedRow.seq.in_(wanted))).scalars())
    session.add_all(AppliedRow(seq=seq, run_id=run_id, applied_at=now) for seq in wanted if seq not in done)
    return len(wanted) - len(done)
