"""A file is the old one or the new one, whatever happens while it is written; and its writer is known."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labeling import files
from labeling.files import beside_name, is_left, written_beside


def test_a_file_takes_anothers_place_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    with written_beside(path, synced=True) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")

    def fail() -> None:
        with written_beside(path) as beside:
            beside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_a_secret_is_nobody_elses_from_the_first_byte_on(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with written_beside(tmp_path / "plain"), written_beside(tmp_path / "secret", mode=0o600) as beside:
            assert beside.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_file_in_work_is_not_left_and_that_of_a_process_that_ended_is() -> None:
    mine = beside_name()
    assert not is_left(mine, age_s=10**9)
    machine, _, _ = mine.removeprefix(".~").split("~", 1)[1].partition("~")
    assert is_left(f".~{'0' * 32}~{machine}~999999999~1.beside", age_s=0.0)
    assert is_left(f".~{'0' * 32}.beside", age_s=90_000.0)
    assert not is_left("video.mp4", age_s=10**9)


def test_this_process_is_known_by_name_and_by_description() -> None:
    assert files.is_gone(files.this_process()) is False
    assert not files.process_has_ended(files.process_identity())


def test_a_reused_id_and_an_ended_process_are_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.pid in files.child_processes(os.getpid())
    living = files.process_identity() | {"pid": child.pid, "started": files.process_start(child.pid)}
    name = f"{files.this_process().partition('~')[0]}~{child.pid}~{living['started']}"
    assert not files.process_has_ended(living)
    assert files.process_has_ended(living | {"started": "1"})
    child.communicate(b"\n")
    assert files.process_has_ended(living)
    assert files.is_gone(name) is True
    assert files.process_start(child.pid) == ""


def test_of_another_machine_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    name, description = files.this_process(), files.process_identity()
    monkeypatch.setattr(files, "machine_name", lambda: "elsewhere")
    assert files.is_gone(name) is None
    assert not files.process_has_ended(description | {"started": "1"})
    assert files.is_gone("no name of a process") is None
