"""The judge that is in the package: for the weights that are, small, quick, and open about what it was fitted on."""

import time
from importlib import resources

import pytest

from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.qc.fit import SIGNS
from labeling.qc.judge_json import SHIPPED, shipped_judge
from labeling.qc.rules import SIGNALS
from labeling.track.predictor import recipe_of
from labeling.types import Decision

# Signals of a masklet that nothing is wrong with, and of one that everything is wrong with.
GOOD = {
    "predicted_iou_softmin": 0.93, "predicted_iou_median": 0.95, "predicted_iou_p10": 0.93, "predicted_iou_mean": 0.95,
    "predicted_iou_end": 0.95, "predicted_iou_low_run_s": 0.0, "object_score_min": 8.0, "object_score_median": 11.0,
    "stability_p5": 0.9, "stability_mean": 0.95, "innovation_p95": 0.05, "innovation_max": 0.1, "compensated_iou_min": 0.9,
    "compensated_iou_p5": 0.93, "area_jump_max": 0.05, "area_jump_share": 0.0, "area_step": 0.05, "shape_step": 0.03,
    "fragmentation_max": 0.0, "fragmentation_share": 0.0, "holes_max": 0.0, "gap_rate": 0.0, "unexplained_absence": 0.0,
    "tail_loss": 0.0, "presence_conflict": 0.0, "presence_dither": 0.0, "containment": 0.0,
}
BAD = {
    "predicted_iou_softmin": 0.3, "predicted_iou_median": 0.5, "predicted_iou_p10": 0.2, "predicted_iou_mean": 0.45,
    "predicted_iou_end": 0.3, "predicted_iou_low_run_s": 1.0, "object_score_min": 0.1, "object_score_median": 2.0,
    "stability_p5": 0.05, "stability_mean": 0.3, "innovation_p95": 2.5, "innovation_max": 5.0, "compensated_iou_min": 0.0,
    "compensated_iou_p5": 0.05, "area_jump_max": 2.0, "area_jump_share": 0.5, "area_step": 2.0, "shape_step": 1.5,
    "fragmentation_max": 0.48, "fragmentation_share": 0.6, "holes_max": 8.0, "gap_rate": 1.0, "unexplained_absence": 0.4,
    "tail_loss": 0.3, "presence_dither": 0.6, "containment": 1.0,
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_judge_is_small_and_its_card_says_what_it_is(name):
    judge = shipped_judge(name)
    assert judge.name == name
    assert len(resources.files("labeling.qc").joinpath("judges", f"{name}.json").read_bytes()) <= 300_000
    assert set(judge.features) <= set(SIGNALS) & set(SIGNS)
    assert judge.facts["trained_on"]["what"] == "drawn clips with true masks"
    assert judge.facts["held_out"]["rightly_prompted"]["auroc"] > 0.9
    assert 0 < judge.accept_below < 0.5


def test_the_judge_of_the_shipped_weights_is_for_them():
    recipe = recipe_of(NetworkConfig(config="sam2.1_nano"), PrecisionConfig(), TrackerConfig("samurai"))
    assert shipped_judge("nano").weights == (recipe.checkpoint_sha256,)


def test_what_is_plainly_good_is_accepted_and_what_is_plainly_bad_is_not():
    good, bad = shipped_judge("nano").opinions([GOOD, BAD])
    assert good.decision is Decision.ACCEPT
    assert good.risk < 0.1
    assert bad.decision is not Decision.ACCEPT
    assert bad.risk > 0.6


def test_it_takes_less_than_a_millisecond_a_track():
    judge, seconds = shipped_judge("nano"), []
    for _ in range(60):
        start = time.perf_counter()
        judge.opinions([GOOD] * 100)
        seconds.append((time.perf_counter() - start) / 100)
    assert min(seconds) < 1e-3
