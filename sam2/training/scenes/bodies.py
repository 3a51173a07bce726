"""Bodies of a scene: an outline that changes with time, a skin, a way through the frame; and things to hide behind.

An outline is a few contours, blobs, polygons, rings and figures with limbs, as a function of time in frames; it lies
around the origin, about a unit in radius.

Legend: P side of a skin. Places and lengths of bodies are in shares of the frame's longer side, times in frames.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sam2.training.scenes.textures import Image8, texture_HW3

Floats = npt.NDArray[np.float64]
Random = np.random.Generator


class Contour(NamedTuple):
    """A closed line (P, 2) in x, y that is filled, or cut out of what was filled before it."""

    xy_P2: Floats
    filled: bool


Outline = Callable[[float], list[Contour]]


def draw_outline(random: Random) -> Outline:
    """Choose an outline, how long it is for its width, and how lively it changes."""
    kind = KINDS[random.choice(len(KINDS), p=SHARES)]
    lively = random.choice([0.0, 0.05, 0.15])
    outline = kind(random, float(lively))
    stretch = np.exp(random.uniform(-0.6, 0.6))
    return lambda time: [Contour(c.xy_P2 * (stretch**0.5, stretch**-0.5), c.filled) for c in outline(time)]


def _blob(random: Random, lively: float) -> Outline:
    """A round line with waves on it: a few long ones for a smooth blob, many short ones for a rough edge."""
    count = int(random.integers(2, 12))
    waves = np.arange(1, count + 1)
    heights = random.normal(0, 0.35, count) / waves ** random.uniform(0.7, 1.5)
    phases, speeds = random.uniform(0, 2 * math.pi, count), random.normal(0, 2 * lively, count)
    angles = np.linspace(0, 2 * math.pi, 96, endpoint=False)

    def outline(time: float) -> list[Contour]:
        ripple = heights[:, None] * np.cos(waves[:, None] * angles + (phases + speeds * time)[:, None])
        radius = np.clip(1 + ripple.sum(axis=0), 0.15, 2)
        return [Contour(_polar(radius / radius.mean(), angles), True)]

    return outline


def _polygon(random: Random, lively: float) -> Outline:
    """Corners at random angles and distances; a star where the distances alternate."""
    count = int(random.integers(3, 10))
    angles = (np.arange(count) + random.uniform(-0.35, 0.35, count)) * 2 * math.pi / count
    radii = random.uniform(0.6, 1.2, count)
    if random.random() < 0.3:
        radii[::2] *= random.uniform(0.35, 0.7)
    phases = random.uniform(0, 2 * math.pi, count)

    def outline(time: float) -> list[Contour]:
        return [Contour(_polar(radii * (1 + lively * np.sin(phases + 0.5 * time)), angles), True)]

    return outline


def _ring(random: Random, lively: float) -> Outline:
    outer = _blob(random, lively)
    hole, offset = random.uniform(0.3, 0.65), random.uniform(-0.15, 0.15, 2)

    def outline(time: float) -> list[Contour]:
        xy = outer(time)[0].xy_P2
        return [Contour(xy, True), Contour(xy * hole + offset, False)]

    return outline


def _figure(random: Random, lively: float) -> Outline:
    """A body with limbs that swing: ellipses that hang on an ellipse, as animals and people do."""
    angles = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    body = np.stack((np.cos(angles) * random.uniform(0.4, 0.9), np.sin(angles) * random.uniform(0.3, 0.7)), axis=1)
    count = int(random.integers(2, 7))
    roots = body[random.integers(0, len(body), count)] * 0.8
    lengths, widths = random.uniform(0.3, 0.9, count), random.uniform(0.08, 0.3, count)
    rest = np.arctan2(roots[:, 1], roots[:, 0]) + random.normal(0, 0.5, count)
    phases, swing = random.uniform(0, 2 * math.pi, count), 4 * lively

    def outline(time: float) -> list[Contour]:
        contours = [Contour(body, True)]
        for root, length, width, angle, phase in zip(roots, lengths, widths, rest, phases, strict=True):
            limb = np.stack(((1 + np.cos(angles)) * length / 2, np.sin(angles) * width), axis=1)
            contours.append(Contour(root + limb @ _turn(angle + swing * math.sin(phase + 0.6 * time)).T, True))
        return contours

    return outline


def _plate(random: Random, lively: float) -> Outline:
    """A rectangle with more or less round corners, or an ellipse: what people make."""
    power = random.choice([2.0, 3.0, 5.0, 12.0])
    angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    cos, sin = np.cos(angles), np.sin(angles)
    radius = (np.abs(cos) ** power + np.abs(sin) ** power) ** (-1 / power)
    breath = random.uniform(0, 2 * math.pi)
    return lambda time: [Contour(_polar(radius, angles) * (1, 0.8 + lively * math.sin(breath + 0.4 * time)), True)]


def _polar(radius_P: Floats, angles_P: Floats) -> Floats:
    return np.stack((radius_P * np.cos(angles_P), radius_P * np.sin(angles_P)), axis=1)


def _turn(angle: float) -> Floats:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


KINDS: tuple[Callable[[Random, float], Outline], ...] = (_blob, _polygon, _ring, _figure, _plate)
SHARES = (0.32, 0.2, 0.08, 0.22, 0.18)


SKIN_SIDE = 128

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
