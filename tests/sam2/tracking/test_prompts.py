"""Prompts as users give them: what is accepted, what is refused, and what the refusal says."""

import numpy as np
import pytest
import torch

from sam2.tracking.prompts import PointPrompt, mask_prompt, point_prompt

NAN = float("nan")


def prompt(points: object = None, labels: object = None, box: object = None, **how: object) -> PointPrompt:
    options = {"size_hw": (100, 200), "normalize_coords": True, "image_size": 64, "device": torch.device("cpu")}
    return point_prompt(points, labels, box, **{**options, **how})


def test_pixels_become_pixels_of_the_network() -> None:
    given = prompt([[100, 50], [200, 0]], [1, 0])
    assert given.points_xy_1P2.tolist() == [[[32, 32], [64, 0]]]
    assert given.labels_1P.tolist() == [[1, 0]]
    assert given.points_xy_1P2.dtype == torch.float32
    assert given.labels_1P.dtype == torch.int32


def test_shares_of_the_frame_are_taken_without_normalising() -> None:
    assert prompt([[0.5, 0.25]], [1], normalize_coords=False).points_xy_1P2.tolist() == [[[32, 16]]]


def test_the_box_comes_before_the_clicks() -> None:
    given = prompt([[100, 50]], [0], [0, 0, 200, 100])
    assert given.labels_1P.tolist() == [[2, 3, 0]]
    assert given.points_xy_1P2.tolist() == [[[0, 0], [64, 64], [32, 32]]]


@pytest.mark.parametrize(
    "box", [[50, 25, 150, 75], np.array([[50, 25], [150, 75]]), torch.tensor([[50.0, 25, 150, 75]]), (50, 25, 150, 75)]
)
def test_boxes_of_any_make(box: object) -> None:
    assert prompt(box=box).points_xy_1P2.tolist() == [[[16, 16], [48, 48]]]


def test_a_box_past_the_frame_or_with_swapped_corners_is_taken_as_it_is() -> None:
    assert prompt(box=[-100, -50, 100, 200]).points_xy_1P2.tolist() == [[[-32, -32], [32, 128]]]
    assert prompt(box=[150, 75, 50, 25]).points_xy_1P2.tolist() == [[[48, 48], [16, 16]]]


def test_a_click_may_lie_just_outside() -> None:
    assert prompt([[200.4, 100.5], [-1, -1]], [1, 0]).points_xy_1P2[0, 0].tolist() == pytest.approx([64.128, 64.32])
    assert prompt([[1.01, -0.01]], [1], normalize_coords=False).num_points == 1


@pytest.mark.parametrize("points", [[[[10, 20]]], np.array([[10, 20]]), torch.tensor([[10, 20]])])
def test_points_with_and_without_a_batch_axis(points: object) -> None:
    assert prompt(points, [1]).points_xy_1P2.shape == (1, 1, 2)
    assert prompt(points, np.array([[1]])).labels_1P.shape == (1, 1)


def test_padding_may_lie_anywhere() -> None:
    assert prompt([[10, 10], [-5, 900]], [1, -1]).num_points == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"points": [[10, 10]]}, "belong together"),
        ({"labels": [1]}, "belong together"),
        ({}, "nothing to prompt with"),
        ({"points": np.zeros((0, 2)), "labels": np.zeros(0)}, "points is empty"),
        ({"points": [[10, 10], [20, 20]], "labels": [1]}, "2 points but labels of shape"),
        ({"points": [[10, 10, 10]], "labels": [1]}, r"points has shape \(1, 3\)"),
        ({"points": [[10, 10]], "labels": [7]}, "label 7.0 of point 0 is unknown"),
        ({"points": [[10, 10], [211, 50]], "labels": [1, 1]}, "point 1 at x=211, y=50 lies outside"),
        ({"points": [[-11, 10]], "labels": [1]}, "lies outside the frame"),
        ({"points": [[NAN, 10]], "labels": [1]}, "x=nan.*outside the frame"),
        ({"points": [["a", "b"]], "labels": [1]}, "cannot be read as numbers"),
        ({"box": [10, 10, 20]}, "expected 4 numbers"),
        ({"box": [10, 10, NAN, 20]}, "NaN"),
        ({"box": [10, 10, float("inf"), 20]}, "infinite"),
        ({"box": [200, 10, 300, 20]}, "misses the frame, which is 200 wide and 100 high"),
        ({"box": [-30, -30, -1, -1]}, "misses the frame"),
        ({"points": [[0.5, 1.5]], "labels": [1], "normalize_coords": False}, "0 <= y <= 1"),
    ],
)
def test_bad_prompts(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prompt(**given)


def test_masks_of_any_size_come_to_the_networks_size() -> None:
    mask = np.zeros((100, 200), bool)
    mask[:, :100] = True
    taken = mask_prompt(mask, image_size=64, device=torch.device("cpu"))
    assert taken.shape == (1, 1, 64, 64)
    assert taken[0, 0, :, :32].min() == 1
    assert taken[0, 0, :, 32:].max() == 0
    assert torch.allclose(mask_prompt(mask * 255, image_size=64, device=torch.device("cpu")), taken)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((1, 10, 10)), "expected two axes"),
        (np.zeros((0, 10)), "expected two axes"),
        (np.full((10, 10), NAN), "NaN"),
        (torch.full((10, 10), NAN), "NaN"),
    ],
)
def test_bad_masks(mask: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mask_prompt(mask, image_size=64, device=torch.device("cpu"))
