"""Between table rows and the records of `items.py`; prompts and flags travel as JSON.

Prompts are kept as canonical text (sorted keys, no spaces), because the decision log hashes exactly that text.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from labeling.errors import BadInput
from labeling.review.db.tables import DecisionRow, DraftRow, EventRow, ItemRow
from labeling.review.items import Draft, ItemEvent, ItemKey, ItemStatus, LoggedDecision, QueuedItem, ReviewItem
from labeling.store.records import prompt_to_dict, prompts_from_json
from labeling.types import Decision, Prompt, PromptSource, QCFlag

MAX_NAME, MAX_NOTE = 200, 20_000


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


def flags_to_json(flags: Iterable[QCFlag]) -> list[dict[str, Any]]:
    """Write flags as plain values; a number that JSON has no word for becomes null."""
    return [
        {
            "reason": flag.reason, "signal": flag.signal, "value": _finite(flag.value),
            "threshold": _finite(flag.threshold), "frame_span": list(flag.frame_span), "decision": flag.decision.value,
        }
        for flag in flags
    ]


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _flag_of(fields: Mapping[str, Any]) -> QCFlag:
    first, end = fields["frame_span"]
    value, threshold = (math.nan if fields[name] is None else fields[name] for name in ("value", "threshold"))
    return QCFlag(fields["reason"], fields["signal"], value, threshold, (first, end), Decision(fields["decision"]))


def item_columns(item: ReviewItem) -> dict[str, Any]:
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
    if len(note) > MAX_NOTE or "\0" in note or any("\ud800" <= c <= "\udfff" for c in note):
        raise BadInput(f"note is {note[:40]!r}...; expected text of at most {MAX_NOTE} characters without NUL", "bad_note")
    return note
