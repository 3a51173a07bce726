"""Bad images and prompts are refused with what is wrong and what was expected."""

import numpy as np
import pytest
import torch

from sam2.image_inputs import checked_boxes, checked_image, checked_mask_prompt, checked_points, corners_and_points

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 5), np.uint8), r"shape \(4, 5\): expected \(H, W, 3\)"),
        (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\)"),
        (np.zeros((3, 40, 50), np.uint8), r"shape \(3, 40, 50\)"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\)"),
        (np.zeros((4, 5, 3), np.uint16), "holds uint16"),
        (np.full((4, 5, 3), np.nan), "NaN"),
        (torch.zeros(4, 5, 3), "image is Tensor"),
        ("truck.jpg", "image is str"),
    ],
)
def test_images_that_are_none(image: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_image(image, "RGB")


def test_an_unknown_channel_order() -> None:
    with pytest.raises(ValueError, match="image_format='rgb': expected 'RGB' or 'BGR'"):
        checked_image(np.zeros((4, 5, 3), np.uint8), "rgb")


@pytest.mark.parametrize(
    ("coords", "labels", "said"),
    [
        ([1.0, 2.0], [1], r"point_coords has shape \(2,\)"),
        ([[1, 2, 3]], [1], r"point_coords has shape \(1, 1, 3\)"),
        ([[1, 2], [3, 4]], [1], r"point_labels has shape \(1, 1\): expected \(1, 2\)"),
        ([[1, 2]], [[1]], r"point_labels has shape \(1, 1, 1\)"),
        ([[np.nan, 2]], [1], "point_coords holds NaN"),
        ([[1, np.inf]], [1], "point_coords holds NaN or infinity"),
        ([[1, 2]], [7], r"point_labels holds \[7\]: expected 1 \(inside\)"),
        ([[1, 2]], [-2], r"point_labels holds \[-2\]"),
    ],
)
def test_points_that_do_not_fit(coords: list[object], labels: list[object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_points(coords, labels, device=CPU)


@pytest.mark.parametrize("labels", [np.array([True, False]), np.array([1.0, 0.0]), [1, 0], torch.tensor([1, 0])])
def test_labels_of_any_kind(labels: object) -> None:
    coords, checked = checked_points([[1, 2], [3, 4]], labels, device=CPU)
    assert coords.shape == (1, 2, 2)
    assert checked.tolist() == [[1, 0]]
    assert checked.dtype == torch.int32


@pytest.mark.parametrize("box", [[1, 2, 3], [[1, 2, 3, 4, 5]], 3.0, np.zeros((0, 4))])
def test_boxes_of_another_shape(box: object) -> None:
    with pytest.raises(ValueError, match=r"box has shape .* expected \(4,\) or \(B, 4\)"):
        checked_boxes(box, device=CPU)


def test_a_mask_prompt_of_another_side() -> None:
    assert checked_mask_prompt(np.zeros((1, 16, 16)), side=16, device=CPU).shape == (1, 1, 16, 16)
    with pytest.raises(ValueError, match=r"\(1, 1, 64, 64\): expected \(1, 16, 16\)"):
        checked_mask_prompt(np.zeros((1, 64, 64)), side=16, device=CPU)


def test_corners_stand_before_points() -> None:
    boxes = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    coords, labels = corners_and_points(torch.full((2, 1, 2), 9.0), torch.ones(2, 1, dtype=torch.int), boxes)
    assert coords[1].tolist() == [[5, 6], [7, 8], [9, 9]]
    assert labels.tolist() == [[2, 3, 1], [2, 3, 1]]
    assert corners_and_points(None, None, boxes)[1].tolist() == [[2, 3], [2, 3]]
    assert corners_and_points(None, None, None) is None
