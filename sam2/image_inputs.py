"""Checking what a person hands to the image predictor: images, points, boxes, mask prompts.

Legend: B prompts, N points of a prompt, H, W the image, h, w the low-resolution mask.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image
from torch import Tensor

from sam2.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, PADDING


def checked_image(image: NDArray[Any] | Image, image_format: str) -> NDArray[Any] | Image:
    """Return the image as RGB: a PIL image, or (H, W, 3) of uint8 or float32.

    Raises ValueError that names what is wrong with it.
    """
    if image_format not in ("RGB", "BGR"):
        raise ValueError(f"image_format={image_format!r}: expected 'RGB' or 'BGR'")
    if isinstance(image, Image):
        return image.convert("RGB")
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image is {type(image).__name__}: expected a NumPy array (H, W, 3) or a PIL image")
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"image has shape {image.shape}: expected (H, W, 3)")
    if image.dtype != np.uint8:
        image = _checked_floats(image)
    return np.ascontiguousarray(image[..., ::-1]) if image_format == "BGR" else image


def _checked_floats(image_HW3: NDArray[Any]) -> NDArray[np.float32]:
    if not np.issubdtype(image_HW3.dtype, np.floating):
        raise ValueError(f"image holds {image_HW3.dtype}: expected uint8 in 0..255 or floats in 0..1")
    if not np.isfinite(image_HW3).all():
        raise ValueError("image holds NaN or infinity: expected uint8 in 0..255 or floats in 0..1")
    return image_HW3.astype(np.float32)


def checked_points(
    point_coords: ArrayLike | Tensor, point_labels: ArrayLike | Tensor, *, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return float (B, N, 2) points and int (B, N) labels; points outside the image are as good as any."""
    coords = _finite("point_coords", point_coords, device)
    labels = _finite("point_labels", point_labels, device).int()
    if coords.ndim == 2:
        coords, labels = coords[None], labels[None]
    if coords.ndim != 3 or coords.shape[-1] != 2:
        raise ValueError(f"point_coords has shape {tuple(coords.shape)}: expected (N, 2) or (B, N, 2)")
    if labels.shape != coords.shape[:2]:
        wanted = tuple(coords.shape[:2])
        raise ValueError(f"point_labels has shape {tuple(labels.shape)}: expected {wanted}, one for each point")
    if labels.numel() and (labels.min() < PADDING or labels.max() > BOX_BOTTOM_RIGHT):
        found = sorted(set(labels.flatten().tolist()))
        raise ValueError(f"point_labels holds {found}: expected 1 (inside), 0 (outside), 2 and 3 (corners) or -1 (none)")
    return coords, labels


def checked_boxes(box: ArrayLike | Tensor, *, device: torch.device) -> Tensor:
    """Return float (4,) or (B, 4) boxes x0, y0, x1, y1."""
    boxes = _finite("box", box, device)
    if boxes.ndim == 0 or boxes.shape[-1] != 4 or not boxes.numel():
        raise ValueError(f"box has shape {tuple(boxes.shape)}: expected (4,) or (B, 4), x0, y0, x1, y1")
    return boxes


def checked_mask_prompt(mask_logits: ArrayLike | Tensor, *, side: int, device: torch.device) -> Tensor:
    """Return (B, 1, side, side) mask logits; (1, side, side) is a batch of one."""
    mask = _finite("mask_input", mask_logits, device)
    mask = mask[None] if mask.ndim == 3 else mask
    if mask.ndim != 4 or mask.shape[1:] != (1, side, side):
        raise ValueError(
            f"mask_input has shape {tuple(mask.shape)}: expected (1, {side}, {side}), the logits of an earlier answer"
        )
    return mask


def corners_and_points(
    coords_BN2: Tensor | None, labels_BN: Tensor | None, boxes: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """Return points and labels with boxes, as two labelled corners, in front; None without either."""
    if boxes is None:
        return None if coords_BN2 is None or labels_BN is None else (coords_BN2, labels_BN)
    corners = boxes.reshape(-1, 2, 2)
    labels = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]], dtype=torch.int, device=boxes.device)
    labels = labels.expand(len(corners), 2)
    if coords_BN2 is None or labels_BN is None:
        return corners, labels
    return torch.cat((corners, coords_BN2), dim=1), torch.cat((labels, labels_BN), dim=1)


def _finite(name: str, values: ArrayLike | Tensor, device: torch.device) -> Tensor:
    given = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    numbers = given.to(dtype=torch.float32, device=device)
    if not numbers.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity: expected finite numbers")
    return numbers
