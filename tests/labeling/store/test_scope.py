"""Letters without a job close once a later plan has looked at the same."""

from pathlib import Path

import pytest

from labeling.errors import ErrorKind, ErrorRecord
from labeling.objects import open_objects
from labeling.store.dead_letters import DeadLetter
from labeling.store.scope import Scope, looked_at_since, recent_scopes, write_scope

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
