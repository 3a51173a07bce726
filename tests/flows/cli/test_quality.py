"""`labeling quality` says what was made and refuses what it cannot."""

from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.quality.truth import write_piece
from tests.flows.quality.made_truth import piece


def run(*words: str) -> int:
    return run_command(["quality", *words])


@pytest.mark.parametrize("words", [("--share", "2/2"), ("--share", "x"), ("--pieces", "0")])
def test_make_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run("make", "--root", str(tmp_path), *words) == 2
    assert "expected 1 or more, and K/N with K below N" in capsys.readouterr().err


def test_make_refuses_a_root_that_is_no_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert run("make", "--root", str(tmp_path / "file" / "deep")) == 2
    assert "is no folder; expected a folder, or where one can be made" in capsys.readouterr().err


def test_make_makes_and_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from flows.quality.clips import Case
    from flows.quality.make import Piece

    short = Piece(Case("scenes", "plain", 1, 3, (64, 64)), "sam2", 256)
    monkeypatch.setattr("flows.quality.make.pieces", lambda count: iter([short][:count]))
    for expected in ("1 pieces", "0 tracks made in 0 pieces"):
        assert run("make", "--root", str(tmp_path), "--pieces", "1") == 0
        assert expected in capsys.readouterr().out


def test_bench_without_pieces_or_with_too_few(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("bench", "--root", str(tmp_path)) == 2
    assert "labeling quality make" in capsys.readouterr().err
    write_piece(tmp_path, "a", piece("a", [[0.9]]))
    assert run("bench", "--root", str(tmp_path), "--split", "all") == 2
    assert "too few to compare" in capsys.readouterr().err
    assert run("bench", "--root", str(tmp_path), "--split", "half") == 2
