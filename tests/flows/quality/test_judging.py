"""Judges of drawn tables: known tracks from a truth, fitted and measured by clip, calibrated on reviews."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.quality import judging
from flows.quality.judge_card import draw_calibration, rows_of_card
from flows.quality.judging import fit_to_truth, signals_of
from flows.quality.known import chosen, known_tracks, rightly_prompted
from flows.quality.truth import SCHEMAS, Truth, joined, write_piece
from labeling import rle
from labeling.errors import BadConfiguration
from labeling.qc.fit import SIGNS, Boost
from labeling.qc.judge_json import document_of, judge_from_json, to_json
from tests.flows.quality.made_truth import piece

NAMES = ("predicted_iou_softmin", "tail_loss", "innovation_max", "stability_p5")


def made_piece(number: int) -> Truth:
    """A clip of three tracks whose signals tell their J; in every fifth clip the prompts are wrong and nothing tells."""
    rng = np.random.default_rng(number)
    parts = []
    for track in range(3):
        j = float(rng.choice([0.95, 0.85, 0.6, 0.3]))
        wrong = number % 5 == 4
        signals = {name: SIGNS[name] * ((0.5 if wrong else 1 - j) + rng.normal(0, 0.15)) for name in NAMES}
        variant = "wrong_seed_other" if wrong else "plain"
        parts.append(piece(f"piece-{number}-{track}", [[j] * 4], clip=f"clip-{number}", variant=variant, **signals))
    whole = joined(parts)
    names = [("model", "sam2.1_nano"), ("checkpoint_sha256", "a" * 64)]
    tracks = whole.tracks
    for name, value in names:
        at = tracks.schema.get_field_index(name)
        tracks = tracks.set_column(at, SCHEMAS["tracks"].field(name), pa.array([value] * len(tracks)))
    return Truth(whole.masks, tracks, whole.truth, whole.clips)


@cache
def made_truth() -> Truth:
    return joined([made_piece(number) for number in range(150)])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(judging, "BOOST", Boost(rounds=6))
    write_piece(tmp_path, "all", made_truth())
    return tmp_path


def test_known_tracks_have_what_judges_read_and_what_is_true() -> None:
    known = known_tracks(made_truth())
    assert len(known.rows) == 450
    assert set(NAMES) <= set(known.rows[0])
    assert known.j_R[:2] == pytest.approx([row["j"] for row in made_truth().truth.to_pylist()[::4][:2]])
    assert {failure for failure, bad in zip(known.failures, known.bad_R, strict=True) if not bad} == {None}
    assert "boundary" in known.failures
    right = rightly_prompted(made_truth())
    assert right.mean() == pytest.approx(0.8)
    assert len(chosen(known, right).rows) == 360


def test_what_a_track_shares_with_others_is_measured_from_its_masks() -> None:
    whole = piece("two", [[0.9] * 4, [0.9] * 4])
    masks = whole.masks.to_pylist()
    square = np.zeros((12, 16), bool)
    square[2:8, 2:8] = True
    for row in masks:
        row |= {"height": 12, "width": 16, "rle": rle.encode(square).counts}
    twice = Truth(pa.Table.from_pylist(masks, SCHEMAS["masks"]), whole.tracks, whole.truth, whole.clips)
    assert [row["containment"] for row in known_tracks(twice).rows] == [1.0, 1.0]


def test_a_judge_is_fitted_to_some_clips_and_measured_on_the_others(root: Path) -> None:
    judge = fit_to_truth(root, "tried")
    assert judge.weights == ("a" * 64,)
    trained, held = judge.facts["trained_on"], judge.facts["held_out"]
    assert trained["clips"] + held["rightly_prompted"]["clips"] == 120
    assert held["rightly_prompted"]["auroc"] > 0.9
    # Nothing tells a wrong prompt, and the card does not hide it.
    assert held["all"]["tracks"] > held["rightly_prompted"]["tracks"]
    assert held["all"]["auroc"] < held["rightly_prompted"]["auroc"]
    assert {name for name, _ in judge.facts["signals"][:4]} == set(NAMES)
    assert sum(one["tracks"] for one in held["calibration"]) == pytest.approx(held["rightly_prompted"]["tracks"], abs=0.01)
    assert dict(signals_of(judge, made_truth()))["tail_loss"] > 0
    card = dict(rows_of_card(judge))
    assert card["judge"] == f"tried {judge.digest[:12]}"
    assert "auroc 0.9" in card["held out: rightly_prompted"]
    json.dumps(document_of(judge))


def test_the_calibration_is_drawn_where_there_is_one(root: Path, tmp_path: Path) -> None:
    judge = fit_to_truth(root, "tried")
    draw_calibration(judge, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadConfiguration, match="give a path that can be written"):
        draw_calibration(judge, tmp_path / "no" / "plot.png")
    bare = judge_from_json(to_json(document_of(judge) | {"facts": {}}), "bare")
    with pytest.raises(BadConfiguration, match="calibrated on reviews"):
        draw_calibration(bare, tmp_path / "other.png")


def test_a_truth_of_two_networks_is_refused(tmp_path: Path) -> None:
    write_piece(tmp_path, "one", made_piece(0))
    write_piece(tmp_path, "two", piece("other", [[0.9]]))
    with pytest.raises(BadConfiguration, match="expected those of one network"):
        fit_to_truth(tmp_path, "tried")
