"""What each step sees: drills first, then clips, drawn or read by `workers` processes ahead of the training.

A network that begins with random weights takes long to find out that a prompt means a place, as long as it has pictures
to puzzle over. Rounded shapes before noise in place of features teach it the place alone, in minutes; the same shapes
in plain colours teach it to stop at an edge. All follows from the recipe's seed and the step's number, and each process
that trains gets a share of a step.

Legend: V clips, O objects of each, S side of the model's image, B = V * O, h, w the 1/16 map, C hidden channels.
"""

import math
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from types import FrameType

import numpy as np
import torch
import torch.distributed as dist
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from sam2.modeling.sam2_base import ImageFeatures, SAM2Base
from sam2.training.batches import Batch, Batches
from sam2.training.clip import ClipSource
from sam2.training.recipe import Recipe, Stage
from sam2.variants import find_config

SMALLEST, LARGEST = 0.045, 0.4      # half axes, of the image's side
LOUDNESS = 0.3                      # of the noise, about that of a fresh encoder's features
LEAST_SHARE = 0.25                  # of a shape that must stay visible; otherwise it lies on top


def drill_batch(random: Generator, *, clips: int, objects: int, side: int) -> Batch:
    """Return shapes anywhere, plain coloured on grounds of two colours; a later shape covers the earlier ones."""
    visible = _shapes(random, clips * objects, side).unflatten(0, (clips, objects))
    frames_VSS3 = _grounds(random, clips, side)
    colours_VO3 = torch.rand(clips, objects, 3, generator=random) * 255
    for k in range(objects):
        rest = visible[:, k] & ~visible[:, k + 1 :].any(1)
        enough_V11 = (rest.flatten(1).sum(1) >= LEAST_SHARE * visible[:, k].flatten(1).sum(1))[:, None, None]
        visible[:, k] = torch.where(enough_V11, rest, visible[:, k])
        visible[:, k + 1 :] &= ~visible[:, k, None]
        frames_VSS3 = torch.where(visible[:, k, :, :, None], colours_VO3[:, k, None, None], frames_VSS3)
    frames_VSS3 = frames_VSS3 + 12 * torch.rand(clips, 1, 1, 1, generator=random) * _noise(random, frames_VSS3.shape)
    return Batch(frames_VSS3.clamp(0, 255).to(torch.uint8)[:, None], visible[:, :, None])


def noise_features(network: SAM2Base, batch: Batch, random: Generator) -> ImageFeatures:
    """Return noise in the shape of the features of all objects' images."""
    count = batch.truth(0).shape[0]
    side, dim = network.config.feature_side, network.config.hidden_dim

    def noise(channels: int, size: int) -> Tensor:
        return (LOUDNESS * _noise(random, (count, channels, size, size))).to(network.device)

    return ImageFeatures(noise(dim, side), noise(dim, side)[:1], (noise(dim // 8, 4 * side), noise(dim // 4, 2 * side)))


def _shapes(random: Generator, count: int, side: int) -> Tensor:
    """Return (count, S, S): between a lozenge and a rectangle, at any angle."""
    centre_B2 = (0.1 + 0.8 * torch.rand(count, 2, generator=random)) * side
    half_B2 = side * SMALLEST * (torch.rand(count, 2, generator=random) * math.log(LARGEST / SMALLEST)).exp()
    power_B11 = (1 + 5 * torch.rand(count, generator=random) ** 2)[:, None, None]
    angle_B11 = (math.pi * torch.rand(count, generator=random))[:, None, None]
    pixel_centres = torch.arange(side) + 0.5
    x_BSS = pixel_centres[None, None, :] - centre_B2[:, 0, None, None]
    y_BSS = pixel_centres[None, :, None] - centre_B2[:, 1, None, None]
    along = (x_BSS * angle_B11.cos() + y_BSS * angle_B11.sin()) / half_B2[:, 0, None, None]
    across = (y_BSS * angle_B11.cos() - x_BSS * angle_B11.sin()) / half_B2[:, 1, None, None]
    return along.abs() ** power_B11 + across.abs() ** power_B11 < 1


def _grounds(random: Generator, clips: int, side: int) -> Tensor:
    """Return (V, S, S, 3): one colour that turns into another across the frame."""
    first_colour, second_colour = (255 * torch.rand(clips, 1, 1, 3, generator=random) for _ in range(2))
    share_V = torch.rand(clips, 2, generator=random)
    positions = torch.arange(side) / side
    slope = share_V[:, :1, None] * positions[None, :, None] + share_V[:, 1:, None] * positions[None, None, :]
    return first_colour + (second_colour - first_colour) * 0.5 * slope[..., None]


def _noise(random: Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=random)


def load(
    recipe: Recipe, stage: Stage, source: ClipSource, first: int, many: int, workers: int
) -> Iterable[Batch]:
    """Return the batches of `many` steps of a stage from step `first` on: this process's share of each."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if stage.drill is not None:
        clips = max(1, stage.clips // world)
        return (_drill(recipe, stage, step * world + rank, clips, side_of(recipe)) for step in range(first, first + many))
    order = [step * world + rank for step in range(first, first + many)]
    return DataLoader(
        Shown(recipe, source, world), batch_size=None, sampler=order, num_workers=workers,
        prefetch_factor=4 if workers else None, worker_init_fn=_begin_drawing,
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """The batches of a run, as `torch.utils.data.DataLoader` wants them: number `step * world + rank` is a process's share."""

    recipe: Recipe
    source: ClipSource
    world: int

    def __len__(self) -> int:
        return self.recipe.total_steps * self.world

    def __getitem__(self, number: int) -> Batch:
        stage = self.recipe.shown_at(number // self.world)
        clips = max(1, stage.clips // self.world)
        recipe, side = self.recipe, side_of(self.recipe)
        return Batches(self.source, recipe.seed, clips, stage.objects, stage.frames, side, recipe.augment)[number]


def _drill(recipe: Recipe, stage: Stage, number: int, clips: int, side: int) -> Batch:
    seed = int(np.random.default_rng([recipe.seed, number, 1]).integers(2**62))
    return drill_batch(torch.Generator().manual_seed(seed), clips=clips, objects=stage.objects, side=side)


def _begin_drawing(worker: int) -> None:
    """Leave the cores to the training, and Ctrl-C and SIGTERM to the process that answers them."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A service manager signals the whole group, and the step that runs still needs its examples. The second SIGTERM is the
    # training's own, to a worker that does not end: that one ends it.
    signal.signal(signal.SIGTERM, _heed_the_next)


def _heed_the_next(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)


def side_of(recipe: Recipe) -> int:
    """Return the side of the model's image."""
    return recipe.image_size or find_config(recipe.model).image_size
