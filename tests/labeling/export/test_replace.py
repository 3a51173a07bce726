"""An export is whole or not there, whatever happens in the middle."""

from pathlib import Path

import pytest

from labeling.export.replace import replaced_file, replaced_folder


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "labels.json"
    with replaced_file(out) as writer:
        writer.write("{}")
        assert not out.exists()
    assert out.read_text() == "{}"


def test_an_error_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    out.write_text("old")

    def fail() -> None:
        with replaced_file(out) as writer:
            writer.write("half")
            raise RuntimeError

    pytest.raises(RuntimeError, fail)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("labels.json", "old")]


def test_an_error_leaves_the_old_folder_and_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "davis"
    with replaced_folder(out, marker="map") as folder:
        (folder / "map").write_text("old")

    def fail() -> None:
        with replaced_folder(out, marker="map") as folder:
            (folder / "map").write_text("half")
            raise RuntimeError

    pytest.raises(RuntimeError, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["davis"]
    assert (out / "map").read_text() == "old"


def test_what_a_killed_export_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".davis.partial").mkdir()
    (tmp_path / ".davis.partial" / "rest").write_text("x")
    with replaced_folder(tmp_path / "davis", marker="map") as folder:
        assert list(folder.iterdir()) == []
        (folder / "map").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["davis"]
