"""One video, one box: what is written, and that it takes the place of nothing but an earlier output."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.run import track_one

WORDS = ["--box", "8,8,40,40", "model=nano", "model.image_size=128", "run.progress=false"]


@pytest.fixture
def track(clip: Callable[..., Path], tmp_path: Path) -> Callable[[Path], int]:
    path = clip("a.mp4", num_frames=4)
    return lambda out: run_command(["track", str(path), "-o", str(out), *WORDS])


def test_what_lies_in_the_folder_is_written_over_where_it_is_an_earlier_output(
    track: Callable[[Path], int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert track(out) == 0
    assert len([json.loads(line) for line in (out / "masks.jsonl").read_text().splitlines()]) == 4
    assert "masks.jsonl, overlay.mp4, scores.png; 4 frames" in capsys.readouterr().out.replace("\n", "")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(track_one, "write_scores_png", fail)
    assert track(out) == 0, "a picture that fails costs itself"
    assert sorted(os.listdir(out)) == [".labeling-made", "masks.jsonl", "overlay.mp4"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "masks.jsonl").write_text("years")
    monkeypatch.undo()
    assert track(tmp_path / "mine") == 2
    assert "a folder with other files in it ('masks.jsonl')" in capsys.readouterr().err
    assert (tmp_path / "mine" / "masks.jsonl").read_text() == "years"
