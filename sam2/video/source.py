"""Where frames come from, one at a time: a folder of JPEGs, a video file, an array, or any iterable of frames.

Every source answers with the frame at the network's size as it was when it was trained: PIL's bicubic resize (with
antialias) of 8-bit RGB to a square, aspect not kept. Legend: S the side of that square.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)

Rgb = NDArray[np.uint8]     # (height, width, 3)


class FrameSource(Protocol):
    """A video as frames by index, in presentation order.

    `num_frames` is None while the length is open. With `one_pass` frames come once, in order, and only those that
    are still held can be asked for again.
    """

    size_hw: tuple[int, int]
    one_pass: bool

    @property
    def num_frames(self) -> int | None: ...

    def reaches(self, frame_idx: int) -> bool:
        """Return whether the video has this frame; with `one_pass` this reads on up to it."""

    def holds(self, frame_idx: int) -> bool:
        """Return whether the frame can be had without reading on."""

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        """Return the frame at the network's size; ValueError where it cannot be read."""


def shrink(rgb_HW3: Rgb | Image.Image, side: int) -> Rgb:
    """Return (side, side, 3) uint8, resized as the released code resizes JPEG frames."""
    picture = rgb_HW3 if isinstance(rgb_HW3, Image.Image) else Image.fromarray(rgb_HW3)
    return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


def normalised(rgb_SS3: Rgb, device: torch.device) -> Tensor:
    """Return (3, S, S) float32 on `device`, with the mean and deviation that the network was trained with."""
    image_3SS = torch.from_numpy(np.array(rgb_SS3)).to(device).permute(2, 0, 1).float() / 255.0
    mean_311 = torch.tensor(RGB_MEAN, device=device)[:, None, None]
    std_311 = torch.tensor(RGB_STD, device=device)[:, None, None]
    return (image_3SS - mean_311) / std_311
