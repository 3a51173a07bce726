"""The table, the files and the pictures of an evaluation."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from flows.learn.config import PromptKind
from flows.learn.evaluate import ClipResult, Evaluation, follow_clip
from flows.learn.evaluation_output import CELL_WIDTH, GAP, WorstStrips, print_evaluation, strip_of, write_numbers
from labeling.errors import record_of
from tests.flows.fixtures_evaluation import Knowing, square_clip


def result_of(name="squares", *, shift=0, prompt=PromptKind.box, **drawn):
    clip = square_clip(name=name, **drawn)
    predictor = Knowing(clip.masks_NTHW, change=lambda mask: np.roll(mask, shift, axis=1))
    return follow_clip(clip, predictor, prompt=prompt)


def evaluation_of(*results):
    evaluation = Evaluation()
    for result in results:
        evaluation.add(result)
    return evaluation


def printed(evaluation, *, worst=10, width=160):
    console = Console(file=io.StringIO(), width=width)
    print_evaluation(evaluation, console, worst=worst, tracker="samurai")
    return console.file.getvalue()


FAILED = ClipResult("clip 9", error=record_of(ValueError("no [such] scene")))


def test_the_table_has_the_worst_and_the_means_of_all():
    told = printed(evaluation_of(result_of("good"), result_of("poor", shift=4), FAILED), worst=2)
    assert "the worst 2 of 4 tracks" in told
    assert "poor" in told
    assert "good" not in told
    assert "mean of all" in told
    # Six of ten columns shared of fourteen.
    assert f"{(1 + 60 / 140) / 2:.3f}" in told
    assert "over 4 tracks of 2 clips" in told
    assert "clip 9: ValueError: no [such] scene" in told
    assert "present or absent: right on 100.0% of frames\n" in told


def test_absent_frames_are_told_apart():
    told = printed(evaluation_of(result_of(hidden=(2, 3))))
    assert "tracks, worst first" in told
    assert "the object is absent on 33.3%, and 100.0% of those are right" in told


@pytest.mark.parametrize("width", [80, 160])
def test_bad_tracks_are_counted_by_what_went_wrong(width):
    lines = printed(evaluation_of(result_of("good"), result_of("poor", shift=20)), width=width).splitlines()
    title = next(k for k, line in enumerate(lines) if "tracks of J below 0.5, by what the wrong mask covers" in line)
    head, row = ([cell.strip() for cell in re.split("[\u2503\u2502]", lines[k])[1:-1]] for k in (title + 2, title + 4))
    # Moved by twenty pixels, both objects of `poor` are wrong on every frame: 6 of the 12 measured.
    assert dict(zip(head, row, strict=True)) == {
        "tracker": "samurai", "tracks": "4", "bad": "2", "swap": "0", "drift": "0", "boundary": "0", "lost": "0", "seed": "2",
        "NRE": "0.000", "DRE": "0.500", "ADQ": "-",
    }


def test_nothing_measured_is_said():
    told = printed(evaluation_of(FAILED, result_of(hidden=(0, 1, 2, 3, 4), late=9)))
    assert "nothing was measured" in told
    assert "2 objects show on no frame" in told


def test_many_failures_are_not_all_printed():
    assert "and 5 more failed" in printed(evaluation_of(*[FAILED] * 15))


def test_numbers_are_written_frame_by_frame(tmp_path):
    write_numbers(tmp_path, evaluation_of(result_of(hidden=(2,)), FAILED), {"device": "cpu"})
    first, second = (json.loads(line) for line in (tmp_path / "tracks.jsonl").read_text().splitlines())
    assert first["clip"] == "squares"
    assert first["j_per_frame"] == [1.0] * 4
    assert first["predicted_iou"] == [0.1, 0.2, 0.3, 0.4]
    assert first["present"] == first["found"] == [True, False, True, True]
    assert (first["failure"], first["failure_per_frame"]) == (None, [None] * 4)
    assert (first["nre"], first["dre"], first["adq"]) == (0.0, 0.0, 1.0)
    assert second["adq"] is None
    assert second["prompt_frame"] == 2
    assert second["frames"] == 2
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["j_and_f"] == summary["presence"] == 1.0
    assert summary["num_tracks"] == 2
    assert (summary["nre"], summary["dre"], summary["adq"], summary["bad_tracks"]) == (0.0, 0.0, 1.0, 0)
    assert summary["failures"] == {"swap": 0, "drift": 0, "boundary": 0, "lost": 0, "seed": 0}
    assert summary["failed"] == [{"clip": "clip 9", "reason": "unexpected", "message": "ValueError: no [such] scene"}]
    assert summary["device"] == "cpu"
    assert summary["iou_rank_correlation"] is None      # all true IoUs are alike
    assert not summary["interrupted"]


def test_a_bad_tracks_row_says_what_went_wrong(tmp_path):
    write_numbers(tmp_path, evaluation_of(result_of(shift=20)), {})
    first = json.loads((tmp_path / "tracks.jsonl").read_text().splitlines()[0])
    assert (first["failure"], first["failure_per_frame"], first["dre"]) == ("seed", ["drift"] * 4, 1.0)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["bad_tracks"], summary["failures"]["seed"]) == (2, 2)


def test_a_summary_of_nothing_is_written_too(tmp_path):
    write_numbers(tmp_path, Evaluation(), {})
    assert json.loads((tmp_path / "summary.json").read_text())["clips"] == 0
    assert (tmp_path / "tracks.jsonl").read_text() == ""


def test_only_the_worst_are_drawn_the_worst_first(tmp_path):
    strips = WorstStrips(2)
    for shift in (1, 6, 0, 3):
        strips.add(result_of(f"by {shift}/{shift}", shift=shift, late=9))
    paths = strips.write(tmp_path / "pictures")
    assert [path.name.split("_", 2)[2] for path in paths] == ["by_6_6_object_0.png", "by_3_3_object_0.png"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [path.name for path in paths]
    with Image.open(paths[0]) as picture:
        assert picture.width == 5 * CELL_WIDTH + 4 * GAP


def test_no_pictures_are_drawn_when_none_are_asked_for(tmp_path):
    strips = WorstStrips(0)
    strips.add(result_of())
    assert strips.write(tmp_path) == []


@pytest.mark.parametrize("prompt", list(PromptKind))
def test_a_strip_shows_found_and_true_masks(prompt):
    (track, _) = result_of(shift=8, prompt=prompt).tracks
    strip = strip_of(track)
    second = strip[:, CELL_WIDTH + GAP : 2 * CELL_WIDTH + GAP].astype(int)
    scale = CELL_WIDTH / 60
    # On frame 1 the object lies at x 7 to 17 and was found at 15 to 25, filled orange; its contour is white.
    inside = second[round(10 * scale), round(20.5 * scale)]
    assert inside[0] > inside[2] + 60
    assert second[round(10 * scale), round(7.5 * scale)].min() > 180
    assert second[round(30 * scale), round(50 * scale)] == pytest.approx([60, 60, 60], abs=3)


def test_a_long_track_is_thinned_and_keeps_its_worst_frame():
    result = result_of(num_frames=12, late=20)
    (track,) = result.tracks
    assert strip_of(track).shape[1] <= 7 * CELL_WIDTH + 6 * GAP
