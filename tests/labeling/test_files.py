"""A file is the old one or the new one, whatever happens while it is written."""

import os
from pathlib import Path

import pytest

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
