"""`labeling evaluate` from its words to its files, with nano on tiny scenes."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.cli import app as cli
from flows.learn import run_evaluation
from tests.flows.fixtures_evaluation import Clips, Knowing, square_clip
from tests.flows.learn.test_davis import write_numbers

DRAWN = ["data.count=2", "data.first=3", "data.size_hw=[64,64]", "num_frames=3"]
TINY = [*DRAWN, "model.allow_untrained=true", "model.image_size=64"]


def run(*words: str) -> int:
    return cli.run_command(["evaluate", *words])


@pytest.mark.parametrize("tracker", ["samurai", "sam2"])
def test_scenes_through_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str], tracker: str) -> None:
    out = tmp_path / "out"
    assert run(*TINY, f"tracker={tracker}", f"out={out}", "pictures=1", "prompt=mask", "objects=1") == 0
    told = capsys.readouterr().out
    assert "scene 3" in told
    assert "random weights" not in told
    rows = [json.loads(line) for line in (out / "tracks.jsonl").read_text().splitlines()]
    assert [(row["clip"], row["frames"]) for row in rows] == [("scene 3", 2), ("scene 4", 2)]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["j_and_f"] == pytest.approx(np.mean([row["j_and_f"] for row in rows]))
    assert summary["recipe"]["tracker"] == tracker
    assert summary["config"]["prompt"] == "mask"
    assert len(list((out / "pictures").iterdir())) == 1


def test_look_alikes_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data=lookalikes", *TINY, f"out={tmp_path / 'out'}", "pictures=0") == 0
    told = capsys.readouterr().out
    assert "look-alike scene 3" in told
    assert "by what the wrong mask covers" in told
    assert sum(json.loads((tmp_path / "out/summary.json").read_text())["failures"].values()) <= told.count("look-alike")


def test_random_weights_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TINY, "model=tiny", "objects=1", "prompt=mask") == 0
    assert "random weights" in capsys.readouterr().out


def test_a_predictor_that_knows_is_all_right(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clip = square_clip(hidden=(3,))
    source = Clips(clip, ValueError("cannot be drawn"))
    monkeypatch.setattr(run_evaluation, "open_source", lambda _, whole: source)
    monkeypatch.setattr(run_evaluation, "build_predictor", lambda *_, device: Knowing(clip.masks_NTHW))
    # A clip that fails is reported, and makes the exit code 1.
    assert run("data.count=2", "model.allow_untrained=true") == 1
    told = capsys.readouterr().out
    assert "J&F 1.000 (J 1.000, F 1.000) over 2 tracks of 1 clips" in told
    assert "present or absent: right on 100.0% of frames" in told
    assert "clip 1: ValueError: cannot be drawn" in told
    assert source.asked == [32, 32]


def test_interruption_writes_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clip = square_clip()

    class Stopped(Clips):
        def clip(self, index, num_frames):  # type: ignore[no-untyped-def]
            if index == 1:
                raise KeyboardInterrupt
            return super().clip(index, num_frames)

    monkeypatch.setattr(run_evaluation, "open_source", lambda _, whole: Stopped(clip, clip))
    monkeypatch.setattr(run_evaluation, "build_predictor", lambda *_, device: Knowing(clip.masks_NTHW))
    assert run("data.count=2", "model.allow_untrained=true", f"out={tmp_path / 'out'}") == 3
    assert json.loads((tmp_path / "out/summary.json").read_text())["interrupted"]


def test_predictions_are_compared_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = square_clip().masks_NTHW
    write_numbers(tmp_path / "DAVIS/Annotations/480p/bear", masks)
    write_numbers(tmp_path / "results/bear", np.roll(masks, 2, axis=3))
    words = ["data=davis", f"data.root={tmp_path / 'DAVIS'}", "data.split=null", f"predictions={tmp_path / 'results'}"]
    assert run(*words, f"out={tmp_path / 'out'}") == 0
    told = capsys.readouterr().out
    assert f"J {80 / 120:.3f}" in told
    assert "frames/s" not in told
    assert "random weights" not in told
    assert "recipe" not in json.loads((tmp_path / "out/summary.json").read_text())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.allow_untrained=true"], "data=scenes goes on without end: give data.count"),
        (["data=lookalikes", "model.allow_untrained=true"], "data=lookalikes goes on without end: give data.count"),
        (["data.count=1", "model=tiny"], "has no checkpoint"),
        (["data.count=0"], "data.count is 0; expected 1 or more"),
        (["num_frames=1"], "num_frames is 1; expected 2 or more"),
        (["prompt=polygon"], "polygon"),
        (["data=imagenet"], "imagenet"),
        (["data=davis", "model.allow_untrained=true"], "give data.root"),
        (["data=davis", "data.root=/no/such", "model.allow_untrained=true"], "/no/such"),
        (["predictions=x"], "compared with data=davis"),
        (["+tracker.overrides.non_overlap_masks=true"], "non_overlap_masks is true"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else "",
)
def test_bad_words_exit_with_two(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert run(*words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_folder_of_other_files_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_evaluation, "open_source", lambda *_, **__: pytest.fail("measured"))
    (tmp_path / "diary.txt").write_text("mine")
    assert run(*TINY, f"out={tmp_path}") == 2
    assert "a folder with other files in it" in capsys.readouterr().err
    assert (tmp_path / "diary.txt").read_text() == "mine"
