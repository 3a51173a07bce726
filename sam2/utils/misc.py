"""The released import path of small helpers: frames as tensors, boxes of masks, holes, points put together.

Legend: N frames or masks, H, W a frame or mask, S the network's side.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sam2.tracking import postprocess
from sam2.video import opening, source

Pixels = tuple[float, float, float]


def get_sdpa_settings() -> tuple[bool, bool, bool]:
    """Return whether the GPU is old (before Volta), whether flash attention serves, whether the plain kernel is needed."""
    if not torch.cuda.is_available():
        return True, False, True
    major = torch.cuda.get_device_properties(0).major
    if major < 8:
        warnings.warn(f"no flash attention: it needs compute capability 8.0, and this GPU has {major}", stacklevel=2)
    return major < 7, major >= 8, major < 8


def get_connected_components(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return for masks (N, 1, H, W) the label from 1 and the area of each pixel's 8-connected component, 0 outside."""
    labels, areas = postprocess.components(mask[:, 0].bool().cpu().numpy())
    return tuple(torch.from_numpy(x)[:, None].to(mask.device) for x in (labels, areas))


def mask_to_box(masks: Tensor) -> Tensor:
    """Return (N, 1, 4) boxes x0, y0, x1, y1 of boolean masks (N, 1, H, W); W, H, -1, -1 for one that is empty."""
    edges = []
    for axis, side in ((-2, masks.shape[-1]), (-1, masks.shape[-2])):
        positions, inside = torch.arange(side, device=masks.device, dtype=torch.int32), masks.any(dim=axis)
        edges += [torch.where(inside, positions, side).amin(-1), torch.where(inside, positions, -1).amax(-1)]
    x0, x1, y0, y1 = edges
    return torch.stack((x0, y0, x1, y1), dim=-1)


def fill_holes_in_mask_scores(mask: Tensor, max_area: int) -> Tensor:
    """Return mask logits (N, 1, H, W) with holes of at most `max_area` pixels at 0.1."""
    if max_area <= 0:
        raise ValueError(f"max_area={max_area}: expected a positive number of pixels")
    return postprocess.fill_holes(mask, max_area)


def concat_points(old_point_inputs: dict[str, Tensor] | None, new_points: Tensor, new_labels: Tensor) -> dict[str, Tensor]:
    """Return "point_coords" (N, P, 2) and "point_labels" (N, P): the earlier ones, then the new ones."""
    if old_point_inputs is not None:
        new_points = torch.cat([old_point_inputs["point_coords"], new_points], dim=1)
        new_labels = torch.cat([old_point_inputs["point_labels"], new_labels], dim=1)
    return {"point_coords": new_points, "point_labels": new_labels}


def load_video_frames(
    video_path: str | bytes | os.PathLike[str],
    image_size: int,
    offload_video_to_cpu: bool,
    img_mean: Pixels = source.RGB_MEAN,
    img_std: Pixels = source.RGB_STD,
    async_loading_frames: bool = False,
    compute_device: torch.device | str = "cuda",
) -> tuple[Any, int, int]:
    """Return a video's frames, normalised (N, 3, S, S), and its height and width: a folder of JPEGs, a file or its bytes.

    They are on `compute_device` unless `offload_video_to_cpu`. A folder's frames are loaded in a thread with
    `async_loading_frames`. Raises ValueError for what cannot be read.
    """
    if async_loading_frames and not isinstance(video_path, bytes) and Path(video_path).is_dir():
        names = [name for name in os.listdir(video_path) if Path(name).suffix.lower() in (".jpg", ".jpeg")]
        paths = [os.path.join(video_path, name) for name in sorted(names, key=lambda name: int(Path(name).stem))]
        mean, std = _columns(img_mean, img_std)
        loader = AsyncVideoFrameLoader(paths, image_size, offload_video_to_cpu, mean, std, compute_device)
        return loader, loader.video_height, loader.video_width
    opened = opening.open_frames(video_path, side=image_size)
    images = []
    while opened.reaches(len(images)):
        images.append(torch.from_numpy(np.array(opened.rgb_SS3(len(images)))))
    device = torch.device("cpu" if offload_video_to_cpu else compute_device)
    mean, std = (x.to(device) for x in _columns(img_mean, img_std))
    images_N3SS = torch.stack(images).to(device).permute(0, 3, 1, 2).float() / 255.0
    return (images_N3SS - mean) / std, *opened.size_hw


def load_video_frames_from_jpg_images(
    video_path: str | os.PathLike[str],
    image_size: int,
    offload_video_to_cpu: bool,
    img_mean: Pixels = source.RGB_MEAN,
    img_std: Pixels = source.RGB_STD,
    async_loading_frames: bool = False,
    compute_device: torch.device | str = "cuda",
) -> tuple[Any, int, int]:
    """Return what `load_video_frames` returns for a folder; NotImplementedError for anything else."""
    if not isinstance(video_path, str | os.PathLike) or not os.path.isdir(video_path):
        raise NotImplementedError(f"{video_path!r} is no folder of JPEG frames: load_video_frames reads video files, too")
    return load_video_frames(
        video_path, image_size, offload_video_to_cpu, img_mean, img_std, async_loading_frames, compute_device
    )


def load_video_frames_from_video_file(
    video_path: str | bytes | os.PathLike[str],
    image_size: int,
    offload_video_to_cpu: bool,
    img_mean: Pixels = source.RGB_MEAN,
    img_std: Pixels = source.RGB_STD,
    compute_device: torch.device | str = "cuda",
) -> tuple[Tensor, int, int]:
    """Return what `load_video_frames` returns for a video file or its bytes."""
    return load_video_frames(
        video_path, image_size, offload_video_to_cpu, img_mean, img_std, compute_device=compute_device
    )


class AsyncVideoFrameLoader:
    """JPEG frames as a list of (3, S, S) tensors that a thread fills; one that is asked for is loaded at once.

    `img_mean` and `img_std` are (3, 1, 1) tensors. What the thread met with is raised where a frame is asked for.
    """

    def __init__(
        self,
        img_paths: Sequence[str],
        image_size: int,
        offload_video_to_cpu: bool,
        img_mean: Tensor,
        img_std: Tensor,
        compute_device: torch.device | str,
    ) -> None:
        self.img_paths, self.image_size, self.offload_video_to_cpu = list(img_paths), image_size, offload_video_to_cpu
        self.img_mean, self.img_std, self.compute_device = img_mean, img_std, compute_device
        self.images: list[Tensor | None] = [None] * len(self.img_paths)
        self.exception: Exception | None = None
        self.video_height: int | None = None
        self.video_width: int | None = None
        self[0]
        self.thread = Thread(target=self._load_all, daemon=True)
        self.thread.start()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        if self.exception is not None:
            raise RuntimeError(f"a frame could not be loaded: {self.exception}") from self.exception
        image = self.images[index]
        if image is None:
            image, self.video_height, self.video_width = _load_img_as_tensor(self.img_paths[index], self.image_size)
            image = (image - self.img_mean) / self.img_std
            image = image if self.offload_video_to_cpu else image.to(self.compute_device, non_blocking=True)
            self.images[index] = image
        return image

    def _load_all(self) -> None:
        try:
            for index in range(len(self)):
                self[index]
        except Exception as error:      # raised again where a frame is asked for
            self.exception = error


def _load_img_as_tensor(img_path: str | os.PathLike[str], image_size: int) -> tuple[Tensor, int, int]:
    """Return an image as shares of 255 (3, S, S), and its height and width."""
    with Image.open(img_path) as picture:
        width, height = picture.size
        pixels_SS3 = np.array(source.shrink(picture, image_size))
    return torch.from_numpy(pixels_SS3).permute(2, 0, 1).float() / 255.0, height, width


def _columns(img_mean: Pixels, img_std: Pixels) -> list[Tensor]:
    return [torch.as_tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (img_mean, img_std)]
