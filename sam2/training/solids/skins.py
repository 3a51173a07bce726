"""Colours of solids and of the rooms they are in: marble, wood, cells, checks, bands; floors and walls to walk over.

A skin is a function of the place on the surface, so it turns with its solid. Floors and walls are tables that repeat.
Colours are shares of the light that a surface gives back, in [0, 1], linear.

Legend: K points, C seeds of cells, P side of a table, L levels of a table, each half as fine as the one before,
X texels of all of them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Random = np.random.Generator
Skin = Callable[[Floats], Floats]

TABLE_SIDE = 256
LEVELS = 6


class Tables(NamedTuple):
    """A square that repeats, and ever coarser copies of it, one after another in one list of texels."""

    texels_X3: Floats
    starts_L: npt.NDArray[np.intp]


def paint(random: Random, spread: float) -> Floats:
    """Return one colour (3,) of a random hue; `spread` in [0, 1] is how vivid it may be."""
    hue, vivid, light = random.uniform(0, 2 * math.pi), spread * random.beta(1.5, 1.2), math.exp(random.uniform(-2.2, -0.1))
    wheel = 0.5 + 0.5 * np.cos(hue - np.array([0, 2.1, 4.2]))
    return (light * ((1 - vivid) + vivid * wheel * 1.8)).clip(0.02, 0.95).astype(np.float32)


def draw_skin(random: Random, radius: float) -> Skin:
    """Choose how a solid of that radius is coloured."""
    first, second = paint(random, 1.0), paint(random, 0.9)
    if random.random() < 0.4:      # two shades of one colour, as most things have
        second = (first * random.uniform(0.2, 0.7)).astype(np.float32)
    level = SKINS[random.choice(len(SKINS), p=SKIN_SHARES)](random, radius)
    return lambda points_K3: first + (second - first) * np.clip(level(points_K3), 0, 1)[:, None]


def plain_skin(colour_3: Floats) -> Skin:
    """Return a skin that has one colour all over."""
    return lambda points_K3: np.broadcast_to(colour_3, points_K3.shape).astype(np.float32)


def _ripple(random: Random, radius: float) -> Callable[[Floats], Floats]:
    """Return a rough function of place, about -1 to 1: waves whose phases other waves bend, each finer and weaker."""
    ways = random.normal(0, 1, (4, 3)) * (2.0 ** np.arange(4))[:, None] * 1.7 / radius
    bends = random.uniform(0, 6, 4)

    def level(points_K3: Floats) -> Floats:
        total = np.zeros(len(points_K3), np.float32)
        for power, (way, bend) in enumerate(zip(ways, bends, strict=True)):
            total += np.sin(points_K3 @ way.astype(np.float32) + np.float32(bend) + 1.5 * total) * np.float32(0.6**power)
        return total * np.float32(0.5)

    return level


def _plain(random: Random, radius: float) -> Callable[[Floats], Floats]:
    dust = _ripple(random, radius * 0.7)
    return lambda points_K3: 0.12 + 0.12 * dust(points_K3)


def _marble(random: Random, radius: float) -> Callable[[Floats], Floats]:
    veins, way = _ripple(random, radius), random.normal(0, 2.2, 3).astype(np.float32) / radius
    return lambda points_K3: (0.5 + 0.5 * np.sin(points_K3 @ way + 4 * veins(points_K3))) ** 2


def _wood(random: Random, radius: float) -> Callable[[Floats], Floats]:
    grain, rings = _ripple(random, radius), random.uniform(3, 7) / radius
    off = (random.uniform(-0.5, 0.5, 2) * radius).astype(np.float32)

    def level(points_K3: Floats) -> Floats:
        around = np.hypot(points_K3[:, 0] - off[0], points_K3[:, 2] - off[1]) * rings
        return ((around + 0.35 * grain(points_K3)) % 1.0).astype(np.float32)

    return level


def _cells(random: Random, radius: float) -> Callable[[Floats], Floats]:
    seeds_C3 = random.uniform(-1, 1, (int(random.integers(10, 26)), 3)).astype(np.float32) * radius
    shades_C = random.random(len(seeds_C3), np.float32)
    squares_C = (seeds_C3**2).sum(axis=1)
    return lambda points_K3: shades_C[np.argmin(squares_C - 2 * (points_K3 @ seeds_C3.T), axis=1)]


def _checks(random: Random, radius: float) -> Callable[[Floats], Floats]:
    rate = random.uniform(1.5, 4) / radius
    return lambda points_K3: (np.floor(points_K3 * rate + 0.37).sum(axis=1) % 2).astype(np.float32)


def _bands(random: Random, radius: float) -> Callable[[Floats], Floats]:
    way = random.normal(0, 1, 3)
    way = (way / np.linalg.norm(way) * random.uniform(2.5, 8) / radius).astype(np.float32)
    sharp = float(random.choice([1.0, 6.0]))
    return lambda points_K3: 0.5 + sharp * np.sin(points_K3 @ way)


SKINS: tuple[Callable[[Random, float], Callable[[Floats], Floats]], ...] = (_plain, _marble, _wood, _cells, _checks, _bands)
SKIN_SHARES = (0.25, 0.2, 0.15, 0.15, 0.12, 0.13)


def draw_tables(random: Random) -> Tables:
    """Draw a floor or a wall."""
    level_PP = FLOORS[random.integers(len(FLOORS))](random)
    first, second = paint(random, 0.6), paint(random, 0.5)
    if random.random() < 0.6:
        second = (first * random.uniform(0.2, 0.75)).astype(np.float32)
    rough = 0.75 + 0.5 * plasma_PP(random, 0.75)[..., None]
    table = ((first + (second - first) * level_PP[..., None]) * rough).clip(0.01, 1).astype(np.float32)
    tables = [table]
    for _ in range(LEVELS - 1):
        fine = tables[-1]
        tables.append((fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4)
    starts = np.cumsum([0] + [len(level) ** 2 for level in tables[:-1]]).astype(np.intp)
    return Tables(np.concatenate([level.reshape(-1, 3) for level in tables]), starts)


def look_up(tables: Tables, along_K: Floats, across_K: Floats, coarse_K: Floats) -> Floats:
    """Return colours (K, 3) at places in repeats of a table; `coarse_K` counts the texels that a pixel covers."""
    levels_K = np.clip(np.log2(np.maximum(coarse_K, 1)), 0, LEVELS - 1).astype(np.intp)
    sides_K = TABLE_SIDE >> levels_K
    row_K = ((along_K % 1) * sides_K).astype(np.intp) % sides_K
    column_K = ((across_K % 1) * sides_K).astype(np.intp) % sides_K
    return tables.texels_X3[tables.starts_L[levels_K] + row_K * sides_K + column_K]


def plasma_PP(random: Random, rough: float) -> Floats:
    """Draw a hilly table in [0, 1] by moving midpoints.

    Each finer grid lies between the last one's points, and is off by three quarters of `rough` times as much.
    """
    grid, height = random.random((4, 4)), 1.0
    while len(grid) < TABLE_SIDE:
        height *= rough * 0.75
        wide = np.empty((2 * len(grid), 2 * len(grid)))
        wide[::2, ::2] = grid
        right, below = np.roll(grid, -1, 1), np.roll(grid, -1, 0)
        wide[1::2, 1::2] = (grid + right + below + np.roll(right, -1, 0)) / 4
        wide[::2, 1::2], wide[1::2, ::2] = (grid + right) / 2, (grid + below) / 2
        grid = wide + height * random.uniform(-0.5, 0.5, wide.shape)
    return ((grid - grid.min()) / np.ptp(grid)).astype(np.float32)


def _hills(random: Random) -> Floats:
    return plasma_PP(random, random.uniform(0.6, 1.1))


def _flagstones(random: Random) -> Floats:
    """Cells around random seeds, of a shade each, with dark joints."""
    count = int(random.integers(12, 50))
    seeds_C2, shades_C = random.random((count, 2)), random.uniform(0, 0.8, count)
    half = (np.arange(TABLE_SIDE // 2) + 0.5) / (TABLE_SIDE // 2)
    rows, columns = np.abs(half[:, None, None] - seeds_C2[:, 0]), np.abs(half[None, :, None] - seeds_C2[:, 1])
    squares = np.minimum(rows, 1 - rows) ** 2 + np.minimum(columns, 1 - columns) ** 2
    near = np.sqrt(np.partition(squares, 1, axis=-1)[..., :2])
    level = np.where(near[..., 1] - near[..., 0] < 0.018, 1.0, shades_C[squares.argmin(axis=-1)])
    small = Image.fromarray(level.astype(np.float32))
    return np.asarray(small.resize((TABLE_SIDE, TABLE_SIDE), Image.Resampling.BILINEAR), np.float32)


def _boards(random: Random) -> Floats:
    """Planks beside one another, each of its shade, with a grain along it."""
    count = int(2 ** random.integers(2, 5))
    width = TABLE_SIDE // count
    shades, hills = random.uniform(0, 0.7, count), plasma_PP(random, 1.0)
    level = np.repeat(shades, width)[:, None] + 0.5 * hills[:, (np.arange(TABLE_SIDE) // 16) * 16] - 0.1
    level[::width] = level[1::width] = 1.0
    return level.clip(0, 1).astype(np.float32)


def _squares(random: Random) -> Floats:
    count = int(2 ** random.integers(1, 5))
    step = np.arange(TABLE_SIDE) * count // TABLE_SIDE
    return ((step[:, None] + step) % 2).astype(np.float32)


def _gravel(random: Random) -> Floats:
    fine = random.random((TABLE_SIDE, TABLE_SIDE), np.float32)
    near = (fine + np.roll(fine, 1, 0) + np.roll(fine, 1, 1) + np.roll(fine, (1, 1), (0, 1))) / 4
    return np.clip((near - 0.25) * 2, 0, 1)


FLOORS: tuple[Callable[[Random], Floats], ...] = (_hills, _flagstones, _boards, _squares, _gravel)
