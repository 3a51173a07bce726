"""What is done to masks after the network, against plain definitions."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from sam2.modeling.released_methods import without_overlap
from sam2.tracking.postprocess import (
    boxes_of_masks,
    fill_holes,
    resize_logits,
    small_components,
    stability,
)

EIGHT = np.ones((3, 3))


def small_by_labels(pixels: np.ndarray, max_area: int) -> np.ndarray:
    labels, count = ndimage.label(pixels, EIGHT)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    return pixels & (areas[labels] <= max_area)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.45, 0.6, 0.9, 1.0, 0.0])
@pytest.mark.parametrize("shape", [(64, 64), (1, 30), (30, 1), (17, 40)])
def test_small_components_are_those_of_a_labelling(share: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(int(share * 100) + shape[0])
    pixels = rng.random(shape) < share
    for max_area in (1, 4, 8, 50):
        np.testing.assert_array_equal(small_components(pixels[None], max_area)[0], small_by_labels(pixels, max_area))


def test_components_end_with_their_map() -> None:
    pixels = np.zeros((3, 4, 5), bool)
    pixels[0, 3], pixels[1, 0], pixels[2, :, 4] = True, True, True
    pixels[1, 1:, 0] = True
    small = small_components(pixels, 5)
    assert small.sum(axis=(1, 2)).tolist() == [5, 0, 4]


def test_a_winding_component_is_one() -> None:
    pixels = np.zeros((1, 41, 41), bool)
    pixels[0, ::4], pixels[0, 2::4] = True, True
    for row in range(1, 41, 4):
        pixels[0, row, -1] = True
        pixels[0, row + 2, 0] = True
    assert not small_components(pixels, int(pixels.sum()) - 1).any()
    assert small_components(pixels, int(pixels.sum())).sum() == pixels.sum()


def test_a_component_that_joins_only_at_its_end_is_one() -> None:
    pixels = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [0, 1, 0, 1, 0]], bool)
    assert small_components(pixels[None], 7).sum() == 0
    assert small_components(pixels[None], 8).sum() == 8


def test_holes_of_up_to_the_area_are_filled_and_nothing_else_changes() -> None:
    logits = torch.full((2, 1, 20, 20), 3.0)
    logits[0, 0, 2:4, 2:6] = -5.0       # 8 pixels
    logits[0, 0, 10:13, 10:13] = 0.0    # 9 pixels
    logits[1] = -2.0
    filled = fill_holes(logits, 8)
    assert torch.all(filled[0, 0, 2:4, 2:6] == 0.1)
    logits[0, 0, 2:4, 2:6] = 0.1
    assert torch.equal(filled, logits)


def test_filling_can_be_switched_off() -> None:
    logits = torch.tensor([[[[3.0, 3, 3], [3, -1, 3], [3, 3, 3]]]])
    assert fill_holes(logits, 0) is logits
    assert fill_holes(logits, 1).min() == pytest.approx(0.1)


def test_each_pixel_is_kept_by_one_object() -> None:
    logits = torch.tensor([[[[1.0, 5.0, -3.0, 2.0]]], [[[2.0, 4.0, -20.0, 2.0]]]])
    kept = without_overlap(logits)
    assert kept.tolist() == [[[[-10.0, 5.0, -3.0, 2.0]]], [[[2.0, -10.0, -20.0, -10.0]]]]
    assert without_overlap(logits[:1]) is not None
    assert torch.allclose(without_overlap(logits[:1]), logits[:1])


def test_boxes_are_the_extreme_pixels() -> None:
    logits = torch.full((1, 3, 12, 12), -1.0)
    logits[0, 0, 3:5, 2:9] = 1.0
    logits[0, 1, 11, 0] = 0.5
    logits[0, 2, 4, 4] = 0.0
    assert boxes_of_masks(logits) == [[(2, 3, 8, 4), (0, 11, 0, 11), (0, 0, 0, 0)]]


def test_stability_is_a_ratio_of_areas() -> None:
    logits = torch.tensor([[[[2.0, 0.5, -0.5, -2.0]]], [[[-9.0, -9.0, -9.0, -9.0]]]])
    assert stability(logits).tolist() == pytest.approx([1 / 3, 1.0])


def test_resizing_leaves_a_map_that_fits() -> None:
    logits = torch.randn(1, 1, 4, 6)
    assert resize_logits(logits, (4, 6)) is logits
    assert resize_logits(logits.bfloat16(), (8, 12)).dtype == torch.float32
