"""Finds, moves and reads rows in the caller's transaction: rows become the records of `items.py`, steps become events.

Prompts and flags travel as JSON; prompts as canonical text (sorted keys, no spaces), because the decision log
hashes exactly that text.
"""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from labeling.errors import BadInput, is_storable
from labeling.review.db.tables import DecisionRow, DraftRow, EventRow, ItemRow, ReasonRow, StoredFlag, table_of
from labeling.review.items import Draft, ItemEvent, ItemKey, ItemStatus, LoggedDecision, QueuedItem, ReviewItem, UnknownItem
from labeling.store.records import prompt_to_dict, prompts_from_json
from labeling.types import Decision, Prompt, PromptSource, QCFlag

MAX_NAME, MAX_NOTE = 200, 20_000
# Each request runs these: made once, they are compiled once.
_BY_NUMBER = select(ItemRow).where(ItemRow.item_id == bindparam("item_id")).execution_options(populate_existing=True)
_BY_KEY = select(ItemRow).where(
    ItemRow.video_id == bindparam("video_id"), ItemRow.track_id == bindparam("track_id"),
    ItemRow.label_version == bindparam("label_version"),
).execution_options(populate_existing=True)
_LOCK_NUMBER, _LOCK_KEY = _BY_NUMBER.with_for_update(), _BY_KEY.with_for_update()
_NOTE = insert(table_of(EventRow)).inline()
_ITEMS, _REASONS = table_of(ItemRow), table_of(ReasonRow)
# What they set comes with each call.
_MOVE = update(_ITEMS).where(_ITEMS.c.item_id == bindparam("moved"))
_MOVE_REASONS = update(_REASONS).where(_REASONS.c.item_id == bindparam("moved"))


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def prompts_to_json(prompts: Iterable[Prompt]) -> str:
    """Write prompts as canonical JSON, in the store's words; `prompts_from_json` reads them back."""
    return canonical([prompt_to_dict(prompt) for prompt in prompts])


def as_corrections(prompts: Iterable[Prompt], track_id: str) -> tuple[Prompt, ...]:
    """Mark prompts as corrections of one object; BadInput when one is for another object."""
    corrections = tuple(replace(prompt, source=PromptSource.CORRECTION) for prompt in prompts)
    for prompt in corrections:
        if str(prompt.object_id) != track_id:
            raise BadInput(
                f"prompt's object_id is {prompt.object_id}; expected {track_id}, the object under review", "bad_prompt"
            )
    return corrections


def flags_to_json(flags: Iterable[QCFlag]) -> list[StoredFlag]:
    """Write flags as plain values; a number that JSON has no word for becomes null."""
    return [
        StoredFlag(
            reason=flag.reason, signal=flag.signal, value=_finite(flag.value), threshold=_finite(flag.threshold),
            frame_span=list(flag.frame_span), decision=flag.decision.value,
        )
        for flag in flags
    ]


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _flag_of(fields: StoredFlag) -> QCFlag:
    first, end = fields["frame_span"]
    value, threshold = (math.nan if number is None else number for number in (fields["value"], fields["threshold"]))
    return QCFlag(fields["reason"], fields["signal"], value, threshold, (first, end), Decision(fields["decision"]))


def item_columns(item: ReviewItem) -> dict[str, object]:
    """The columns that a newer judgement of the same version may change."""
    return {
        "video_key": item.video_key, "category": item.category, "run_id": item.run_id, "snapshot": item.snapshot,
        "risk": float(item.risk), "priority": item.priority, "flags": flags_to_json(item.flags),
        "first_frame": item.frame_span[0], "end_frame": item.frame_span[1],
    }


def key_of(row: ItemRow | DecisionRow) -> ItemKey:
    """The identity that a row is about."""
    return ItemKey(row.video_id, row.track_id, row.label_version)


def queued_item(row: ItemRow) -> QueuedItem:
    """An item's row as a record."""
    return QueuedItem(
        item_id=row.item_id, key=key_of(row), video_key=row.video_key, category=row.category, run_id=row.run_id,
        snapshot=row.snapshot, risk=row.risk, priority=row.priority, flags=tuple(_flag_of(f) for f in row.flags),
        frame_span=(row.first_frame, row.end_frame), status=ItemStatus(row.status), opened_at=row.opened_at,
        reviewer=row.lease_reviewer, lease_expires_at=row.lease_expires_at, closed_because=row.closed_because,
        blind=row.blind,
    )


def logged_decision(row: DecisionRow) -> LoggedDecision:
    """A row of the log as a record."""
    return LoggedDecision(
        seq=row.seq, key=key_of(row), action=row.action, reviewer=row.reviewer, decided_at=row.decided_at,
        seconds=row.seconds, note=row.note, prompts=prompts_from_json(row.prompts),
        previous_hash=row.previous_hash, row_hash=row.row_hash,
    )


def draft(row: DraftRow) -> Draft:
    """A draft's row as a record."""
    return Draft(
        draft_id=row.draft_id, item_id=row.item_id, reviewer=row.reviewer, action=row.action,
        prompts=prompts_from_json(row.prompts), note=row.note, seconds=row.seconds,
        refused_because=row.refused_because, kept_at=row.kept_at,
    )


def item_event(row: EventRow) -> ItemEvent:
    """An event's row as a record."""
    return ItemEvent(row.kind, row.happened_at, row.reviewer, row.detail)


def checked_name(name: str) -> str:
    """A reviewer's name, trimmed; BadInput when it is empty, too long or not printable."""
    trimmed = name.strip()
    if not trimmed or len(trimmed) > MAX_NAME or not trimmed.isprintable():
        raise BadInput(f"reviewer is {name[:40]!r}; expected a printable name of 1 to {MAX_NAME} characters", "bad_reviewer")
    return trimmed


def checked_note(note: str) -> str:
    """A note that every database can keep; BadInput when it is too long or holds NUL or lone surrogates."""
    if len(note) > MAX_NOTE or not is_storable(note):
        raise BadInput(f"note is {note[:40]!r}...; expected text of at most {MAX_NOTE} characters without NUL", "bad_note")
    return note


def find(session: Session, item: int | ItemKey, *, lock: bool = False) -> ItemRow:
    """One item's row, locked until the transaction ends where asked; UnknownItem when there is none."""
    row: ItemRow | None
    if isinstance(item, int):
        row = session.scalars(_LOCK_NUMBER if lock else _BY_NUMBER, {"item_id": item}).one_or_none()
    else:
        names = dict(zip(ItemKey._fields, item, strict=True))
        row = session.scalars(_LOCK_KEY if lock else _BY_KEY, names).one_or_none()
    if row is None:
        raise UnknownItem(f"item is {str(item)!r}; expected the number or VIDEO_ID/TRACK_ID@VERSION of an item in the queue")
    return row


def move(session: Session, item_ids: Collection[int], status: ItemStatus, **columns: object) -> None:
    """Give items a status, and other columns with it; their reasons follow, so that filters stay right."""
    if not item_ids:
        return
    values = {"status": status.value, **columns}
    session.execute(update(ItemRow).where(ItemRow.item_id.in_(item_ids)).values(values))
    session.execute(update(ReasonRow).where(ReasonRow.item_id.in_(item_ids)).values(status=status.value))


def move_one(session: Session, row: ItemRow, status: ItemStatus, **columns: object) -> None:
    """Give one locked item a status, and other columns with it, in the database and in `row`."""
    values = {"status": status.value, **columns}
    session.execute(_MOVE, {**values, "moved": row.item_id})
    session.execute(_MOVE_REASONS, {"status": status.value, "moved": row.item_id})
    for name, value in values.items():
        set_committed_value(row, name, value)


def note_events(session: Session, kind: str, item_ids: Collection[int], now: datetime, *, detail: str = "") -> None:
    """Add the same event to many items."""
    rows = [{"item_id": i, "kind": kind, "happened_at": now, "detail": detail} for i in item_ids]
    if rows:
        session.execute(insert(EventRow), rows)


def note_event(
    session: Session, kind: str, row: ItemRow, now: datetime, *, detail: str = "", reviewer: str | None = None
) -> None:
    """Add an event to one item, with the lease it has at this moment; `reviewer` is who did it, if not the lease's."""
    session.execute(_NOTE, {
        "item_id": row.item_id, "kind": kind, "happened_at": now, "detail": detail,
        "reviewer": reviewer or row.lease_reviewer, "lease_token": row.lease_token,
    })
