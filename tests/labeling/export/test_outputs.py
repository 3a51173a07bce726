"""An export is whole or not there, whatever happens in the middle."""

import os
from pathlib import Path

import pytest

from labeling.export.outputs import replaced_file, replaced_folder


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "labels.json"
    with replaced_file(out, begins="{") as writer:
        writer.write("{}")
        assert not out.exists()
    assert out.read_text() == "{}"


def test_an_error_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    out.write_text("{old}")

    def fail() -> None:
        with replaced_file(out, begins="{") as writer:
            writer.write("half")
            raise RuntimeError

    pytest.raises(RuntimeError, fail)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("labels.json", "{old}")]


def test_an_error_leaves_the_old_folder_and_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "davis"
    with replaced_folder(out) as folder:
        (folder / "map").write_text("old")

    def fail() -> None:
        with replaced_folder(out) as folder:
            (folder / "map").write_text("half")
            raise RuntimeError

    pytest.raises(RuntimeError, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["davis"]
    assert (out / "map").read_text() == "old"


def test_what_a_killed_export_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    names = {what: f".davis.{hex32}.{what}" for what, hex32 in (("partial", "0" * 32), ("old", "a" * 32))}
    for name in (*names.values(), ".davis.partial", ".davis.old", ".davis.notes.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rest").write_text("x")
        os.utime(tmp_path / name, (1, 1))
    with replaced_folder(tmp_path / "davis") as folder:
        assert list(folder.iterdir()) == []
        (folder / "map").write_text("new")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".davis.notes.partial", ".davis.old", ".davis.partial", "davis"]


def test_an_earlier_output_is_replaced_and_a_foreign_file_in_it_refused(tmp_path: Path) -> None:
    out = tmp_path / "davis"
    out.mkdir()  # an empty folder is nobody's
    for content in ("old", "new"):
        with replaced_folder(out) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "map\n").write_text(content)
    assert (out / "deep" / "map\n").read_text() == "new"
    (out / "deep" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match=r"thesis\.txt"), replaced_folder(out):
        pass
    assert (out / "deep" / "thesis.txt").read_text() == "years"


def test_the_folder_of_the_command_is_not_taken_from_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out in (Path(), tmp_path / "here", tmp_path):
        with pytest.raises(ValueError, match="the folder of this command"), replaced_folder(out):
            pass
    assert Path.cwd().is_dir()


@pytest.mark.parametrize("name", ["mapping.json", "summary.json", "bench.json"])
def test_a_file_of_the_same_name_makes_no_folder_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="a folder with other files"), replaced_folder(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "thesis.txt"])


def test_a_foreign_file_and_a_link_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "thesis.txt"
    foreign.write_text("years")
    with pytest.raises(ValueError, match="not written by this command"), replaced_file(foreign, begins="{"):
        pass
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ValueError, match="a folder with other files"), replaced_folder(tmp_path / "link"):
        pass
    with replaced_file(tmp_path / "empty", begins="{") as writer:
        writer.write("{}")
    assert foreign.read_text() == "years"
