"""Solid forms and where a ray meets them: ellipsoids, cylinders, gems, letters with a thickness, soft unions, tori.

A form lies around the origin of its own axes, y up. A ray is `origin + depth * direction`, and a form answers with
the depth at which the ray enters it, or infinity.

Legend: M rays, K points, F faces of a gem, B balls of a soft form, S samples along a ray, P side of a letter's grid.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Floats = npt.NDArray[np.float32]
Random = np.random.Generator

MARCHES = 22            # steps of a ray towards a soft form
LETTER_SIDE = 96
LETTERS = "ABEFGHJKLMPRSTXYZ2345679&?@#%"


class Form(Protocol):
    """What a ray can meet. `reach` is the radius of a ball around the origin that holds all of it."""

    @property
    def reach(self) -> float: ...

    def strike(self, origin_3: Floats, rays_M3: Floats, time: float) -> Floats:
        """Return the depth (M,) at which each ray enters the form, infinity where it passes by."""
        ...

    def normal(self, points_K3: Floats, time: float) -> Floats:
        """Return what points outwards (K, 3) at points of the surface; of any length but 0."""
        ...


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    half_3: Floats

    @property
    def reach(self) -> float:
        return float(self.half_3.max())

    def strike(self, origin_3: Floats, rays_M3: Floats, time: float) -> Floats:
        start, ways = origin_3 / self.half_3, rays_M3 / self.half_3
        enter, leave = _through_ball(ways @ start, np.einsum("mi,mi->m", ways, ways), float(start @ start) - 1)
        return np.where((enter < leave) & (enter > 0), enter, np.float32(np.inf))

    def normal(self, points_K3: Floats, time: float) -> Floats:
        return points_K3 / self.half_3**2


@dataclass(frozen=True, slots=True)
class Cylinder:
    """A round bar along y."""

    radius: float
    half: float

    @property
    def reach(self) -> float:
        return math.hypot(self.radius, self.half)

    def strike(self, origin_3: Floats, rays_M3: Floats, time: float) -> Floats:
        flat_o, flat_d = origin_3[[0, 2]], rays_M3[:, [0, 2]]
        square = np.maximum(np.einsum("mi,mi->m", flat_d, flat_d), 1e-12)
        enter, leave = _through_ball(flat_d @ flat_o, square, float(flat_o @ flat_o) - self.radius**2)
        lift = _not_zero(rays_M3[:, 1])
        ends = (np.float32(self.half) * np.sign(lift) - origin_3[1]) / lift
        starts = ends - np.abs(2 * self.half / lift)
        enter, leave = np.maximum(enter, starts), np.minimum(leave, ends)
        return np.where((enter < leave) & (enter > 0), enter, np.float32(np.inf)).astype(np.float32)

    def normal(self, points_K3: Floats, time: float) -> Floats:
        around = np.hypot(points_K3[:, 0], points_K3[:, 2]) / self.radius
        on_cap = np.abs(points_K3[:, 1]) / self.half > around
        return np.where(on_cap[:, None], points_K3 * (0, 1, 0), points_K3 * (1, 0, 1)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Gem:
    """What lies on the inner side of every one of F planes: boxes, pyramids, prisms, cut stones."""

    normals_F3: Floats
    offsets_F: Floats
    reach: float

    def strike(self, origin_3: Floats, rays_M3: Floats, time: float) -> Floats:
        slopes_FM = _not_zero(self.normals_F3 @ rays_M3.T)
        crossings_FM = (self.offsets_F - self.normals_F3 @ origin_3)[:, None] / slopes_FM
        enter = np.where(slopes_FM < 0, crossings_FM, -np.inf).max(axis=0)
        leave = np.where(slopes_FM > 0, crossings_FM, np.inf).min(axis=0)
        return np.where((enter < leave) & (enter > 0), enter, np.float32(np.inf)).astype(np.float32)

    def normal(self, points_K3: Floats, time: float) -> Floats:
        return self.normals_F3[np.argmax(points_K3 @ self.normals_F3.T - self.offsets_F, axis=1)]


@dataclass(frozen=True, slots=True)
class Soft:
    """A form known by a distance that is nowhere too large; rays walk towards it by that distance."""

    distance: Callable[[Floats, float], Floats]
    reach: float

    def strike(self, origin_3: Floats, rays_M3: Floats, time: float) -> Floats:
        lengths_M = np.linalg.norm(rays_M3, axis=1)
        units_M3 = rays_M3 / lengths_M[:, None]
        enter, leave = _through_ball(units_M3 @ origin_3, np.ones_like(lengths_M), float(origin_3 @ origin_3) - self.reach**2)
        way_M = np.maximum(enter, 0)
        result_M = np.full(len(rays_M3), np.inf, np.float32)
        walking = np.flatnonzero((enter < leave) & (leave > 0))
        for _ in range(MARCHES):
            gap = self.distance(origin_3 + way_M[walking, None] * units_M3[walking], time)
            way_M[walking] += gap
            there = gap < 0.004 * self.reach
            result_M[walking[there]] = way_M[walking[there]] / lengths_M[walking[there]]
            walking = walking[~there & (way_M[walking] < leave[walking])]
        return result_M

    def normal(self, points_K3: Floats, time: float) -> Floats:
        step, columns = 0.01 * self.reach, []
        for axis in np.eye(3, dtype=np.float32):
            columns.append(self.distance(points_K3 + step * axis, time) - self.distance(points_K3 - step * axis, time))
        return np.stack(columns, axis=1) + np.float32(1e-9)


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter of radius `side`, `half` thick to either side of its plane z = 0."""

    text: str
    side: float
    half: float

    @property
    def reach(self) -> float:
        return math.hypot(1.42 * self.side, self.half)

    def strike(self, origin_3: Floats, rays_M3: Floats, time: float) -> Floats:
        away = _not_zero(rays_M3[:, 2])
        ends = (np.float32(self.half) * np.sign(away) - origin_3[2]) / away
        starts = np.maximum(ends - np.abs(2 * self.half / away), 1e-3)
        # The stretch of the ray that lies over the letter's square: what a steep ray crosses outside it holds nothing.
        for axis in (0, 1):
            slope = _not_zero(rays_M3[:, axis])
            out = (np.float32(self.side) * np.sign(slope) - origin_3[axis]) / slope
            starts, ends = np.maximum(starts, out - np.abs(2 * self.side / slope)), np.minimum(ends, out)
        result_M = np.full(len(rays_M3), np.inf, np.float32)
        over = np.flatnonzero(starts < ends)
        if not len(over):
            return result_M
        low, step = starts[over], (ends - starts)[over] / 23
        ways_SM = low + step * np.arange(24, dtype=np.float32)[:, None]
        solid_SM = self._ink(origin_3 + ways_SM[..., None] * rays_M3[over]) > 0.5
        first = solid_SM.argmax(axis=0)
        met = solid_SM.any(axis=0)
        result_M[over[met]] = np.take_along_axis(ways_SM, first[None], axis=0)[0][met]
        return result_M

    def normal(self, points_K3: Floats, time: float) -> Floats:
        step = self.side * 3 / LETTER_SIDE
        shifts = step * np.eye(3, dtype=np.float32)[:2]
        slope = [self._ink(points_K3 - shift) - self._ink(points_K3 + shift) for shift in shifts]
        wall = np.stack((*slope, 1e-3 * np.sign(points_K3[:, 2])), axis=1)
        face = np.abs(points_K3[:, 2]) > 0.97 * self.half
        return np.where(face[:, None], points_K3 * (0, 0, 1), wall).astype(np.float32)

    def _ink(self, points: Floats) -> Floats:
        grid_PP = letter_PP(self.text)
        cells = np.clip((points[..., :2] / self.side * 0.5 + 0.5) * LETTER_SIDE, 0, LETTER_SIDE - 1).astype(np.intp)
        return grid_PP[LETTER_SIDE - 1 - cells[..., 1], cells[..., 0]]


@functools.lru_cache(maxsize=64)
def letter_PP(text: str) -> Floats:
    """Draw a letter as large as it fits in a square, 1 where it is solid, a little soft at its edges."""
    sheet = Image.new("L", (400, 400), 0)
    ImageDraw.Draw(sheet).text((200, 200), text, font=ImageFont.load_default(220), fill=255, anchor="mm", stroke_width=8)
    box = sheet.getbbox() or (0, 0, 400, 400)
    side, middle = max(box[2] - box[0], box[3] - box[1]) // 2 + 12, ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    cut = sheet.crop((middle[0] - side, middle[1] - side, middle[0] + side, middle[1] + side))
    small = cut.resize((LETTER_SIDE, LETTER_SIDE), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(1))
    return np.asarray(small, np.float32) / 255


def box(half_3: Floats) -> Gem:
    normals = np.concatenate((np.eye(3), -np.eye(3))).astype(np.float32)
    return Gem(normals, np.tile(half_3, 2).astype(np.float32), float(np.linalg.norm(half_3)))


def cut_stone(random: Random, radius: float) -> Gem:
    """Draw a stone with 7 to 14 flat sides that all lie near a ball."""
    count = int(random.integers(7, 15))
    turns = np.arange(count) * math.pi * (3 - math.sqrt(5)) + random.uniform(0, 6)
    heights = 1 - (2 * np.arange(count) + 1) / count
    flat = np.sqrt(1 - heights**2)
    ways = np.stack((flat * np.cos(turns), heights, flat * np.sin(turns)), axis=1) + random.normal(0, 0.12, (count, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return Gem(ways.astype(np.float32), (radius * random.uniform(0.6, 0.85, count)).astype(np.float32), radius * 1.6)


def pyramid(random: Random, radius: float) -> Gem:
    """Draw a pyramid on 3 to 6 sides."""
    count = int(random.integers(3, 7))
    turns, lean = np.arange(count) * 2 * math.pi / count, random.uniform(0.35, 0.6)
    sides = np.stack((np.cos(turns) * math.cos(lean), np.full(count, math.sin(lean)), np.sin(turns) * math.cos(lean)), axis=1)
    normals = np.concatenate((sides, [[0.0, -1.0, 0.0]]))
    offsets = np.append(np.full(count, 0.45 * radius), 0.5 * radius)
    return Gem(normals.astype(np.float32), offsets.astype(np.float32), radius * 2.2)


def torus(radius: float, thick: float) -> Soft:
    def distance(points_M3: Floats, time: float) -> Floats:
        ring = np.hypot(points_M3[:, 0], points_M3[:, 2]) - np.float32(radius - thick)
        return np.hypot(ring, points_M3[:, 1]) - np.float32(thick)

    return Soft(distance, radius * 1.02)


def droplets(random: Random, radius: float) -> Soft:
    """Draw 3 to 5 balls that melt into one another and sway about their places."""
    count = int(random.integers(3, 6))
    homes_B3 = random.normal(0, 0.33, (count, 3)).clip(-0.5, 0.5) * radius
    sizes_B, phases_B3 = random.uniform(0.28, 0.5, count) * radius, random.uniform(0, 6, (count, 3))
    sway, rate, sharp = radius * random.choice([0.0, 0.1, 0.2]), random.uniform(0.1, 0.4), 7 / radius

    def distance(points_M3: Floats, time: float) -> Floats:
        total = np.zeros(len(points_M3), np.float32)
        for centre, size in zip(homes_B3 + sway * np.sin(rate * time + phases_B3), sizes_B, strict=True):
            apart = points_M3 - centre.astype(np.float32)
            gap = np.sqrt(np.einsum("mi,mi->m", apart, apart)) - np.float32(size)
            total += np.exp(np.clip(-sharp * gap, -60, 60).astype(np.float32))
        return -np.log(np.maximum(total, 1e-30)) / np.float32(sharp)

    return Soft(distance, radius * 1.7)


def _through_ball(half_b_M: Floats, a_M: Floats, c: float) -> tuple[Floats, Floats]:
    """Return both roots of a x^2 + 2 b x + c; a pair that is upside down where there are none."""
    inside = half_b_M**2 - a_M * np.float32(c)
    root = np.sqrt(np.maximum(inside, 0))
    none = inside <= 0
    return np.where(none, np.inf, (-half_b_M - root) / a_M), np.where(none, -np.inf, (-half_b_M + root) / a_M)


def _not_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < 1e-7, np.float32(1e-7), values)
