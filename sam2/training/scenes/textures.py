"""Pictures drawn by formula, for grounds and for the skins of objects: every one follows from its random generator.

Photographs have detail at all scales, edges where one thing covers another, and few colours that belong together; so
do these: 1/f noise, leaves that fall on leaves, stripes, tiles, spots, gradients. Source of the idea: Baradad et al.
2021, "Learning to See by Looking at Noise".

Legend: H, W height and width, K palette entries.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Floats = npt.NDArray[np.float32]
Image8 = npt.NDArray[np.uint8]
Random = np.random.Generator


def texture_HW3(random: Random, size_hw: tuple[int, int], stills: Sequence[Image8] = ()) -> Image8:
    """Draw one texture. `stills` are pictures of the user's: where there are some, every other texture is a piece of one."""
    if stills and random.random() < 0.5:
        return _piece_of(stills[random.integers(len(stills))], random, size_hw)
    kind = KINDS[random.choice(len(KINDS), p=SHARES)]
    return kind(random, size_hw)


def palette_K3(random: Random, count: int) -> Floats:
    """Return colours that belong together: near one tone and one lightness, with now and then one that stands out."""
    # most things are near grey; now and then one is vivid
    base = random.uniform(30, 225) + random.normal(0, random.choice([8, 25, 70], p=[0.4, 0.4, 0.2]), 3)
    tint = random.normal(0, random.choice([6, 18, 45], p=[0.4, 0.4, 0.2]), (count, 3))
    colours = base + tint + random.normal(0, 35, (count, 1))
    if random.random() < 0.3:
        colours[random.integers(count)] = random.uniform(0, 255, 3)
    return np.clip(colours, 0, 255).astype(np.float32)


def smooth_noise_HW(random: Random, size_hw: tuple[int, int], *, cells: float, octaves: int = 4, fall: float = 0.6) -> Floats:
    """Noise in [0, 1] with `cells` hills along the longer side, and finer ones on them, each weaker by `fall`."""
    height, width = size_hw
    total, weight = np.zeros(size_hw, np.float32), 1.0
    for octave in range(octaves):
        across = cells * 2**octave
        rows = max(2, round(across * height / max(size_hw)) + 1)
        columns = max(2, round(across * width / max(size_hw)) + 1)
        if max(rows, columns) > max(size_hw):
            break
        grid = Image.fromarray(random.random((rows, columns), np.float32))
        total += weight * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))
        weight *= fall
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _coloured(level_HW: Floats, colours_K3: Floats) -> Image8:
    """Lay a palette over levels in [0, 1], smoothly from one colour to the next."""
    steps = np.linspace(0, len(colours_K3) - 1, 256)
    table = np.stack([np.interp(steps, np.arange(len(colours_K3)), colours_K3[:, c]) for c in range(3)], axis=1)
    return table.astype(np.uint8)[(level_HW * 255).astype(np.uint8)]


def _noise(random: Random, size_hw: tuple[int, int]) -> Image8:
    level = smooth_noise_HW(random, size_hw, cells=2 ** random.uniform(0.5, 5), octaves=5, fall=random.uniform(0.4, 0.9))
    return _coloured(level, palette_K3(random, int(random.integers(2, 6))))


def _leaves(random: Random, size_hw: tuple[int, int]) -> Image8:
    """Shapes of one colour each that cover one another, many small and few large, under a film of noise."""
    height, width = size_hw
    side = max(size_hw)
    colours = palette_K3(random, int(random.integers(3, 9)))
    canvas = Image.new("RGB", (width, height), tuple(colours[0].astype(int)))
    draw = ImageDraw.Draw(canvas)
    straight = random.random() < 0.5
    smallest = random.uniform(0.015, 0.06)
    for _ in range(int(random.integers(40, 220))):
        radius = side * min(0.5, smallest / max(random.random(), 0.02) ** 0.8)
        x, y = random.uniform(0, width), random.uniform(0, height)
        shade = random.uniform(0.75, 1.2)
        colour = tuple(np.clip(colours[random.integers(len(colours))] * shade, 0, 255).astype(int))
        if straight:
            angles = np.sort(random.uniform(0, 2 * math.pi, int(random.integers(3, 7))))
            corners = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
            draw.polygon(corners, fill=colour)
        else:
            flat = random.uniform(0.3, 1)
            draw.ellipse((x - radius, y - radius * flat, x + radius, y + radius * flat), fill=colour)
    film = smooth_noise_HW(random, size_hw, cells=24, octaves=2)[..., None]
    return np.clip(np.asarray(canvas, np.float32) * (0.8 + 0.4 * film), 0, 255).astype(np.uint8)


def _stripes(random: Random, size_hw: tuple[int, int]) -> Image8:
    """Bands at an angle, straight or bent, soft or sharp."""
    y, x = _grid(size_hw)
    angle, count = random.uniform(0, math.pi), 2 ** random.uniform(1, 5)
    bend = random.choice([0.0, 0.05, 0.2]) * smooth_noise_HW(random, size_hw, cells=3, octaves=2)
    wave = np.sin(2 * math.pi * count * (x * math.cos(angle) + y * math.sin(angle) + bend))
    level = np.clip(0.5 + 0.5 * wave * random.choice([1.0, 4.0]), 0, 1)
    film = 0.25 * smooth_noise_HW(random, size_hw, cells=16, octaves=3)
    return _coloured(np.clip(0.8 * level + film, 0, 1).astype(np.float32), palette_K3(random, int(random.integers(2, 4))))


def _tiles(random: Random, size_hw: tuple[int, int]) -> Image8:
    """Rectangles in rows, each of its own shade, with joints between them, some rows shifted."""
    y, x = _grid(size_hw)
    rows, columns = 2 ** random.uniform(1.5, 4.5), 2 ** random.uniform(1.5, 4.5)
    row = np.floor(y * rows)
    across = x * columns + random.choice([0.0, 0.5]) * (row % 2)
    shade = random.random((64, 64), np.float32)[row.astype(int) % 64, np.floor(across).astype(int) % 64]
    joint = (np.minimum(y * rows % 1, across % 1) < random.uniform(0, 0.12)).astype(np.float32)
    level = np.clip(shade * random.uniform(0.1, 0.9) + 0.3 * smooth_noise_HW(random, size_hw, cells=20, octaves=3), 0, 1)
    return _coloured(np.where(joint > 0, 1.0, level * 0.9).astype(np.float32), palette_K3(random, int(random.integers(2, 5))))


def _spots(random: Random, size_hw: tuple[int, int]) -> Image8:
    level = smooth_noise_HW(random, size_hw, cells=2 ** random.uniform(2, 4.5), octaves=2)
    sharp = np.clip((level - random.uniform(0.35, 0.6)) * random.choice([4, 20]) + 0.5, 0, 1)
    film = 0.3 * smooth_noise_HW(random, size_hw, cells=30, octaves=2)
    return _coloured(np.clip(sharp * 0.75 + film, 0, 1).astype(np.float32), palette_K3(random, 3))


def _gradient(random: Random, size_hw: tuple[int, int]) -> Image8:
    y, x = _grid(size_hw)
    angle = random.uniform(0, 2 * math.pi)
    if random.random() < 0.5:
        level = x * math.cos(angle) + y * math.sin(angle)
    else:
        level = np.hypot(x - random.uniform(0, 1), y - random.uniform(0, 1))
    level = (level - level.min()) / max(float(np.ptp(level)), 1e-6)
    film = random.uniform(0, 0.3) * smooth_noise_HW(random, size_hw, cells=2 ** random.uniform(1, 5), octaves=4)
    return _coloured(np.clip(level * 0.75 + film, 0, 1).astype(np.float32), palette_K3(random, int(random.integers(2, 5))))


def _piece_of(still_HW3: Image8, random: Random, size_hw: tuple[int, int]) -> Image8:
    """Cut a random window of the same aspect out of a picture and bring it to size."""
    height, width = still_HW3.shape[:2]
    most = min(height / size_hw[0], width / size_hw[1])
    zoom = most * random.uniform(0.3, 1.0)
    rows, columns = max(1, int(size_hw[0] * zoom)), max(1, int(size_hw[1] * zoom))
    top, left = int(random.integers(0, height - rows + 1)), int(random.integers(0, width - columns + 1))
    piece = Image.fromarray(still_HW3[top : top + rows, left : left + columns])
    return np.asarray(piece.resize((size_hw[1], size_hw[0]), Image.Resampling.BILINEAR))


def _grid(size_hw: tuple[int, int]) -> tuple[Floats, Floats]:
    height, width = size_hw
    y = np.arange(height, dtype=np.float32)[:, None] / height
    return np.broadcast_to(y, size_hw), np.broadcast_to(np.arange(width, dtype=np.float32) / width, size_hw)


KINDS: tuple[Callable[[Random, tuple[int, int]], Image8], ...] = (_noise, _leaves, _stripes, _tiles, _spots, _gradient)
SHARES = (0.26, 0.3, 0.1, 0.12, 0.1, 0.12)
