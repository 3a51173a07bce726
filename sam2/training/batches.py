"""Batches: clips of one length, augmented, some objects of each, at the model's size; all follows from a step's number.

Source of the augmentation: Ravi et al. 2024, "SAM 2", section D.2.

Legend: V clips, O objects of each, T frames, B = V * O, S side of the model's image, H, W frame height and width.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from sam2.training.clip import Clip, ClipSource, resized_masks
from sam2.video.source import RGB_MEAN, RGB_STD


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames (V, T, S, S, 3) uint8 and true masks (V, O, T, S, S) bool."""

    frames_VTSS3: Tensor
    masks_VOTSS: Tensor

    @property
    def num_frames(self) -> int:
        return self.frames_VTSS3.shape[1]

    @property
    def objects_per_clip(self) -> int:
        return self.masks_VOTSS.shape[1]

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.frames_VTSS3.to(device), self.masks_VOTSS.to(device))

    def all_frames(self) -> Tensor:
        """Return all frames (V * T, 3, S, S) as the network reads them."""
        return _normalised(self.frames_VTSS3.flatten(0, 1))

    def frame(self, index: int) -> Tensor:
        """Return one frame of each clip (V, 3, S, S) as the network reads it."""
        return _normalised(self.frames_VTSS3[:, index])

    def rows(self, index: int) -> Tensor:
        """Return where `all_frames` has frame `index` of each clip."""
        clips, frames = self.frames_VTSS3.shape[:2]
        return torch.arange(clips, device=self.frames_VTSS3.device) * frames + index

    def truth(self, index: int) -> Tensor:
        """Return the true masks (B, S, S) of all objects on one frame."""
        return self.masks_VOTSS[:, :, index].flatten(0, 1)

    def soft_truth(self, index: int, side: int) -> Tensor:
        """Return them as (B, 1, side, side): the share of each cell that the object covers."""
        return F.interpolate(self.truth(index)[:, None].float(), (side, side), mode="area")


@dataclass(frozen=True, slots=True)
class Batches:
    """A map from step numbers to batches, as `torch.utils.data.DataLoader` wants one."""

    source: ClipSource
    seed: int
    clips: int
    objects: int
    num_frames: int
    side: int
    augment: bool = False

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step: the same number gives the same batch, whoever asks and whenever."""
        random = np.random.default_rng([self.seed, step])
        drawn = [self._example(random) for _ in range(self.clips)]
        return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True)))

    def _example(self, random: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        clip = self.source.clip(int(random.integers(len(self.source))), self.num_frames)
        if random.random() < 0.5:
            clip = _reversed(clip)
        if random.random() < 0.5:
            clip = Clip(clip.frames_THW3[:, :, ::-1], clip.masks_NTHW[..., ::-1], clip.name)
        if self.augment:
            clip = augmented(clip, random)
        visible = np.flatnonzero(clip.masks_NTHW[:, 0].any(axis=(1, 2)))
        chosen = np.resize(random.permutation(visible), self.objects)
        return _at_side(_padded(clip, self.num_frames), chosen, self.side)


def _reversed(clip: Clip) -> Clip:
    """Return the clip backwards, if an object is visible on its last frame."""
    if not clip.masks_NTHW[:, -1].any():
        return clip
    return Clip(clip.frames_THW3[::-1], clip.masks_NTHW[:, ::-1], clip.name)


def _padded(clip: Clip, num_frames: int) -> Clip:
    """Return the clip with its last frame repeated up to the length asked for."""
    order = np.minimum(np.arange(num_frames), len(clip.frames_THW3) - 1)
    return Clip(clip.frames_THW3[order], clip.masks_NTHW[:, order], clip.name)


def _at_side(clip: Clip, chosen: npt.NDArray[np.intp], side: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    frames, masks = clip.frames_THW3, clip.masks_NTHW[chosen]
    if frames.shape[1:3] == (side, side):
        return np.ascontiguousarray(frames), np.ascontiguousarray(masks)
    size = (side, side)
    small = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    return np.stack(small), np.stack([resized_masks(masks_THW, size) for masks_THW in masks])


def _normalised(frames_NSS3: Tensor) -> Tensor:
    device = frames_NSS3.device
    mean, std = torch.tensor(RGB_MEAN, device=device), torch.tensor(RGB_STD, device=device)
    return ((frames_NSS3.float() / 255 - mean) / std).permute(0, 3, 1, 2)


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
