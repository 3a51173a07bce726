"""Textured shapes that move by formula over a textured ground, each frame with the exact mask of what is visible.

Legend: H, W frame height and width; T texture size; P patch rows and columns around one shape.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Image8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

TEXTURE_SIDE = 192
# Shapes fade out over one pixel at the outline; the mask is where the shape covers at least half a pixel.
SOFT_PIXELS = 1.0


@dataclass(frozen=True, slots=True)
class Mover:
    """An outline in polar form, radius * (1 + bulge * cos(lobes * angle)), stretched, turned and moved over time.

    `place_xy` gives the centre in pixels and `turn` the angle in radians, both from the clip's time in [0, 1].
    `object_id` 0 is scenery: it is drawn, covers what lies below, and has no mask. Not there before `first_frame`.
    """

    object_id: int
    radius: float
    place_xy: Callable[[float], tuple[float, float]]
    colour_rgb: tuple[int, int, int]
    seed: int
    turn: Callable[[float], float] = lambda time: 0.0
    grow: Callable[[float], float] = lambda time: 1.0
    lobes: int = 0
    bulge: float = 0.0
    stretch_xy: tuple[float, float] = (1.0, 1.0)
    square: bool = False
    first_frame: int = 0
    category: str = "shape"


def noise_HW(height: int, width: int, *, seed: int, cells: int) -> Floats:
    """Smooth seeded noise in [0, 1]: random values on a grid of `cells` a side and on one of four times that, enlarged."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for octave, weight in ((cells, 0.7), (4 * cells, 0.3)):
        grid = (random.random((octave, octave)) * 255).astype(np.uint8)
        total += weight * np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return total / 255.0


def texture_TT3(colour_rgb: tuple[int, int, int], *, seed: int) -> Floats:
    """A shape's skin: its colour, mottled, with a few bands across, so that turning shows."""
    mottle = noise_HW(TEXTURE_SIDE, TEXTURE_SIDE, seed=seed, cells=5)
    bands = np.sin(np.arange(TEXTURE_SIDE) / TEXTURE_SIDE * 2 * math.pi * (3 + seed % 3))[:, None] > 0.35
    shade = 0.55 + 0.75 * mottle - 0.28 * bands
    return np.clip(np.array(colour_rgb, np.float32) * shade[:, :, None], 0, 255)


def ground_HW3(size_hw: tuple[int, int], *, colour_rgb: tuple[int, int, int], seed: int) -> Floats:
    """A still background: mottled colour with a slow change of light from left to right."""
    height, width = size_hw
    mottle = noise_HW(height, width, seed=seed, cells=9)
    light = np.linspace(0.85, 1.1, width, dtype=np.float32)[None, :]
    return np.clip(np.array(colour_rgb, np.float32) * ((0.6 + 0.7 * mottle) * light)[:, :, None], 0, 255)


def _window(shape: Mover, size_hw: tuple[int, int], time: float) -> tuple[slice, slice] | None:
    """The rows and columns that the shape may touch; None when it is out of the frame."""
    reach = shape.radius * shape.grow(time) * (1 + abs(shape.bulge)) * max(shape.stretch_xy) * (1.42 if shape.square else 1) + 2
    x, y = shape.place_xy(time)
    rows = slice(max(0, math.floor(y - reach)), min(size_hw[0], math.ceil(y + reach) + 1))
    columns = slice(max(0, math.floor(x - reach)), min(size_hw[1], math.ceil(x + reach) + 1))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _local_xy(shape: Mover, window: tuple[slice, slice], time: float) -> tuple[Floats, Floats]:
    """Pixel centres of the window in the shape's own turned and stretched axes."""
    rows, columns = window
    x, y = shape.place_xy(time)
    down, right = np.mgrid[rows, columns].astype(np.float32)
    cosine, sine = math.cos(shape.turn(time)), math.sin(shape.turn(time))
    across, along = right - x, down - y
    return (across * cosine + along * sine) / shape.stretch_xy[0], (along * cosine - across * sine) / shape.stretch_xy[1]


def coverage_PP(shape: Mover, window: tuple[slice, slice], time: float) -> tuple[Floats, Floats, Floats]:
    """How much of each pixel in the window the shape covers, in [0, 1], and the pixels' own coordinates u, v."""
    u, v = _local_xy(shape, window, time)
    radius = shape.radius * shape.grow(time)
    if shape.square:
        beyond = np.maximum(np.abs(u), np.abs(v)) - radius
    else:
        beyond = np.hypot(u, v) - radius * (1 + shape.bulge * np.cos(shape.lobes * np.arctan2(v, u)))
    return np.clip(0.5 - beyond / SOFT_PIXELS, 0, 1).astype(np.float32), u, v


def _skin_PP3(shape: Mover, u: Floats, v: Floats, texture: Floats) -> Floats:
    scale = TEXTURE_SIDE / (4 * shape.radius)
    rows = (v * scale + TEXTURE_SIDE / 2).astype(np.int64) % TEXTURE_SIDE
    columns = (u * scale + TEXTURE_SIDE / 2).astype(np.int64) % TEXTURE_SIDE
    return texture[rows, columns]


def draw_frame(
    ground: Floats, shapes: Sequence[Mover], textures: Sequence[Floats], *, frame_idx: int, num_frames: int
) -> tuple[Image8, dict[int, Bools]]:
    """Draw one frame, later shapes over earlier ones: RGB (H, W, 3) and, by object id, the visible mask (H, W)."""
    time = frame_idx / max(num_frames - 1, 1)
    canvas = ground.copy()
    masks = {shape.object_id: np.zeros(ground.shape[:2], bool) for shape in shapes if shape.object_id}
    for shape, texture in zip(shapes, textures, strict=True):
        window = _window(shape, ground.shape[:2], time) if frame_idx >= shape.first_frame else None
        if window is None:
            continue
        cover, u, v = coverage_PP(shape, window, time)
        canvas[window] += cover[:, :, None] * (_skin_PP3(shape, u, v, texture) - canvas[window])
        solid = cover >= 0.5
        for mask in masks.values():
            mask[window] &= ~solid
        if shape.object_id:
            masks[shape.object_id][window] |= solid
    return np.rint(canvas).astype(np.uint8), masks
