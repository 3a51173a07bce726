"""From images and prompts in a person's pixels to what the network reads, and from its masks back.

Legend: B prompts, M masks, H, W the low-resolution mask, S the model's side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image
from torch import Tensor, nn

from sam2.modeling.sam.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, PADDING
from sam2.tracking.postprocess import small_components
from sam2.video.source import RGB_MEAN, RGB_STD

__all__ = ["SAM2Transforms"]


class ToTensor(nn.Module):
    """An image (H, W, 3), or a PIL image, as (3, H, W) float32: uint8 in shares of 255, floats as they are."""

    def forward(self, image: np.ndarray | Image) -> Tensor:
        pixels_HW3 = torch.from_numpy(np.array(image))
        pixels_3HW = pixels_HW3.permute(2, 0, 1).contiguous()
        return pixels_3HW.float() / 255 if pixels_3HW.dtype == torch.uint8 else pixels_3HW.float()


class Resize(nn.Module):
    """Images (..., 3, H, W) as (..., 3, S, S), their aspect not kept, with antialiased bilinear.

    Plain torch serves: importing torchvision for this takes longer than importing torch.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.size = (side, side)

    def forward(self, image: Tensor) -> Tensor:
        flat = image.reshape(-1, *image.shape[-3:])
        resized = F.interpolate(flat, self.size, mode="bilinear", align_corners=False, antialias=True)
        return resized.view(*image.shape[:-2], *self.size)


class Normalize(nn.Module):
    """Images (..., 3, H, W) less a mean, by a deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = list(mean), list(std)

    def forward(self, image: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, device=image.device)[:, None, None] for values in (self.mean, self.std))
        return (image - mean) / std


class SAM2Transforms(nn.Module):
    """The image predictor's transforms under the released name.

    `resolution` is the model's side S. `max_hole_area` and `max_sprinkle_area` are in low-resolution pixels: smaller
    holes are filled and smaller islands removed; 0 leaves them. `to_tensor`, then `transforms`, is what a call does.
    """

    def __init__(
        self, resolution: int, mask_threshold: float, max_hole_area: float = 0.0, max_sprinkle_area: float = 0.0
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.mask_threshold = mask_threshold
        self.max_hole_area = max_hole_area
        self.max_sprinkle_area = max_sprinkle_area
        self.mean, self.std = list(RGB_MEAN), list(RGB_STD)
        self.to_tensor = ToTensor()
        self.transforms = nn.Sequential(Resize(resolution), Normalize(self.mean, self.std))

    def forward(self, image: np.ndarray | Image) -> Tensor:
        """Return (3, S, S): the image resized and normalised."""
        return self.transforms(self.to_tensor(image))

    def forward_batch(self, images: Sequence[np.ndarray | Image]) -> Tensor:
        """Return (B, 3, S, S)."""
        return torch.stack([self(image) for image in images])

    def transform_coords(
        self, coords: Tensor, normalize: bool = False, orig_hw: tuple[int, int] | None = None
    ) -> Tensor:
        """Return (..., 2) points in model pixels.

        They come as pixels of an image of `orig_hw` with `normalize`, else as shares of its sides.
        """
        if normalize:
            if orig_hw is None:
                raise ValueError("orig_hw is None: expected the image's (height, width) to normalise pixel coordinates by")
            coords = coords / torch.tensor([orig_hw[1], orig_hw[0]], dtype=coords.dtype, device=coords.device)
        return coords * self.resolution

    def transform_boxes(
        self, boxes: Tensor, normalize: bool = False, orig_hw: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the (B, 2, 2) corners of (B, 4) boxes, as `transform_coords` does."""
        return self.transform_coords(boxes.reshape(-1, 2, 2), normalize, orig_hw)

    def postprocess_masks(self, masks: Tensor, orig_hw: tuple[int, int]) -> Tensor:
        """Return mask logits (B, M, *orig_hw) of low-resolution ones (B, M, H, W), holes and islands seen to."""
        masks = masks.float()
        threshold = self.mask_threshold
        if self.max_hole_area > 0:
            masks = torch.where(_small(masks <= threshold, self.max_hole_area), threshold + 10.0, masks)
        if self.max_sprinkle_area > 0:
            masks = torch.where(_small(masks > threshold, self.max_sprinkle_area), threshold - 10.0, masks)
        return F.interpolate(masks, tuple(orig_hw), mode="bilinear", align_corners=False)


def _small(pixels_BMHW: Tensor, max_area: float) -> Tensor:
    """Return the pixels of 8-connected components of at most `max_area` pixels."""
    small = small_components(pixels_BMHW.flatten(0, 1).cpu().numpy(), int(max_area))
    return torch.from_numpy(small).view(pixels_BMHW.shape).to(pixels_BMHW.device)





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
        expected = tuple(coords.shape[:2])
        raise ValueError(f"point_labels has shape {tuple(labels.shape)}: expected {expected}, one for each point")
    if labels.numel() and (labels.min() < PADDING or labels.max() > BOX_BOTTOM_RIGHT):
        unique = sorted(set(labels.flatten().tolist()))
        raise ValueError(f"point_labels holds {unique}: expected 1 (inside), 0 (outside), 2 and 3 (corners) or -1 (none)")
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
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    numbers = tensor.to(dtype=torch.float32, device=device)
    if not numbers.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity: expected finite numbers")
    return numbers
