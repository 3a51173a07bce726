"""What a run's steps see: drawn or read by `workers` processes ahead of the training, a share for each that trains.

All follows from the recipe's seed and the step's number, whoever asks and whenever.
"""

import signal
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from sam2.training.batches import Batch, Batches
from sam2.training.clip import ClipSource
from sam2.training.curriculum import drill_batch
from sam2.training.recipe import Recipe, Stage
from sam2.variants import find_config


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
    """Leave the cores to the training, and Ctrl-C to the process that answers it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def side_of(recipe: Recipe) -> int:
    """Return the side of the model's image."""
    return recipe.image_size or find_config(recipe.model).image_size
