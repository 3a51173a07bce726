"""Right prompts lie on their object, wrong ones are wrong in the way that they say."""

import numpy as np
import pytest

from flows.learn.config import PromptKind
from flows.quality.prompts import WRONG, right_prompt, wrong_prompt
from labeling import rle

SIZE_HW = (60, 80)
MASKS_NHW = np.zeros((3, *SIZE_HW), bool)
MASKS_NHW[0, 10:20, 10:30] = MASKS_NHW[1, 40:50, 10:20] = MASKS_NHW[2, 30:55, 50:75] = True


def box_mask(box: tuple[float, float, float, float]) -> np.ndarray:
    mask_HW = np.zeros(SIZE_HW, bool)
    mask_HW[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])] = True
    return mask_HW


def shared(first_HW: np.ndarray, second_HW: np.ndarray) -> float:
    return float((first_HW & second_HW).sum() / (first_HW | second_HW).sum())


def test_right_prompts() -> None:
    assert right_prompt(0, MASKS_NHW[0], PromptKind.box).box_xyxy == (10.0, 10.0, 30.0, 20.0)
    assert right_prompt(0, MASKS_NHW[0], PromptKind.mask).mask == rle.encode(MASKS_NHW[0])
    ((x, y),) = right_prompt(0, MASKS_NHW[0], PromptKind.click).points_xy
    assert MASKS_NHW[0, int(y), int(x)]


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_box_is_not_the_objects(kind: str) -> None:
    for seed in range(20):
        prompt, how = wrong_prompt(0, MASKS_NHW, kind, np.random.default_rng(seed))
        assert how == kind
        assert prompt.box_xyxy is not None
        x0, y0, x1, y1 = prompt.box_xyxy
        assert 0 <= x0 < x1 <= 80
        assert 0 <= y0 < y1 <= 60
        assert shared(box_mask(prompt.box_xyxy), MASKS_NHW[0]) < 0.65


def test_each_kind_is_what_it_says() -> None:
    boxes = {kind: wrong_prompt(0, MASKS_NHW, kind, np.random.default_rng(1))[0].box_xyxy for kind in WRONG}
    masks = {kind: box_mask(box) for kind, box in boxes.items() if box}
    assert max(shared(masks["other"], MASKS_NHW[n]) for n in (1, 2)) == 1.0
    assert not (masks["background"] & MASKS_NHW.any(axis=0)).any()
    assert (masks["loose"] & MASKS_NHW[0]).sum() == MASKS_NHW[0].sum() < masks["loose"].sum() / 2
    assert masks["part"].sum() < 0.4 * MASKS_NHW[0].sum()
    assert (masks["union"] & MASKS_NHW[1]).sum() == MASKS_NHW[1].sum()


def test_without_others_another_kind_is_given_and_named() -> None:
    random = np.random.default_rng(2)
    assert wrong_prompt(0, MASKS_NHW[:1], "other", random)[1] == "background"
    assert wrong_prompt(0, MASKS_NHW[:1], "union", random)[1] == "loose"
