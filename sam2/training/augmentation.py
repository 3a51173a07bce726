"""Augmentation of recorded clips: one affine move and one change of colour for a clip, a little colour more for each frame.

Source: Ravi et al. 2024, "SAM 2", section D.2.

Legend: T frames, N objects, H, W frame height and width in pixels.
"""

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from sam2.training.clip import Clip

DEGREES, SHEAR = 25, 20
GREY_SHARE = 0.05
OF_CLIP = {"brightness": 0.1, "contrast": 0.03, "saturation": 0.03}
OF_FRAME = {"brightness": 0.1, "contrast": 0.05, "saturation": 0.05}


def augmented(clip: Clip, random: np.random.Generator) -> Clip:
    """Return the clip turned, sheared and coloured anew, masks along; the generator alone decides how.

    A move that takes every object off the first frame is left out: nothing could be prompted there.
    """
    # the transforms draw from torch's own generator, which belongs to the training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(2**62)))
        moved = _moved(clip)
        return _coloured(moved if moved.masks_NTHW[:, 0].any() else clip)


def _moved(clip: Clip) -> Clip:
    """Return the clip after one affine move; what comes in from beyond the edges has the clip's mean colour."""
    mean_3 = clip.frames_THW3.mean(axis=(0, 1, 2)).tolist()
    affine = v2.RandomAffine(
        DEGREES, shear=SHEAR, interpolation=v2.InterpolationMode.BILINEAR,
        fill={tv_tensors.Video: mean_3, tv_tensors.Mask: 0},
    )
    masks = tv_tensors.Mask(np.ascontiguousarray(clip.masks_NTHW))
    frames, masks = affine(_video(clip), masks)
    return Clip(_frames(frames), masks.numpy(), clip.name)


def _coloured(clip: Clip) -> Clip:
    frames_T3HW = v2.Compose([v2.ColorJitter(**OF_CLIP), v2.RandomGrayscale(GREY_SHARE)])(_video(clip))
    each = v2.ColorJitter(**OF_FRAME)
    return Clip(_frames(torch.stack([each(frame_3HW) for frame_3HW in frames_T3HW])), clip.masks_NTHW, clip.name)


def _video(clip: Clip) -> tv_tensors.Video:
    return tv_tensors.Video(np.ascontiguousarray(clip.frames_THW3.transpose(0, 3, 1, 2)))


def _frames(frames_T3HW: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(frames_T3HW.numpy().transpose(0, 2, 3, 1))
