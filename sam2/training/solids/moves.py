"""How solids move: they fall, bounce, roll and knock one another, or swing, circle, shuttle, walk and spin.

A move is a function of the time in frames that returns where a solid is and how it is turned. Nothing here depends on
how long a clip is, so a longer clip of a scene begins with the shorter one.

Legend: N solids, T frames; positions and speeds (x, y, z) in the scene's units and per frame, y up, the floor at y = 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SUBSTEPS = 4


class Pose(NamedTuple):
    """Where a solid is, and its axes as columns: a point q of the solid lies at place_3 + turn_33 @ q."""

    place_3: Floats
    turn_33: Floats


Move = Callable[[float], Pose]


class Launch(NamedTuple):
    """How a solid is let go: from where, how fast, and how it spins."""

    place_3: Floats
    speed_3: Floats
    radius: float
    spin_3: Floats


def turn_by(spin_3: Floats) -> Floats:
    """Return the matrix that turns about the axis `spin_3` by its length in radians."""
    angle = float(np.linalg.norm(spin_3))
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = spin_3 / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def fall(
    launches: Sequence[Launch], *, num_frames: int, gravity: float, spring: float, centre_3: Floats, arena: float
) -> list[Move]:
    """Let solids go at frame 0 and return their moves over `num_frames` frames and one more.

    They fall by `gravity` a frame squared, keep `spring` of their speed when they meet the floor, one another, or the
    fence that stands `arena` around the centre, and roll while they touch the floor.
    """
    places, speeds = np.stack([x.place_3 for x in launches]), np.stack([x.speed_3 for x in launches])
    spins, radii = np.stack([x.spin_3 for x in launches]), np.array([x.radius for x in launches])
    turns = np.tile(np.eye(3), (len(launches), 1, 1))
    film: list[tuple[Floats, Floats, Floats]] = []
    for _ in range(num_frames + 2):
        film.append((places.copy(), turns.copy(), spins.copy()))
        for _ in range(SUBSTEPS):
            speeds[:, 1] -= gravity / SUBSTEPS
            places += speeds / SUBSTEPS
            _meet_floor(places, speeds, spins, radii, spring)
            _meet_fence(places, speeds, spring, centre_3, arena)
            _meet_others(places, speeds, radii, spring)
        turns = np.stack([turn_by(spin) @ turn for spin, turn in zip(spins, turns, strict=True)])
    return [_replay(film, index) for index in range(len(launches))]


def _replay(film: list[tuple[Floats, Floats, Floats]], index: int) -> Move:
    def move(time: float) -> Pose:
        # A shutter opens a little before frame 0 and closes a little after the last one.
        before = min(max(math.floor(time), 0), len(film) - 2)
        part = time - before
        places, turns, spins = film[before]
        place = places[index] + part * (film[before + 1][0][index] - places[index])
        return Pose(place, turn_by(part * spins[index]) @ turns[index])

    return move


def _meet_floor(places_N3: Floats, speeds_N3: Floats, spins_N3: Floats, radii_N: Floats, spring: float) -> None:
    low = places_N3[:, 1] < radii_N
    places_N3[low, 1] = radii_N[low]
    falling = low & (speeds_N3[:, 1] < 0)
    speeds_N3[falling, 1] *= -spring
    speeds_N3[falling] *= (0.995, 1.0, 0.995)
    # A solid that rolls turns about the axis across its way, by its way over its radius.
    rolling = np.stack((speeds_N3[:, 2], np.zeros(len(low)), -speeds_N3[:, 0]), axis=1) / radii_N[:, None]
    spins_N3[falling] += 0.5 * (rolling - spins_N3)[falling]


def _meet_fence(places_N3: Floats, speeds_N3: Floats, spring: float, centre_3: Floats, arena: float) -> None:
    out = (places_N3 - centre_3) * (1, 0, 1)
    far = np.linalg.norm(out, axis=1)
    normals = out / np.maximum(far, 1e-9)[:, None]
    outward = np.einsum("ni,ni->n", speeds_N3, normals)
    turned = (far > arena) & (outward > 0)
    speeds_N3[turned] -= (1 + spring) * outward[turned, None] * normals[turned]


def _meet_others(places_N3: Floats, speeds_N3: Floats, radii_N: Floats, spring: float) -> None:
    masses = radii_N**3
    for first in range(len(radii_N)):
        for second in range(first):
            apart = places_N3[first] - places_N3[second]
            gap = float(np.linalg.norm(apart))
            normal = apart / max(gap, 1e-9)
            closing = float((speeds_N3[first] - speeds_N3[second]) @ normal)
            if gap >= radii_N[first] + radii_N[second] or closing >= 0:
                continue
            push = -(1 + spring) * closing / (1 / masses[first] + 1 / masses[second])
            speeds_N3[first] += push / masses[first] * normal
            speeds_N3[second] -= push / masses[second] * normal


def stand(place_3: Floats, spin_3: Floats, turn_33: Floats) -> Move:
    """Stay at a place and spin there."""
    return lambda time: Pose(place_3, turn_by(time * spin_3) @ turn_33)


def swing(place_3: Floats, *, length: float, heading: float, angle: float, period: float) -> Move:
    """Hang on a cord of that length and swing through `place_3`, the lowest point's neighbour at time 0, as a pendulum does."""
    way = np.array([math.cos(heading), 0.0, math.sin(heading)])

    def at(time: float) -> tuple[Floats, float]:
        lean = angle * math.sin(2 * math.pi * time / period)
        return length * (math.sin(lean) * way + np.array([0.0, 1 - math.cos(lean), 0.0])), lean

    axis = np.array([-way[2], 0.0, way[0]])
    return lambda time: Pose(place_3 + at(time)[0], turn_by(-at(time)[1] * axis))


def circle(place_3: Floats, *, centre_3: Floats, period: float) -> Move:
    """Go round an upright axis through `centre_3`, from `place_3` on, always facing the way."""
    arm = (place_3 - centre_3) * (1, 0, 1)

    def move(time: float) -> Pose:
        turn = turn_by(np.array([0.0, 2 * math.pi * time / period, 0.0]))
        return Pose(place_3 - arm + turn @ arm, turn)

    return move


def shuttle(place_3: Floats, *, reach_3: Floats, period: float, spin_3: Floats) -> Move:
    """Go out by `reach_3` and come back, again and again."""

    def move(time: float) -> Pose:
        out = 0.5 - 0.5 * math.cos(2 * math.pi * time / period)
        return Pose(place_3 + out * reach_3, turn_by(time * spin_3))

    return move


def walk(place_3: Floats, *, heading: float, speed: float, bend: float, hop: float) -> Move:
    """Walk along a bent way with a hop at every step, facing the way."""

    def move(time: float) -> Pose:
        facing = heading + bend * time
        if abs(bend) < 1e-6:
            gone = speed * time * np.array([math.cos(heading), 0.0, -math.sin(heading)])
        else:
            gone = speed / bend * np.array([math.sin(facing) - math.sin(heading), 0.0, math.cos(facing) - math.cos(heading)])
        lift = np.array([0.0, hop * abs(math.sin(0.45 * time)), 0.0])
        return Pose(place_3 + gone + lift, turn_by(np.array([0.0, facing, 0.0])))

    return move
