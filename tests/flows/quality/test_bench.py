"""The table says of each contender what its risks say, with the tracks that it was measured on."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from flows.quality.bench import figures_of, run_bench
from flows.quality.contenders import FAMILIES, field_of, signal_alone
from flows.quality.figures import of_a_perfect_judge
from flows.quality.tables import tables, to_markdown
from flows.quality.truth import HELD, Truth, joined, split_of, write_piece
from labeling.errors import BadConfiguration
from tests.flows.quality.made_truth import piece


def made(number: int) -> Truth:
    """Return a piece of one track: every third is bad, which its scores tell with some noise."""
    random = np.random.default_rng(number)
    bad = number % 3 == 0
    j = random.uniform(0.1, 0.6) if bad else random.uniform(0.8, 1.0)
    quality = float(np.clip(j + random.normal(0, 0.1), 0, 1))
    signals = {"predicted_iou_softmin": quality, "stability_mean": float(random.random()), "visible_frames": 5.0}
    variant = "wrong_seed_other" if number % 10 == 9 else "plain"
    return piece(f"p{number}", [[j] * 4], clip=f"scene {number // 2}", variant=variant, **signals)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return joined([made(number) for number in range(90)])


def test_the_table_holds_every_contender(truth: Truth) -> None:
    figures = figures_of(truth, judge="none", fit=True)
    assert set(figures["contenders"]) == {"rules", *FAMILIES}
    assert (figures["tracks"], figures["ranked"], figures["clips"]) == (90, 81, 45)
    rules = figures["contenders"]["rules"]
    assert rules["auroc"]["value"] > 0.75
    assert rules["auroc"]["interval"][0] <= rules["auroc"]["value"] <= rules["auroc"]["interval"][1]
    assert rules["accepted"] + rules["error_of_accepted"] < 1
    fitted = figures["contenders"]["fitted here: and looks"]
    assert 0 < fitted["ece_of_perfect"] < 0.3
    assert fitted["brier"] < 0.2
    assert next(iter(figures["signals_alone"])) == "predicted_iou_softmin"
    assert figures["frames"]["predicted_iou"] == {"auroc": 1.0, "frames": 360}


def test_kinds_part_the_tracks(truth: Truth) -> None:
    kinds = figures_of(truth, judge="none", fit=False)["kinds"]
    assert sum(of["tracks"] for of in kinds["variant"].values()) == 90
    assert sum(of["tracks"] for of in kinds["tracker"].values()) == 81
    assert kinds["variant"]["wrong_seed_other"]["auroc"]["rules"] is None
    assert sum(of["bad"] for of in kinds["failure"].values()) == kinds["tracker"]["sam2"]["bad"]


def test_wrong_seeds_are_ranked_when_asked_for(truth: Truth) -> None:
    assert figures_of(truth, judge="none", fit=False, wrong_seeds=True)["ranked"] == 90


def test_the_bench_reads_one_split_and_writes_both_files(tmp_path: Path, truth: Truth) -> None:
    for number in range(90):
        write_piece(tmp_path / "root", f"p{number}", made(number))
    console = Console(record=True, width=200)
    figures = run_bench(
        tmp_path / "root", console, split=HELD, judge="none", fit=False, wrong_seeds=False, out=str(tmp_path / "out")
    )
    held = sum(split_of(f"scene {number // 2}") == HELD for number in range(90))
    assert figures["tracks"] == held < 60
    assert json.loads((tmp_path / "out" / "quality.json").read_text()) == figures
    text = (tmp_path / "out" / "quality.md").read_text()
    assert "### Who tells bad tracks from good ones" in text
    assert "| rules | " in text
    assert "Signals alone" in console.export_text()


def test_every_row_of_a_table_is_as_long_as_its_header(truth: Truth) -> None:
    figures = figures_of(truth, judge="none", fit=False)
    for _, header, rows in tables(figures):
        assert {len(row) for row in rows} <= {len(header)}
    assert to_markdown(figures).count("###") == 11


def test_too_few_tracks_are_named() -> None:
    with pytest.raises(BadConfiguration, match="0 bad and 2 good tracks are too few to compare"):
        figures_of(piece("a", [[0.9], [0.8]]), judge="none", fit=False)


def test_a_signal_counts_in_the_direction_that_is_better() -> None:
    values, bad = np.array([0.1, 0.2, 0.8, np.nan]), np.array([True, True, False, False])
    assert signal_alone(values, bad) == (1.0, 3)


def test_a_perfect_judge_shows_an_error_of_its_own() -> None:
    error, score = of_a_perfect_judge(np.full(400, 0.5))
    assert 0.01 < error < 0.1
    assert score == 0.25


def test_rules_alone_give_no_calibrated_risk(truth: Truth) -> None:
    (rules,) = field_of(truth, judge="none", fit=False).contenders
    assert not rules.calibrated
    assert rules.accepted_R is not None
