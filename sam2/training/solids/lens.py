"""Makes a picture of light: a lens that softens and darkens, an exposure that drifts, a film that bends, and grain.

Legend: H, W frame height and width.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Image8 = npt.NDArray[np.uint8]
Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Lens:
    """What camera and film do to every frame."""

    shutter: float
    softness: int
    exposure: float
    drift: float
    flicker: float
    balance_3: Floats
    vignette: float
    grain: float


def develop(light_HW3: Floats, lens: Lens, time: float, random: np.random.Generator) -> Image8:
    """Make a picture of light: the lens softens and darkens towards the corners, the film answers, and grain comes."""
    soft = light_HW3
    for _ in range(lens.softness):
        soft = _softened(_softened(soft, 0), 1)
    height, width = soft.shape[:2]
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    wave = lens.drift * math.sin(0.15 * time) + lens.flicker * math.sin(2.6 * time)
    dimmed = soft * ((1 - lens.vignette * (x**2 + y**2) / 2) * lens.exposure * math.exp(wave))[..., None] * lens.balance_3
    # The eye's and the film's answer: nearly a power of the light, which bends before it is white.
    bent = np.sqrt(np.maximum(dimmed, 0)) * 0.9
    picture = 255 * np.where(bent > 0.8, 0.8 + 0.2 * np.tanh((bent - 0.8) / 0.2), bent)
    if lens.grain:
        picture = picture + random.standard_normal(picture.shape, np.float32) * lens.grain * (0.4 + 0.6 * bent)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _softened(light_HW3: Floats, axis: int) -> Floats:
    """Mix each pixel with its neighbours on both sides, so that nothing moves."""
    wide = np.concatenate((light_HW3.take([0], axis), light_HW3, light_HW3.take([-1], axis)), axis)
    cut = [slice(None)] * 3
    before, after = list(cut), list(cut)
    before[axis], after[axis] = slice(0, -2), slice(2, None)
    return 0.25 * (wide[tuple(before)] + wide[tuple(after)]) + 0.5 * light_HW3


def draw_lens(random: Random) -> Lens:
    return Lens(
        shutter=random.uniform(0.3, 0.9) if random.random() < 0.3 else 0.0,
        softness=int(random.choice([1, 1, 1, 3])), exposure=random.uniform(0.16, 0.45),
        drift=float(random.choice([0.0, 0.0, 0.3])) * random.uniform(-1, 1), flicker=float(random.choice([0.0, 0.0, 0.06])),
        balance_3=np.exp(random.normal(0, 0.1, 3)).astype(np.float32), vignette=random.uniform(0, 0.5),
        grain=float(random.choice([0.0, 2.0, 5.0, 10.0])),
    )
