"""Drill: where a prompt is, before what a picture shows.

A network that begins with random weights takes long to find out that a prompt means a place, as long as it has pictures
to puzzle over. Ellipses before noise in place of features teach it the place alone, in minutes.

Legend: V clips, O objects of each, S side of the model's image, B = V * O, h, w the 1/16 map, C hidden channels.
"""

import math

import torch
from torch import Generator, Tensor

from sam2.modeling.sam2_base import ImageFeatures, SAM2Base
from sam2.training.batches import Batch

SMALLEST, LARGEST = 0.045, 0.4      # half axes, of the image's side
LOUDNESS = 0.3                      # of the noise, about that of a fresh encoder's features


def drill_batch(random: Generator, *, clips: int, objects: int, side: int) -> Batch:
    """Return ellipses anywhere in frames that show nothing."""
    count = clips * objects
    centre_B2 = (0.1 + 0.8 * torch.rand(count, 2, generator=random)) * side
    spread = torch.rand(count, 2, generator=random) * math.log(LARGEST / SMALLEST)
    half_B2 = side * SMALLEST * spread.exp()
    place = torch.arange(side) + 0.5
    x_BS = ((place - centre_B2[:, :1]) / half_B2[:, :1]) ** 2
    y_BS = ((place - centre_B2[:, 1:]) / half_B2[:, 1:]) ** 2
    masks_BSS = x_BS[:, None, :] + y_BS[:, :, None] < 1
    frames = torch.zeros(clips, 1, side, side, 3, dtype=torch.uint8)
    return Batch(frames, masks_BSS.unflatten(0, (clips, objects))[:, :, None])


def noise_features(network: SAM2Base, batch: Batch, random: Generator) -> ImageFeatures:
    """Return noise in the shape of the features of all objects' images."""
    count = batch.truth(0).shape[0]
    side, dim = network.config.feature_side, network.config.hidden_dim

    def noise(channels: int, size: int) -> Tensor:
        return (torch.randn(count, channels, size, size, generator=random) * LOUDNESS).to(network.device)

    return ImageFeatures(noise(dim, side), noise(dim, side)[:1], (noise(dim // 8, 4 * side), noise(dim // 4, 2 * side)))
