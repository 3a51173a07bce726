"""First masks of the small network that is shipped, on drawn clips: what stands against a wrong prompt."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from flows.learn.config import PromptKind
from flows.learn.evaluate import ClipFrames
from flows.quality.clips import Case, draw_case
from flows.quality.prompts import right_prompt
from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.track.predictor import build_predictor, recipe_of
from labeling.track.seeds import look_at_seeds
from labeling.types import Prompt

CLIP = draw_case(Case("scenes", "plain", 3, 2))


@cache
def predictor():
    recipe = recipe_of(NetworkConfig(config="sam2.1_nano", image_size=256), PrecisionConfig(), TrackerConfig("sam2"))
    return build_predictor(recipe, None, device="cpu")


def look(*prompts):
    return look_at_seeds(predictor(), ClipFrames(CLIP.frames_THW3, frame_rate=24), prompts)


@cache
def box_of(number=0):
    """The largest object's box, or another's in order of size."""
    areas = CLIP.masks_NTHW[:, 0].sum(axis=(1, 2))
    return right_prompt(1, CLIP.masks_NTHW[np.argsort(-areas)[number], 0], PromptKind.box)


def test_a_box_on_its_object_has_nothing_against_it():
    seed = look(box_of())[1]
    assert seed.fit > 0.75
    assert seed.agreement > 0.75
    assert (seed.twin, seed.twin_of) == (None, None)
    assert 0 < seed.predicted_iou <= 1
    assert seed.signals().values == {"seed_fit": seed.fit, "seed_agreement": seed.agreement, "seed_twin": None}
    assert seed.signals().spans["seed_fit"] == (0, 1)


def test_a_box_beside_its_object_is_filled_badly():
    x0, y0, x1, y1 = box_of().box_xyxy
    beside = replace(box_of(), box_xyxy=(x0 + 0.7 * (x1 - x0), y0, min(x1 + 0.7 * (x1 - x0), 256.0), y1))
    assert look(beside)[1].fit < look(box_of())[1].fit - 0.2


def test_two_prompts_on_one_object_are_twins_and_others_are_not():
    twice, other = replace(box_of(), object_id=2), replace(box_of(1), object_id=3)
    seeds = look(box_of(), twice, other)
    assert (seeds[1].twin_of, seeds[2].twin_of) == (2, 1)
    assert seeds[1].twin == seeds[2].twin == pytest.approx(1.0)
    assert seeds[3].twin < 0.5
    # On another frame they are not looked at side by side.
    assert look(box_of(), replace(twice, frame_idx=1))[1].twin is None


def test_a_given_mask_is_taken_as_it_is_and_clicks_are_not_moved():
    mask = right_prompt(1, CLIP.masks_NTHW[0, 0], PromptKind.mask)
    click = right_prompt(2, CLIP.masks_NTHW[0, 0], PromptKind.click)
    seeds = look(mask, click)
    assert seeds[1].mask == mask.mask
    assert (seeds[1].fit, seeds[1].agreement) == (None, None)
    assert (seeds[2].fit, seeds[2].agreement) == (None, None)
    nothing = Prompt(3, 0, mask=rle.empty((256, 256)))
    assert look(nothing, replace(nothing, object_id=4))[3].twin is None


def test_the_first_prompt_of_an_object_is_its_seed():
    seed = look(replace(box_of(), frame_idx=1), box_of(1))[1]
    assert seed.frame_idx == 0
