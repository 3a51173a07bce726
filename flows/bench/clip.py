"""The clip that is measured: textured shapes that wander over a textured ground, drawn by formula, any number of both.

Legend: H, W frame height and width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

from flows.demo.shapes import Bools, Image8, Mover, draw_frame, ground_HW3, texture_TT3
from labeling.geometry import mask_box_xyxy
from labeling.types import Box

FRAME_RATE = 30
HELD = 32           # different frames: a longer clip plays them there and back, and needs no more memory
GROUND_RGB = (118, 128, 110)


class Looped(Sequence[Image8]):
    """A clip of `length` frames (H, W, 3) made of a few: it goes to the last of them and back, again and again."""

    def __init__(self, held: Sequence[Image8], length: int) -> None:
        self._held, self._length = held, length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, i: int) -> Image8: ...
    @overload
    def __getitem__(self, i: slice) -> list[Image8]: ...
    def __getitem__(self, i: int | slice) -> Image8 | list[Image8]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(self._length))]
        if not -self._length <= i < self._length:
            raise IndexError(f"frame {i} of a clip of {self._length}")
        period = max(1, 2 * (len(self._held) - 1))
        phase = i % self._length % period
        return self._held[min(phase, period - phase)]


@dataclass(frozen=True, slots=True)
class BenchClip:
    """Frames and, for each object, the tight box on the first frame."""

    frames: Looped
    boxes_xyxy: tuple[Box, ...]


def draw_bench_clip(objects: int, length: int, *, size_hw: tuple[int, int]) -> BenchClip:
    """Draw a clip in which `objects` shapes are whole on the first frame, each on a place of its own; the same each time."""
    shapes = _shapes(objects, size_hw)
    ground, textures = ground_HW3(size_hw, colour_rgb=GROUND_RGB, seed=1), [_texture(shape) for shape in shapes]
    count = min(length, HELD)
    drawn = [draw_frame(ground, shapes, textures, frame_idx=k, num_frames=HELD) for k in range(count)]
    masks = drawn[0][1]
    return BenchClip(Looped([rgb for rgb, _ in drawn], length), tuple(_box(masks[s.object_id]) for s in shapes))


def _shapes(objects: int, size_hw: tuple[int, int]) -> list[Mover]:
    height, width = size_hw
    columns = math.ceil(math.sqrt(objects * width / height))
    rows = math.ceil(objects / columns)
    cell = min(height / rows, width / columns)
    places = [((k % columns + 0.5) * width / columns, (k // columns + 0.5) * height / rows) for k in range(objects)]
    random = np.random.default_rng(0)
    return [
        Mover(
            k + 1, 0.28 * cell, _wander(x, y, reach=0.2 * cell, phase=k), _colour(random), seed=k,
            turn=lambda time: 2 * math.pi * 0.3 * time, lobes=k % 5, bulge=0.12,
        )
        for k, (x, y) in enumerate(places)
    ]


def _wander(x: float, y: float, *, reach: float, phase: float) -> Callable[[float], tuple[float, float]]:
    """Round an oval that begins at (x, y)."""
    def place(time: float) -> tuple[float, float]:
        turn = 2 * math.pi * time + phase
        return x + reach * (math.sin(turn) - math.sin(phase)), y + 0.6 * reach * (math.cos(turn) - math.cos(phase))

    return place


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.permutation(np.array([225, random.integers(60, 200), 60]))
    return int(red), int(green), int(blue)


def _texture(shape: Mover) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return texture_TT3(shape.colour_rgb, seed=shape.seed)


def _box(mask_HW: Bools) -> Box:
    box_xyxy = mask_box_xyxy(mask_HW)
    assert box_xyxy is not None, "a shape that is drawn has a pixel"
    x0, y0, x1, y1 = box_xyxy
    return float(x0), float(y0), float(x1), float(y1)


def write_jpegs(folder: Path, frames: Sequence[Image8]) -> None:
    """Write the frames as `00000.jpg` and so on, as the released package reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(len(frames)):
        Image.fromarray(frames[k]).save(folder / f"{k:05d}.jpg", quality=95)
