"""What a run says of itself in its folder: how far it is, and what of the source it looked at.

`state.json` is written while the run goes on, and a last time when it has ended. By `scope.json` a later look at the same part
of the source closes what an earlier plan could not use.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum

from labeling.objects import Objects
from labeling.store import layout
from labeling.store.dead_letters import DeadLetter
from labeling.store.documents import OnDamage, read_document, typed, warned
from labeling.store.runs import ASIDE, recent_files, write_run_file

STATE, SCOPE = "state.json", "scope.json"
_LAST_S = 2.5e11  # the year 9892
_LONGEST_S = 1e10


class Doing(StrEnum):
    """What a run is at; one that no longer holds its root and is neither done nor failed was interrupted."""

    LABEL = "label"
    PUBLISH = "publish"
    REPORT = "report"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunState:
    """A run in numbers so far; times are seconds since the epoch, `label_seconds` the clock on the wall while it labelled.

    `variant` names model, precision and tracker. `num_refused` videos or rows were dead letters in the plan already;
    `dead` counts all dead letters by reason. `handled_bytes` are those of the videos that are over, labelled or not.
    """

    run_id: str
    doing: Doing
    variant: str
    started_at: float
    at: float
    num_videos: int
    num_due: int
    num_labelled: int = 0
    num_failed: int = 0
    num_refused: int = 0
    num_in_flight: int = 0
    num_workers: int = 0
    num_restarts: int = 0
    num_frames: int = 0
    num_masks: int = 0
    due_bytes: int = 0
    handled_bytes: int = 0
    label_seconds: float = 0.0
    dead: Mapping[str, int] = field(default_factory=dict)
    snapshot: str = ""

    @property
    def frames_per_second(self) -> float:
        """Frames tracked per second of labelling."""
        return self.num_frames / self.label_seconds if self.label_seconds > 0 else 0.0

    @property
    def dead_letter_share(self) -> float:
        """Dead letters as a share of all that the run had to do so far."""
        num_over = self.num_labelled + self.num_failed + self.num_refused
        return (self.num_failed + self.num_refused) / num_over if num_over else 0.0

    @property
    def over(self) -> bool:
        """Whether it came to its end."""
        return self.doing in (Doing.DONE, Doing.FAILED)

    def seconds_left(self, now: float, seconds_per_byte: float | None = None) -> float | None:
        """Guess how long the labelling will still take, from its pace so far; None when nothing is known yet.

        Before the first video is over, from past runs' `seconds_per_byte` of a worker.
        """
        if self.handled_bytes:
            pace = self.label_seconds / self.handled_bytes
        elif seconds_per_byte is not None:
            pace = seconds_per_byte / max(1, self.num_workers)
        else:
            return None
        # The state is as old as its last write: what has passed since is taken off.
        return min(_LONGEST_S, max(0.0, pace * (self.due_bytes - self.handled_bytes) - (now - self.at)))


def write_state(objects: Objects, state: RunState) -> str:
    """Write how far a run is to `state.json` of its folder; returns the key."""
    return write_run_file(objects, state.run_id, STATE, asdict(state))


def read_state(objects: Objects, run_id: str) -> RunState | None:
    """Read how far a run is or was; None for one that left no such file."""
    try:
        return read_document(objects, f"{layout.run_folder(run_id)}{STATE}", _state, advice=ASIDE)
    except FileNotFoundError:
        return None


def _state(document: object) -> RunState:
    state = typed(RunState, document)
    for name in ("started_at", "at"):
        if not 0 <= getattr(state, name) < _LAST_S:
            raise ValueError(f"{name} is {getattr(state, name)}; expected seconds since the epoch")
    return state


def recent_states(objects: Objects, *, at_most: int = 50, on_damage: OnDamage = warned) -> list[RunState]:
    """Return the runs that began last, newest first; `on_damage` is told of a state that is not as it was written."""
    states = recent_files(objects, STATE, _state, at_most=at_most, on_damage=on_damage)
    return sorted(states, key=lambda state: state.started_at, reverse=True)


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
    """Write what a run looked at to `scope.json` of its folder; returns the key."""
    return write_run_file(objects, scope.run_id, SCOPE, asdict(scope))


def recent_scopes(objects: Objects, *, at_most: int = 50, on_damage: OnDamage = warned) -> list[Scope]:
    """Return what the runs that began last looked at, newest first."""
    scopes = recent_files(objects, SCOPE, lambda document: typed(Scope, document), at_most=at_most, on_damage=on_damage)
    return sorted(scopes, key=lambda scope: scope.at, reverse=True)


def looked_at_since(letter: DeadLetter, scopes: Sequence[Scope]) -> bool:
    """Whether a later plan looked at what a letter without a job speaks of: what it could not use has a letter of its own."""
    # A job's letter is closed by its result in the ledger (`still_open`), never by a look.
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
