"""From images and prompts in a person's pixels to what the network reads, and from its masks back.

Legend: B prompts, M masks, H, W the low-resolution mask, S the model's side.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor, nn

from sam2.tracking.postprocess import small_components
from sam2.video.source import RGB_MEAN, RGB_STD


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
    found = small_components(pixels_BMHW.flatten(0, 1).cpu().numpy(), int(max_area))
    return torch.from_numpy(found).view(pixels_BMHW.shape).to(pixels_BMHW.device)
