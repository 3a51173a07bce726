"""Pixels in, masks out."""

import numpy as np
import torch

from sam2.transforms import SAM2Transforms
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
