"""Who plays in a scene: bodies with an outline, a skin and a way through the frame, and things to hide behind.

Legend: P side of a skin. Places and lengths are in shares of the frame's longer side, times in frames.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam2.training.scenes.outlines import Outline, draw_outline
from sam2.training.scenes.textures import Image8, texture_HW3

SKIN_SIDE = 128

Random = np.random.Generator
Place = Callable[[float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Body:
    """A thing in the scene: an outline with a skin, drawn where `place_xy` says at a time in frames, in shares of the
    frame's longer side. What is not `labelled` is scenery: a look-alike, or something to hide behind."""

    outline: Outline
    skin_PP3: Image8
    radius: float
    place_xy: Place
    spin: float                 # radians a frame
    angle: float
    growth: float               # of the logarithm of the size, as a wave
    labelled: bool = True
    shadow: bool = False


def draw_body(random: Random, num_frames: int, size_hw: tuple[int, int], stills: Sequence[Image8]) -> Body:
    skin = texture_HW3(random, (SKIN_SIDE, SKIN_SIDE), stills).astype(np.float32)
    if random.random() < 0.5:      # lit from one side
        ramp = np.linspace(random.uniform(0.5, 1), random.uniform(1, 1.3), SKIN_SIDE, dtype=np.float32)
        skin *= (ramp[:, None] if random.random() < 0.5 else ramp)[..., None]
    return Body(
        outline=draw_outline(random),
        skin_PP3=np.clip(skin, 0, 255).astype(np.uint8),
        radius=math.exp(random.uniform(math.log(0.045), math.log(0.42 if random.random() < 0.2 else 0.28))),
        place_xy=path(random, num_frames, size_hw),
        spin=random.choice([0.0, 0.02, 0.1]) * random.normal(),
        angle=random.uniform(0, 2 * math.pi),
        growth=random.choice([0.0, 0.15, 0.4]) * random.normal(),
        shadow=bool(random.random() < 0.3),
    )


def path(random: Random, num_frames: int, size_hw: tuple[int, int]) -> Place:
    """Return a way through the frame: it drifts and sways; one in five leaves the frame and comes back."""
    height, width = np.array(size_hw) / max(size_hw)
    x, y = random.uniform(0.1, 0.9) * width, random.uniform(0.1, 0.9) * height
    angle, speed = random.uniform(0, 2 * math.pi), math.exp(random.uniform(math.log(0.0015), math.log(0.03)))
    if random.random() < 0.15:
        speed = 0.0
    sway, phase = random.choice([0.0, 0.03, 0.1]), random.uniform(0, 2 * math.pi)
    rate = random.uniform(0.1, 0.6)
    dx, dy = math.cos(angle), math.sin(angle)
    if random.random() < 0.2:
        reach, turn = random.uniform(0.5, 1.1), math.pi / max(12.0, random.uniform(0.5, 1.1) * num_frames)
        return lambda time: (x + reach * dx * math.sin(turn * time), y + reach * dy * math.sin(turn * time))

    def place(time: float) -> tuple[float, float]:
        side = sway * (math.sin(phase + rate * time) - math.sin(phase))
        return _fold(x + speed * dx * time - side * dy, width), _fold(y + speed * dy * time + side * dx, height)

    return place


def _fold(position: float, length: float) -> float:
    """Turn back whatever runs far out of the frame: positions swing between a little before and a little behind it."""
    low, span = -0.15 * length, 1.3 * length
    along = (position - low) % (2 * span)
    return low + (along if along < span else 2 * span - along)


def meeting(random: Random, other: Place, num_frames: int) -> Place:
    """Return a way that crosses another one somewhere in the middle of the scene."""
    when = random.uniform(0.25, 0.75) * max(1, num_frames - 1)
    meet_x, meet_y = other(when)
    angle, speed = random.uniform(0, 2 * math.pi), min(random.uniform(0.01, 0.05), 0.5 / max(1.0, when))
    return lambda time: (meet_x + speed * math.cos(angle) * (time - when), meet_y + speed * math.sin(angle) * (time - when))


def screen(
    random: Random, bodies: Sequence[Body], num_frames: int, size_hw: tuple[int, int], stills: Sequence[Image8]
) -> Body:
    """Return something that stands still, in front of a place that a body passes."""
    x, y = bodies[random.integers(len(bodies))].place_xy(random.uniform(0.3, 0.8) * num_frames)
    return replace(
        draw_body(random, num_frames, size_hw, stills),
        place_xy=lambda time: (x, y), radius=random.uniform(0.08, 0.25), spin=0.0, growth=0.0, labelled=False,
    )
