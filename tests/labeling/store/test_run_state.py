"""How far a run is, kept and read back, and what follows from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from labeling.errors import ErrorKind, ErrorRecord
from labeling.objects import FolderObjects, open_objects
from labeling.store.dead_letters import DeadLetter
from labeling.store.run_state import (
    Doing,
    RunState,
    Scope,
    looked_at_since,
    read_state,
    recent_scopes,
    recent_states,
    write_scope,
    write_state,
)

STATE = RunState(
    "run-1", Doing.LABEL, "nano fp32 samurai", started_at=1000.0, at=1100.0, num_videos=40, num_due=30, num_labelled=9,
    num_failed=1, num_refused=2, num_workers=2, num_frames=500, due_bytes=3000, handled_bytes=1000, label_seconds=50.0,
    dead={"decode_error": 1, "bad_prompt": 2},
)


def test_a_state_is_read_back_as_it_was(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    assert read_state(objects, "run-1") is None
    write_state(objects, STATE)
    assert read_state(objects, "run-1") == STATE
    write_state(objects, replace(STATE, run_id="run-2", started_at=2000.0))
    write_state(objects, replace(STATE, doing=Doing.DONE))
    assert [(s.run_id, s.over) for s in recent_states(objects)] == [("run-2", False), ("run-1", True)]
    assert [s.run_id for s in recent_states(objects, at_most=1)] == ["run-1"], "the one that was written last"


def test_what_is_left_follows_from_the_pace_so_far() -> None:
    # 1000 bytes took 50 s, 2000 are left, and 20 s have passed since.
    assert STATE.seconds_left(1120.0) == pytest.approx(80.0)
    assert STATE.seconds_left(9999.0) == 0.0
    fresh = replace(STATE, handled_bytes=0)
    assert fresh.seconds_left(1100.0) is None
    assert fresh.seconds_left(1100.0, seconds_per_byte=0.1) == pytest.approx(150.0), "3000 bytes by two workers"


def test_shares_and_pace() -> None:
    assert STATE.frames_per_second == 10.0
    assert STATE.dead_letter_share == pytest.approx(3 / 12)
    idle = replace(STATE, num_labelled=0, num_failed=0, num_refused=0, label_seconds=0.0)
    assert (idle.frames_per_second, idle.dead_letter_share) == (0.0, 0.0)


ERROR = ErrorRecord(ErrorKind.POISON, "bad_prompt", "line 2: no")
ROW = DeadLetter("run-1", "a.mp4", "0" * 16, ERROR, {"lines": [2]}, "2026-03-01T10:00:00+00:00")
UNKNOWN = DeadLetter("run-1", "no.mp4", None, ERROR, {"objects": [1]}, "2026-03-01T10:00:00+00:00")
MADE, LATER, BEFORE = 1772359199.0, 1772359300.0, 1772359100.0


@pytest.mark.parametrize(("later", "row", "unknown"), [
    (Scope("run-2", at=LATER), True, True),
    (Scope("run-2", at=BEFORE), False, False),
    (Scope("run-1", at=LATER), False, False),
    (Scope("run-2", "day-1", at=LATER), False, False),
    (Scope("run-2", only=["a.mp4", "no.mp4"], at=LATER), True, False),      # says nothing of videos that are not there
    (Scope("run-2", only=["b.mp4"], at=LATER), False, False),
])
def test_who_looked_at_it_closes_it(later: Scope, row: bool, unknown: bool) -> None:
    scopes = [later, Scope("run-1", at=MADE)]
    assert (looked_at_since(ROW, scopes), looked_at_since(UNKNOWN, scopes)) == (row, unknown)


def test_the_same_part_again_closes_what_it_found() -> None:
    assert looked_at_since(ROW, [Scope("run-2", "day-1", at=LATER), Scope("run-1", "day-1", at=MADE)])


def test_scopes_come_back_newest_first(tmp_path: Path) -> None:
    objects, scopes = open_objects(tmp_path), [Scope("run-1", at=MADE), Scope("run-2", "p", ["a.mp4"], LATER)]
    for scope in scopes:
        write_scope(objects, scope)
    assert recent_scopes(objects) == scopes[::-1]
