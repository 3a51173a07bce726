"""Chooses who plays in a scene of solids, how they move, where the camera stands, and in what light.

Sizes and places are chosen as the camera sees them on the first frame, then put into space.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sam2.training.solids.forms import (
    LETTERS,
    Cylinder,
    Ellipsoid,
    Form,
    Letter,
    Random,
    box,
    cut_stone,
    droplets,
    pyramid,
    torus,
)
from sam2.training.solids.moves import Launch, Move, circle, fall, shuttle, stand, swing, turn_by, walk
from sam2.training.solids.skins import draw_skin, draw_tables, paint
from sam2.training.solids.view import Camera, Doubles, Solid, SolidPart, Surroundings, Tripod, camera_at

NOWHERE = np.zeros(3)


def draw_tripod(random: Random, size_hw: tuple[int, int]) -> Tripod:
    """Choose where the camera stands and how it moves."""
    distance = random.uniform(4, 9)
    moves = (random.random(4) < (0.5, 0.45, 0.45, 0.6)) & (random.random() < 0.75)      # else it stands still
    pan = random.normal(0, 0.08, 3) * distance * moves[1]
    return Tripod(
        look_at_3=np.array([0.0, random.uniform(0.1, 0.9), 0.0]), distance=distance, azimuth=random.uniform(0, 2 * math.pi),
        height=distance * random.choice([random.uniform(0.08, 0.3), random.uniform(0.3, 0.9), random.uniform(0.9, 1.8)]),
        focal=max(size_hw) * random.uniform(0.8, 1.5), orbit=moves[0] * random.normal(0, 0.35), pan_3=pan,
        dolly=moves[2] * random.normal(0, 0.12), tremble=moves[3] * random.uniform(0, 0.012) * distance,
        rate=random.uniform(0.06, 0.2), phase=random.uniform(0, 2 * math.pi),
    )


def draw_surroundings(random: Random, tripod: Tripod) -> Surroundings:
    """Choose floor, walls or sky, and the light."""
    lean, around = random.uniform(0.5, 1.2), random.uniform(0, 2 * math.pi)
    sun = np.array([math.cos(lean) * math.cos(around), math.sin(lean), math.cos(lean) * math.sin(around)])
    indoors = random.random() < 0.55
    outermost = tripod.distance * math.exp(abs(tripod.dolly) * 2)
    return Surroundings(
        floor=draw_tables(random), wall=draw_tables(random), repeat=random.uniform(1.5, 6),
        middle_3=NOWHERE, reach=outermost * random.uniform(1.1, 1.8) if indoors else None,
        sky_23=np.stack((paint(random, 0.4) * 0.5 + 0.4, paint(random, 0.7) * 0.6 + 0.2)),
        sun_3=sun, sun=random.uniform(0.3, 0.75), haze=0.0 if indoors else float(random.choice([0.0, 0.01, 0.04])),
    )


def draw_bodies(random: Random, tripod: Tripod, size_hw: tuple[int, int], num_frames: int) -> tuple[Solid, ...]:
    """Choose 1 to 4 objects and how they move, and scenery: a look-alike, clutter, pillars to hide behind."""
    camera = camera_at(tripod, 0)
    count = int(random.choice(4, p=[0.2, 0.35, 0.25, 0.2])) + 1
    cast = [_draw_body(random, camera, size_hw) for _ in range(count)]
    if random.random() < 0.35:
        cast.append(replace(cast[0], labelled=bool(random.random() < 0.5) and count < 4))
    cast += [replace(_draw_body(random, camera, size_hw), labelled=False) for _ in range(int(random.integers(0, 3)))]
    places = _apart(random, cast, camera, size_hw)
    moves = _draw_moves(random, cast, places, tripod, num_frames)
    bodies = [replace(body, move=move) for body, move in zip(cast, moves, strict=True)]
    if random.random() < 0.45:
        bodies += [_pillar(random, bodies[0], camera) for _ in range(int(random.integers(1, 3)))]
    return tuple(bodies)


def _draw_body(random: Random, camera: Camera, size_hw: tuple[int, int]) -> Solid:
    """Choose a body that looks 8 to 56 percent of the frame wide from where the camera looks at, resting for now."""
    far = -float(camera.eye_3 @ camera.axes_33[2])
    pixels = max(size_hw) * math.exp(random.uniform(math.log(0.04), math.log(0.28)))
    radius = pixels * far / camera.focal
    kind = random.choice(7, p=[0.16, 0.14, 0.1, 0.14, 0.12, 0.16, 0.18])
    match kind:
        case 6:
            parts = _creature(random, radius)
        case 5:
            parts = _thing(random, radius)
        case _:
            parts = (_alone(_form(random, kind, radius)),)
    return Solid(
        parts=parts, skin=draw_skin(random, radius), gloss=float(random.choice([0.0, 0.0, 0.2, 0.5])), radius=radius,
        move=stand(NOWHERE, NOWHERE, np.eye(3)),
    )


def _form(random: Random, kind: int, radius: float) -> Form:
    sides = np.exp(random.uniform(-0.5, 0.1, 3)).astype(np.float32) * np.float32(radius)
    match kind:
        case 0:
            return Ellipsoid(sides if random.random() < 0.5 else np.full(3, radius, np.float32))
        case 1:
            return (box(sides * 0.8), cut_stone(random, radius), pyramid(random, radius))[random.integers(3)]
        case 2:
            return Cylinder(radius * random.uniform(0.3, 0.8), radius * random.uniform(0.3, 0.9))
        case 3:
            return Letter(LETTERS[random.integers(len(LETTERS))], radius, radius * random.uniform(0.15, 0.4))
        case _:
            return droplets(random, radius) if random.random() < 0.65 else torus(radius, radius * random.uniform(0.2, 0.4))


def _alone(form: Form) -> SolidPart:
    return SolidPart(form, NOWHERE, NOWHERE, NOWHERE)


def _creature(random: Random, radius: float) -> tuple[SolidPart, ...]:
    """A trunk, a head and limbs that swing in turn."""
    trunk = np.array([random.uniform(0.45, 0.75), random.uniform(0.3, 0.5), random.uniform(0.3, 0.45)]) * radius
    head = random.uniform(0.2, 0.35) * radius
    parts = [_alone(Ellipsoid(trunk.astype(np.float32)))]
    neck = np.array([trunk[0] + 0.5 * head, trunk[1] * random.uniform(0.2, 1.2), 0.0])
    parts.append(SolidPart(Ellipsoid(np.full(3, head, np.float32)), NOWHERE, neck, np.array([0.0, 0.2, 0.2]), 0.5, 1.0))
    length, thick = random.uniform(0.25, 0.5) * radius, random.uniform(0.08, 0.16) * radius
    limb = Ellipsoid(np.array([thick, length, thick], np.float32))
    rate, sway = random.uniform(0.3, 0.8), np.array([0.0, 0.0, random.uniform(0.3, 0.9)])
    for number in range(2 * int(random.integers(1, 4))):
        side = -1 if number % 2 else 1
        root = np.array([trunk[0] * random.uniform(-0.8, 0.8), -0.5 * trunk[1], side * 0.6 * trunk[2]])
        parts.append(SolidPart(limb, root, np.array([0.0, -0.8 * length, 0.0]), sway, rate, math.pi * number * 0.75))
    return tuple(parts)


def _thing(random: Random, radius: float) -> tuple[SolidPart, ...]:
    """Two or three forms on one another: a dumbbell, a lamp, a toy."""
    parts, up = [], -0.6 * radius
    for _ in range(int(random.integers(2, 4))):
        size = radius * random.uniform(0.3, 0.55)
        parts.append(SolidPart(_form(random, int(random.integers(3)), size), NOWHERE, np.array([0.0, up, 0.0]), NOWHERE))
        up += size * random.uniform(0.7, 1.2)
    return tuple(parts)


def _apart(random: Random, cast: Sequence[Solid], camera: Camera, size_hw: tuple[int, int]) -> list[Doubles]:
    """Choose a place in view for each body, standing on the floor or above it; bodies do not start inside one another."""
    places: list[Doubles] = []
    for body in cast:
        for _ in range(12):
            place = _in_view(random, body.radius, camera, size_hw)
            if all(np.linalg.norm(place - p) > 0.9 * (body.radius + b.radius) for p, b in zip(places, cast, strict=False)):
                break
        places.append(place)
    return places


def _in_view(random: Random, radius: float, camera: Camera, size_hw: tuple[int, int]) -> Doubles:
    """Return a place whose middle the camera sees, from 0.6 to 1.5 times as far as what it looks at."""
    far = -float(camera.eye_3 @ camera.axes_33[2]) * random.uniform(0.6, 1.5)
    x, y = random.uniform(-0.42, 0.42, 2) * (size_hw[1], size_hw[0]) / camera.focal
    ray = camera.axes_33[2] + x * camera.axes_33[0] + y * camera.axes_33[1]
    place = camera.eye_3 + far * ray
    under = radius - camera.eye_3[1]
    if place[1] < radius or random.random() < 0.5:      # onto the floor, along the line of sight where there is floor
        place = camera.eye_3 + under / ray[1] * ray if ray[1] < -0.1 and under / ray[1] < 2.2 * far else place
        place[1] = max(place[1], radius)
    return np.asarray(place)


def _draw_moves(
    random: Random, cast: Sequence[Solid], places: Sequence[Doubles], tripod: Tripod, num_frames: int
) -> list[Move]:
    """Choose how each body moves; those that fall meet one another."""
    span = tripod.distance
    launches = [
        Launch(
            place, random.normal(0, 1, 3) * (0.03, 0.02, 0.03) * span * random.choice([0.3, 1.0, 1.5]), 0.8 * body.radius,
            random.normal(0, 0.12, 3) * random.choice([0.0, 1.0]),
        )
        for place, body in zip(places, cast, strict=True)
    ]
    fallen = fall(
        launches, num_frames=num_frames, gravity=span * random.uniform(0.0005, 0.004), spring=random.uniform(0.5, 0.95),
        centre_3=NOWHERE, arena=span * random.uniform(0.4, 0.8),
    )
    return [
        move if random.random() < 0.35 else _own_move(random, body, place, tripod)
        for body, place, move in zip(cast, places, fallen, strict=True)
    ]


def _own_move(random: Random, body: Solid, place: Doubles, tripod: Tripod) -> Move:
    """Choose a move that minds nobody else."""
    span, spin = tripod.distance, random.normal(0, 0.08, 3) * random.choice([0.0, 1.0])
    across = camera_at(tripod, 0).axes_33[0] * random.choice([-1, 1])
    match random.choice(5, p=[0.16, 0.16, 0.18, 0.28, 0.22]):
        case 0:
            return stand(place, spin, turn_by(np.array([0.0, random.uniform(0, 6), 0.0])))
        case 1:
            return swing(
                place, length=random.uniform(0.2, 0.6) * span, heading=random.uniform(0, 2 * math.pi),
                angle=random.uniform(0.3, 0.9), period=random.uniform(16, 50),
            )
        case 2:
            centre = place + random.normal(0, 0.25, 3) * (1, 0, 1) * span
            return circle(place, centre_3=centre, period=random.choice([-1, 1]) * random.uniform(18, 70))
        case 3:
            out = across * span * random.uniform(0.3, 1.1) + random.normal(0, 0.15, 3) * (1, 0, 1) * span
            return shuttle(place, reach_3=out, period=random.uniform(14, 44), spin_3=spin)
        case _:
            return walk(
                place, heading=random.uniform(0, 2 * math.pi), speed=random.uniform(0.005, 0.03) * span,
                bend=random.normal(0, 0.06), hop=random.choice([0.0, 0.2]) * body.radius,
            )


def _pillar(random: Random, body: Solid, camera: Camera) -> Solid:
    """Return something upright that stands between the camera and a place where a body will be, not where it starts."""
    later, now = body.move(float(random.integers(4, 14))).place_3, body.move(0).place_3
    share = random.uniform(0.45, 0.8)
    foot = camera.eye_3 + share * (later - camera.eye_3)
    if np.linalg.norm(later - now) < 1.5 * body.radius:
        foot += camera.axes_33[0] * body.radius * random.choice([-1, 1]) * 1.5
    wide, high = body.radius * random.uniform(0.4, 1.1) * share, camera.eye_3[1] * random.uniform(0.3, 0.7)
    half = max(high, body.radius * 1.5)
    upright: Form = Cylinder(wide, half)
    if random.random() < 0.5:
        upright = box(np.array([wide, half, 0.6 * wide], np.float32))
    place = np.array([foot[0], half, foot[2]])
    turn = turn_by(np.array([0.0, random.uniform(0, 3), 0.0]))
    return Solid((_alone(upright),), draw_skin(random, half), 0.0, 0.0, stand(place, NOWHERE, turn), labelled=False)
