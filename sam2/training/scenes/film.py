"""How a scene is filmed: a camera that moves, and what light, lens, sensor and file do to every frame.

Legend: H, W frame height and width in pixels. Matrices are 3x3 and work on pixels as columns (x, y, 1).
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from sam2.training.scenes.textures import Floats, Image8

Random = np.random.Generator
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """What camera and light do to every frame of a scene; `seed` names the noise, `phase` begins the waves."""

    seed: int
    pan_xy: tuple[float, float]
    shake: float
    zoom: float
    roll: float
    gain: float
    flicker: float
    cast_rgb: tuple[float, float, float]
    blur: float
    noise: float
    jpeg: int | None
    phase: float


def draw_look(random: Random, seed: int, *, longer: int, brightness: float) -> Look:
    """Choose them for a scene whose ground has a mean of `brightness`, so that it is neither black nor white."""
    moving = random.random() < 0.6
    angle, speed = random.uniform(0, 2 * math.pi), moving * random.uniform(0, 0.012) * longer
    return Look(
        seed=seed,
        pan_xy=(speed * math.cos(angle), speed * math.sin(angle)),
        shake=float(random.choice([0.0, 0.0, 0.004, 0.012])) * longer,
        zoom=moving * random.normal(0, 0.06),
        roll=moving * random.normal(0, 0.03),
        gain=min(max(math.exp(random.normal(0, 0.2)), 40 / max(brightness, 20)), 210 / max(brightness, 20)),
        flicker=float(random.choice([0.0, 0.05, 0.2])),
        cast_rgb=tuple(np.exp(random.normal(0, 0.08, 3))),
        blur=float(random.choice([0.0, 0.0, 0.6, 1.2])),
        noise=float(random.choice([0.0, 3.0, 8.0, 14.0])),
        jpeg=None if random.random() < 0.4 else int(random.integers(30, 95)),
        phase=random.uniform(0, 2 * math.pi),
    )


def camera(look: Look, time: float, size_hw: tuple[int, int]) -> Matrix:
    """Return the 3x3 matrix from the scene's pixels to the frame's at a time."""
    height, width = size_hw
    wave = 0.05 * time + look.phase
    shake_x, shake_y = np.random.default_rng([look.seed, int(time), 7]).normal(0, 1, 2) * look.shake
    swing = math.sin(wave) - math.sin(look.phase)
    x, y = look.pan_xy[0] * 20 * swing + shake_x, look.pan_xy[1] * 20 * swing + shake_y
    scale, angle = math.exp(look.zoom * swing * 3), look.roll * swing * 3
    return shift(width / 2 + x, height / 2 + y) @ similar(scale, angle) @ shift(-width / 2, -height / 2)


def develop(canvas_HW3: Floats, look: Look, time: float) -> Image8:
    """Do to a frame what light, lens, sensor and file do."""
    random = np.random.default_rng([look.seed, int(time), 8])
    light = look.gain * (1 + look.flicker * math.sin(0.3 * time + look.phase))
    picture = canvas_HW3 * (np.array(look.cast_rgb, np.float32) * light)
    if look.noise:
        picture += random.standard_normal(picture.shape, np.float32) * look.noise
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    if look.blur:
        image = image.filter(ImageFilter.GaussianBlur(look.blur))
    if look.jpeg is not None:
        held = io.BytesIO()
        image.save(held, "JPEG", quality=look.jpeg)
        image = Image.open(held)
    return np.asarray(image)


def warp(picture_HW3: Image8, to_frame: Matrix, size_hw: tuple[int, int]) -> Image8:
    """Return a picture of `size_hw` as seen through a matrix; what lies beyond its border repeats in the mirror."""
    rows, columns = picture_HW3.shape[:2]
    inverse = np.linalg.inv(to_frame)
    x, y = np.arange(size_hw[1]) + 0.5, np.arange(size_hw[0]) + 0.5
    source_x = inverse[0, 0] * x + (inverse[0, 1] * y)[:, None] + inverse[0, 2]
    source_y = inverse[1, 0] * x + (inverse[1, 1] * y)[:, None] + inverse[1, 2]
    return picture_HW3[_mirrored(source_y, rows), _mirrored(source_x, columns)]


def _mirrored(position: Floats, length: int) -> npt.NDArray[np.intp]:
    index = np.floor(position).astype(np.intp) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def shift(x: float, y: float) -> Matrix:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def similar(scale: float, angle: float) -> Matrix:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
