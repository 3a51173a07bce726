"""`labeling seed train-detector`: the small detector learns what an object is from drawn scenes; the same numbers each time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from labeling.errors import require
from labeling.files import written_beside
from labeling.track.detectors.small import SIDE, build_small_detector, save_small_detector
from sam2.training.scenes.scene import Scene, draw_frame, lay_out

if TYPE_CHECKING:
    from torch import Tensor

SIZES_HW = ((SIDE, SIDE), (SIDE * 9 // 16, SIDE), (SIDE * 3 // 4, SIDE), (SIDE, SIDE * 3 // 4))
FRAMES = 24             # that a scene lasts
LOOKS = 2               # frames taken of a scene
LEAST_SHARE = 0.001     # of the frame: what less can be seen of is no object to find
Sample = tuple["Tensor", dict[str, "Tensor"]]


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """How long and how the small detector learns; scenes are drawn from number `first_scene` on, each once.

    Raises ValueError for what is no count or rate.
    """

    steps: int = 1200
    batch: int = 16
    rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 60
    first_scene: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        require(self.rate > 0, "rate", self.rate, "more than 0")


def train_small_detector(recipe: DetectorRecipe, out: Path, console: Console, *, report_every: int = 50) -> None:
    """Train on drawn scenes with one thread and write the weights to `out`, at each report and at the end."""
    torch.manual_seed(recipe.seed)
    network = build_small_detector().train()
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, recipe))
    samples, losses = drawn_samples(recipe.first_scene, recipe.seed), list[float]()
    for step in range(1, recipe.steps + 1):
        batch = [next(samples) for _ in range(recipe.batch)]
        loss = sum(network([image for image, _ in batch], [truth for _, truth in batch]).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % report_every == 0 or step == recipe.steps:
            recent = float(np.mean(losses[-report_every:]))
            console.print(f"step {step} of {recipe.steps}, loss {recent:.4f}", highlight=False)
            with written_beside(out) as new:
                save_small_detector(network, new)


def drawn_samples(first_scene: int, seed: int) -> Iterator[Sample]:
    """Yield frames (3, H, W) in [0, 1] with `boxes` (N, 4) xyxy and `labels` (N,) of what can be seen, without end."""
    scene_seed, random = first_scene, np.random.default_rng([seed, first_scene])
    while True:
        size_hw = SIZES_HW[random.integers(len(SIZES_HW))]
        scene = drawn_scene(scene_seed, size_hw)
        scene_seed += 1
        for time in random.choice(FRAMES, LOOKS, replace=False):
            frame_HW3, boxes_N4 = drawn_boxes(scene, int(time))
            image = torch.from_numpy(np.ascontiguousarray(frame_HW3.transpose(2, 0, 1))).float() / 255
            boxes = torch.from_numpy(boxes_N4)
            yield image, {"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.int64)}


def drawn_scene(seed: int, size_hw: tuple[int, int]) -> Scene:
    """Return a scene in which every body counts as an object: look-alikes and screens cannot be told from one frame."""
    scene = lay_out(seed, FRAMES, size_hw=size_hw)
    return replace(scene, bodies=tuple(replace(body, labelled=True) for body in scene.bodies))


def drawn_boxes(scene: Scene, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame (H, W, 3) uint8 and the boxes (N, 4) xyxy in pixels of what can be seen of its bodies, float32."""
    frame_HW3, masks_NHW = draw_frame(scene, time)
    boxes = []
    for mask_HW in masks_NHW:
        if mask_HW.sum() < LEAST_SHARE * mask_HW.size:
            continue
        rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return frame_HW3, np.array(boxes, np.float32).reshape(-1, 4)


def _share_of_rate(step: int, recipe: DetectorRecipe) -> float:
    """Rise over the first steps, then fall along half a cosine."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    along = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))
