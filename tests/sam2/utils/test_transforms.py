"""Pixels in, masks out."""

import numpy as np
import pytest
import torch

from sam2.utils.transforms import (
    SAM2Transforms,
    checked_boxes,
    checked_image,
    checked_mask_prompt,
    checked_points,
    corners_and_points,
)
from sam2.utils.transforms import SAM2Transforms as released_path


def test_the_released_path_leads_here() -> None:
    assert released_path is SAM2Transforms


def test_an_image_becomes_a_normalised_square() -> None:
    image = np.full((10, 30, 3), (124, 0, 255), np.uint8)
    pixels = SAM2Transforms(16, 0.0)(image)
    assert pixels.shape == (3, 16, 16)
    expected = (torch.tensor([124, 0, 255]) / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(pixels, expected[:, None, None].expand(3, 16, 16))


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = SAM2Transforms(8, 0.0)(stripes)
    assert pixels.std(dim=(1, 2)).max() < 0.05


def test_points_and_boxes_go_to_model_pixels() -> None:
    transforms = SAM2Transforms(100, 0.0)
    points = torch.tensor([[20.0, 10.0]])
    assert transforms.transform_coords(points, normalize=True, orig_hw=(40, 80)).tolist() == [[25.0, 25.0]]
    assert points.tolist() == [[20.0, 10.0]]
    assert transforms.transform_coords(torch.tensor([[0.5, 0.1]])).tolist() == [[50.0, 10.0]]
    boxes = transforms.transform_boxes(torch.tensor([0.0, 0, 80, 40]), normalize=True, orig_hw=(40, 80))
    assert boxes.tolist() == [[[0, 0], [100, 100]]]


def blob() -> torch.Tensor:
    """A 10 x 10 square with a hole of 2 pixels that touch at a corner, and an island of 3."""
    logits = torch.full((1, 1, 16, 16), -1.0)
    logits[..., 2:12, 2:12] = 1.0
    logits[..., 4, 4] = logits[..., 5, 5] = -1.0
    logits[..., 14, 3:6] = 1.0
    return logits


def test_small_holes_are_filled_and_small_islands_removed() -> None:
    kept = SAM2Transforms(64, 0.0).postprocess_masks(blob(), (16, 16))
    assert torch.equal(kept, blob())
    filled = SAM2Transforms(64, 0.0, max_hole_area=2).postprocess_masks(blob(), (16, 16))
    assert filled[0, 0, 4, 4] == filled[0, 0, 5, 5] == 10.0
    assert int((filled > 0).sum()) == 103
    assert torch.equal(SAM2Transforms(64, 0.0, max_hole_area=1).postprocess_masks(blob(), (16, 16)), blob())
    cleared = SAM2Transforms(64, 0.0, max_sprinkle_area=3).postprocess_masks(blob(), (16, 16))
    assert (cleared[0, 0, 14, 3:6] == -10.0).all()
    assert int((cleared > 0).sum()) == 98


def test_masks_come_at_the_image_s_size_in_float32() -> None:
    masks = SAM2Transforms(64, 0.0).postprocess_masks(blob().bfloat16(), (31, 57))
    assert masks.shape == (1, 1, 31, 57)
    assert masks.dtype == torch.float32


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
