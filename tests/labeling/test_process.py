"""Processes named so that others can tell when they are gone."""

import os
import subprocess
import sys

import pytest

from labeling import process


def test_this_process_is_known_by_name_and_by_description() -> None:
    assert process.is_gone(process.this_process()) is False
    assert not process.has_ended(process.identity())


def test_a_reused_id_and_an_ended_process_are_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.pid in process.children_of(os.getpid())
    living = process.identity() | {"pid": child.pid, "started": process.started(child.pid)}
    name = f"{process.this_process().partition('~')[0]}~{child.pid}~{living['started']}"
    assert not process.has_ended(living)
    assert process.has_ended(living | {"started": "1"})
    child.communicate(b"\n")
    assert process.has_ended(living)
    assert process.is_gone(name) is True
    assert process.started(child.pid) == ""


def test_of_another_machine_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    name, description = process.this_process(), process.identity()
    monkeypatch.setattr(process, "machine", lambda: "elsewhere")
    assert process.is_gone(name) is None
    assert not process.has_ended(description | {"started": "1"})
    assert process.is_gone("no name of a process") is None
