"""Outlines that live: blobs, polygons, rings and figures with limbs, each a few contours that change with time.

An outline is a function of time in frames that returns contours in the object's own units, about 1 from its centre.

Legend: P points of a contour.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
    hole, place = random.uniform(0.3, 0.65), random.uniform(-0.15, 0.15, 2)

    def outline(time: float) -> list[Contour]:
        xy = outer(time)[0].xy_P2
        return [Contour(xy, True), Contour(xy * hole + place, False)]

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
