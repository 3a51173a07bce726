"""What the trainer learns from: a few frames, and the true mask of every object on each of them.

Legend: T frames, N objects, H, W frame height and width in pixels.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames in RGB (T, H, W, 3) uint8 and true masks (N, T, H, W) bool of what is visible of each object.

    `name` says where it came from: a scene's seed, a folder, a store's video. A ValueError names what does not fit.
    """

    frames_THW3: npt.NDArray[np.uint8]
    masks_NTHW: npt.NDArray[np.bool_]
    name: str

    def __post_init__(self) -> None:
        frames, masks = self.frames_THW3, self.masks_NTHW
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
            raise ValueError(f"{self.name}: frames are {frames.dtype} {frames.shape}; expected uint8 (T, H, W, 3), T >= 1")
        if masks.ndim != 4 or masks.dtype != np.bool_ or masks.shape[1:] != frames.shape[:3]:
            raise ValueError(f"{self.name}: masks are {masks.dtype} {masks.shape}; expected bool (N, *{frames.shape[:3]})")


class ClipSource(Protocol):
    """A set of clips, each with a number; the same number and length always give the same clip."""

    def __len__(self) -> int: ...

    def clip(self, index: int, num_frames: int) -> Clip:
        """Return clip `index` with at most `num_frames` frames; every object is visible on the first of them."""
        ...


def resized_masks(masks_NHW: npt.NDArray[np.bool_], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return masks of cells that are half covered; of an object too thin for that, its best covered cell."""
    given_1NHW = torch.from_numpy(np.ascontiguousarray(masks_NHW))[None].float()
    share_NHW = F.interpolate(given_1NHW, size_hw, mode="area")[0]
    most_N11 = share_NHW.amax((1, 2), keepdim=True)
    thin_NHW = (most_N11 > 0) & (most_N11 < 0.5) & (share_NHW == most_N11)
    resized_NHW: npt.NDArray[np.bool_] = ((share_NHW >= 0.5) | thin_NHW).numpy()
    return resized_NHW
