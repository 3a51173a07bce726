"""Prompts as a person might give them, made from true masks: a box, a first click, a click on what is still wrong.

Source: Ravi et al. 2024, "SAM 2", section D.2 (interactive training); box noise as in Kirillov et al. 2023, section A.

Legend: B objects, S side of the model's image, H, W low-resolution masks.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torchvision.ops import masks_to_boxes

from sam2.modeling.sam.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, POSITIVE

BOX_NOISE, BOX_NOISE_PIXELS = 0.1, 20.0     # of a box's side, and the most at an image of 1024 pixels
INNER_WINDOW = 31                           # of an image of 256 pixels: how far a click looks for the middle of its part

Clicks = tuple[Tensor, Tensor]              # points (B, P, 2) in model pixels and labels (B, P)


def boxes(mask_BSS: Tensor, random: Generator, *, noise: float = BOX_NOISE) -> Clicks:
    """Return each mask's box as two corner points, every side moved a little; a mask must not be empty."""
    side = mask_BSS.shape[-1]
    corners_B4 = masks_to_boxes(mask_BSS)
    corners_B4[:, 2:] += 1      # the far edge there is the last pixel
    width_height_B4 = (corners_B4[:, 2:] - corners_B4[:, :2]).repeat(1, 2)
    most = BOX_NOISE_PIXELS * side / 1024
    moved_B4 = torch.randn(corners_B4.shape, generator=random).to(mask_BSS.device) * noise * width_height_B4
    corners_B4 = (corners_B4 + moved_B4.clamp(-most, most)).clamp(0, side)
    labels_B2 = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]], device=mask_BSS.device).expand(len(mask_BSS), 2)
    return corners_B4.unflatten(1, (2, 2)), labels_B2


def first_clicks(mask_BSS: Tensor, random: Generator) -> Clicks:
    """Return one positive click on each mask: half of them anywhere on it, half well inside."""
    side = mask_BSS.shape[-1]
    window = max(3, INNER_WINDOW * side // 256 // 2 * 2 + 1)
    depth_BSS = _window_sum(_window_sum(mask_BSS.float(), window, dim=1), window, dim=2) / window**2
    inside_B = torch.rand(len(mask_BSS), generator=random).to(mask_BSS.device) < 0.5
    chance_BSS = _noise(mask_BSS, random)
    weight_BSS = torch.where(inside_B[:, None, None], depth_BSS + 1e-3 * chance_BSS, chance_BSS)
    points_B2 = _highest(torch.where(mask_BSS, weight_BSS, -1.0))
    return points_B2[:, None], torch.full((len(mask_BSS), 1), POSITIVE, device=mask_BSS.device)


def corrective_clicks(mask_BSS: Tensor, found_BSS: Tensor, random: Generator) -> Clicks:
    """Return one click on what is wrong of each answer: positive where it misses, negative where it has too much.

    Where nothing is wrong the click falls on the object, or on the ground of an object that is not there.
    """
    wrong_BSS = mask_BSS ^ found_BSS
    spare_BSS = torch.where(mask_BSS.flatten(1).any(1)[:, None, None], mask_BSS, ~mask_BSS)
    from_BSS = torch.where(wrong_BSS.flatten(1).any(1)[:, None, None], wrong_BSS, spare_BSS)
    points_B2 = _highest(torch.where(from_BSS, _noise(mask_BSS, random), -1.0))
    x_B, y_B = points_B2.long().unbind(1)
    on_object_B = mask_BSS[torch.arange(len(mask_BSS), device=mask_BSS.device), y_B, x_B]
    return points_B2[:, None], torch.where(on_object_B, POSITIVE, NEGATIVE)[:, None]


def _window_sum(value_BSS: Tensor, window: int, *, dim: int) -> Tensor:
    """Return the sum over an odd window about each place along one axis, zeros beyond the edges."""
    half = window // 2
    edges = (half + 1, half) if dim == 2 else (0, 0, half + 1, half)
    up_to = F.pad(value_BSS, edges).cumsum(dim)     # as dear for a wide window as for a narrow one
    return up_to.narrow(dim, window, value_BSS.shape[dim]) - up_to.narrow(dim, 0, value_BSS.shape[dim])


def _noise(like_BSS: Tensor, random: Generator) -> Tensor:
    return torch.rand(like_BSS.shape, generator=random).to(like_BSS.device)


def _highest(weight_BSS: Tensor) -> Tensor:
    """Return (B, 2): x and y of the highest weight, as pixel indices."""
    place_B = weight_BSS.flatten(1).argmax(1)
    side = weight_BSS.shape[-1]
    return torch.stack((place_B % side, place_B // side), dim=1).float()
