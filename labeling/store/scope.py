"""What of the source a run looked at: a later look at the same closes what an earlier plan could not use."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from labeling.objects import Objects
from labeling.store.dead_letters import DeadLetter
from labeling.store.documents import OnDamage, typed, warned
from labeling.store.runs import recent_files, write_run_file

SCOPE = "scope.json"


@dataclass(frozen=True, slots=True)
class Scope:
    """What one run looked at, from `at` on (seconds since the epoch).

    `part` tells parts of the source apart: "" for all of it. `only` holds the videos that were named for it, None where
    none were.
    """

    run_id: str
    part: str = ""
    only: list[str] | None = None
    at: float = field(default_factory=time.time)


def write_scope(objects: Objects, scope: Scope) -> str:
    """Keep what a run looked at; returns the key."""
    return write_run_file(objects, scope.run_id, SCOPE, asdict(scope))


def recent_scopes(objects: Objects, *, at_most: int = 50, on_damage: OnDamage = warned) -> list[Scope]:
    """Return what the runs that began last looked at, newest first."""
    scopes = recent_files(objects, SCOPE, lambda document: typed(Scope, document), at_most=at_most, on_damage=on_damage)
    return sorted(scopes, key=lambda scope: scope.at, reverse=True)


def looked_at_since(letter: DeadLetter, scopes: Sequence[Scope]) -> bool:
    """Whether a later plan looked at what a letter without a job speaks of: what it could not use has a letter of its own."""
    if letter.replayable:
        return False
    part = next((scope.part for scope in scopes if scope.run_id == letter.run_id), "")
    later = (scope for scope in scopes if scope.run_id != letter.run_id and scope.at >= _written_at(letter))
    return any(_covers(scope, letter, part) for scope in later)


def _covers(scope: Scope, letter: DeadLetter, part: str) -> bool:
    if scope.only is not None:      # such a plan says nothing of videos that are not there
        return letter.video_id is not None and letter.video in scope.only
    return scope.part in ("", part)


def _written_at(letter: DeadLetter) -> float:
    try:
        return datetime.fromisoformat(letter.created_at).timestamp()
    except ValueError:
        return 0.0
