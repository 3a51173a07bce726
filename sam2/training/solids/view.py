"""Casts rays from a camera into a room of solids: what each pixel meets first, and the light that comes from there.

Light is linear and 1 is white. A pixel is of the solid that the ray through its middle
meets, at the middle of the time that the shutter is open.

Legend: H, W frame height and width, M rays, K points.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sam2.training.solids.forms import Floats, Form
from sam2.training.solids.moves import Move, Pose, turn_by
from sam2.training.solids.skins import TABLE_SIDE, Skin, Tables, look_up

Doubles = npt.NDArray[np.float64]
NOBODY = -1
FARTHEST = 60           # beyond that the floor is haze


@dataclass(frozen=True, slots=True)
class SolidPart:
    """A form that hangs on a body by `arm_3`, from a joint at `root_3` that sways by `sway_3` radians, as a wave."""

    form: Form
    root_3: Doubles
    arm_3: Doubles
    sway_3: Doubles
    rate: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True, slots=True)
class Solid:
    """Parts that move together under one skin. What is not `labelled` is scenery."""

    parts: tuple[SolidPart, ...]
    skin: Skin
    gloss: float
    radius: float           # of the shadow; 0 casts none
    move: Move
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around: a floor, and four walls `reach` from the middle or a sky; the light and the haze in it."""

    floor: Tables
    wall: Tables
    repeat: float
    middle_3: Doubles
    reach: float | None
    sky_23: Floats
    sun_3: Doubles
    sun: float
    haze: float


@dataclass(frozen=True, slots=True)
class Tripod:
    """A camera that looks at a place from a distance; every rate is of a slow wave, so it never runs away."""

    look_at_3: Doubles
    distance: float
    azimuth: float
    height: float
    focal: float
    orbit: float
    pan_3: Doubles
    dolly: float
    tremble: float
    rate: float
    phase: float


class Camera(NamedTuple):
    """Where the eye is, its axes as rows (right, up, forward), and its focal length in pixels."""

    eye_3: Doubles
    axes_33: Doubles
    focal: float


class Layers(NamedTuple):
    """What the rays of a frame meet: its depth along the view, whose body it is, and its light."""

    depth_HW: Floats
    owner_HW: npt.NDArray[np.int16]
    light_HW3: Floats


def camera_at(tripod: Tripod, time: float) -> Camera:
    """Place the camera at a time in frames."""
    wave = math.sin(tripod.rate * time + tripod.phase) - math.sin(tripod.phase)
    shaken = tripod.tremble * np.sin(time * np.array([1.7, 2.3, 1.1]) + 9 * tripod.phase)
    azimuth, distance = tripod.azimuth + tripod.orbit * wave, tripod.distance * math.exp(tripod.dolly * wave)
    target = tripod.look_at_3 + wave * tripod.pan_3 + shaken
    eye = tripod.look_at_3 + np.array([math.sin(azimuth) * distance, tripod.height, math.cos(azimuth) * distance])
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    return Camera(eye, np.stack((right, np.cross(right, forward), forward)), tripod.focal)


def rays_HW3(camera: Camera, size_hw: tuple[int, int]) -> Floats:
    """Return the ray through each pixel's middle, of length 1 along the view."""
    height, width = size_hw
    x = ((np.arange(width) + 0.5 - width / 2) / camera.focal)[None, :, None]
    y = ((height / 2 - np.arange(height) - 0.5) / camera.focal)[:, None, None]
    right, up, forward = camera.axes_33
    return (forward + x * right + y * up).astype(np.float32)


def cast(bodies: tuple[Solid, ...], around: Surroundings, camera: Camera, time: float, size_hw: tuple[int, int]) -> Layers:
    """Find what every pixel sees at a time in frames."""
    rays = rays_HW3(camera, size_hw)
    poses = [body.move(time) for body in bodies]
    balls = [(pose.place_3, body.radius) for pose, body in zip(poses, bodies, strict=True) if body.radius]
    depth_HW, light_HW3 = _backdrop(around, camera, rays, balls)
    layers = Layers(depth_HW, np.full(size_hw, NOBODY, np.int16), light_HW3)
    # The near ones first: what they hide is not shaded.
    for index in sorted(range(len(bodies)), key=lambda i: float(np.linalg.norm(poses[i].place_3 - camera.eye_3))):
        for part in bodies[index].parts:
            _cast_part(layers, index, bodies[index], part, poses[index], around, camera, rays, time)
    if around.haze:
        clear = np.exp(-around.haze * np.minimum(layers.depth_HW, 1e3))[..., None]
        layers.light_HW3[:] = clear * layers.light_HW3 + (1 - clear) * around.sky_23[0]
    return layers


def _cast_part(
    layers: Layers, index: int, body: Solid, part: SolidPart, pose: Pose, around: Surroundings, camera: Camera,
    rays: Floats, time: float,
) -> None:
    """Draw one part over whatever lies farther away."""
    joint = turn_by(part.sway_3 * math.sin(part.rate * time + part.phase))
    place = pose.place_3 + pose.turn_33 @ (part.root_3 + joint @ part.arm_3)
    window = _window(camera, place, part.form.reach, rays.shape[:2])
    if window is None:
        return
    turn = (pose.turn_33 @ joint).astype(np.float32)
    origin = ((camera.eye_3 - place) @ turn).astype(np.float32)
    ways_M3 = rays[window].reshape(-1, 3) @ turn
    depth_HW, owner_HW, light_HW3 = layers.depth_HW[window], layers.owner_HW[window], layers.light_HW3[window]
    struck = part.form.strike(origin, ways_M3, time)
    nearer = np.flatnonzero(struck < depth_HW.reshape(-1))
    if not len(nearer):
        return
    at = np.unravel_index(nearer, depth_HW.shape)
    points_K3 = origin + struck[nearer, None] * ways_M3[nearer]
    normals_K3 = part.form.normal(points_K3, time) @ turn.T
    normals_K3 /= np.maximum(np.linalg.norm(normals_K3, axis=1, keepdims=True), 1e-9)
    depth_HW[at], owner_HW[at] = struck[nearer], index
    light_HW3[at] = _lit(body.skin(points_K3), normals_K3, rays[window][at], body.gloss, around)


def _lit(colours_K3: Floats, normals_K3: Floats, rays_K3: Floats, gloss: float, around: Surroundings) -> Floats:
    """Light from the whole sky, from the sun, and the sun's glint."""
    toward = around.sun_3.astype(np.float32)
    straight = np.maximum(normals_K3 @ toward, 0)
    sky = (1 - around.sun) * (0.7 + 0.3 * normals_K3[:, 1])
    light = colours_K3 * (sky + around.sun * straight)[:, None]
    if gloss:
        halfway = toward - rays_K3 / np.linalg.norm(rays_K3, axis=1, keepdims=True)
        halfway /= np.maximum(np.linalg.norm(halfway, axis=1, keepdims=True), 1e-6)
        light = light + (gloss * np.maximum(np.einsum("ki,ki->k", halfway, normals_K3), 0) ** 40 * (straight > 0))[:, None]
    return light.astype(np.float32)


def _window(camera: Camera, place_3: Doubles, reach: float, size_hw: tuple[int, int]) -> tuple[slice, slice] | None:
    """Return the part of the frame that a ball can be seen in, or None."""
    x, y, z = camera.axes_33 @ (place_3 - camera.eye_3)
    if z < -reach:
        return None
    spans = []
    for across, side in ((-y, size_hw[0]), (x, size_hw[1])):
        far = math.hypot(across, z)
        if far <= reach * 1.01:
            low, high = -math.inf, math.inf
        else:
            middle, half = math.atan2(across, z), math.asin(reach / far)
            low = math.tan(middle - half) if middle - half > -1.5 else -math.inf
            high = math.tan(middle + half) if middle + half < 1.5 else math.inf
        first = max(0, math.floor(max(low * camera.focal, -side) + side / 2) - 1)
        last = min(side, math.ceil(min(high * camera.focal, side) + side / 2) + 1)
        if first >= last:
            return None
        spans.append(slice(first, last))
    return spans[0], spans[1]


def _backdrop(around: Surroundings, camera: Camera, rays: Floats, balls: list[tuple[Doubles, float]]) -> tuple[Floats, Floats]:
    """Return depth and light of floor, walls and sky."""
    eye, rays_M3 = camera.eye_3.astype(np.float32), rays.reshape(-1, 3)
    falling = rays_M3[:, 1] < -1e-6
    depth_M = np.where(falling, eye[1] / np.where(falling, -rays_M3[:, 1], 1), np.float32(np.inf))
    light_M3 = np.empty_like(rays_M3)
    if around.reach is not None:
        floor = _walls(around, around.reach, eye, camera.focal, rays_M3, depth_M, light_M3)
    else:
        floor = np.flatnonzero(depth_M < FARTHEST)
        sky = np.flatnonzero(depth_M >= FARTHEST)
        depth_M[sky] = np.inf
        light_M3[sky] = _sky(around, rays_M3[sky])
    floor_K = depth_M[floor]
    points = eye + floor_K[:, None] * rays_M3[floor]
    coarse = floor_K * np.sqrt(np.maximum(floor_K / eye[1], 1)) * np.float32(TABLE_SIDE / around.repeat / camera.focal)
    colours = look_up(around.floor, points[:, 0] / around.repeat, points[:, 2] / around.repeat, coarse)
    sun = np.float32(around.sun * around.sun_3[1]) * _shade(points, balls, around.sun_3)
    light_M3[floor] = colours * (1 - around.sun + sun)[:, None]
    return depth_M.reshape(rays.shape[:2]), light_M3.reshape(rays.shape)


def _sky(around: Surroundings, rays_K3: Floats) -> Floats:
    """Clouds over a sky that goes from one colour at the horizon to another above."""
    climb = np.clip(rays_K3[:, 1] / np.linalg.norm(rays_K3, axis=1), 0, 1)
    heading = np.arctan2(rays_K3[:, 0], rays_K3[:, 2]) / np.float32(math.pi)
    cloud = look_up(around.wall, heading, 1.5 * climb, np.full(len(climb), 2.0, np.float32))
    low, high = around.sky_23
    return (low + (high - low) * np.sqrt(climb)[:, None]) * np.float32(0.75) + np.float32(0.25) * cloud


def _walls(
    around: Surroundings, reach: float, eye: Floats, focal: float, rays_M3: Floats, depth_M: Floats, light_M3: Floats
) -> npt.NDArray[np.intp]:
    """Draw the walls where they are nearer than the floor; return the rays that meet the floor."""
    on_floor = np.ones(len(depth_M), np.bool_)
    for axis, other in ((0, 2), (2, 0)):
        way = np.where(np.abs(rays_M3[:, axis]) < 1e-6, np.float32(1e-6), rays_M3[:, axis])
        struck = (np.sign(way) * reach + float(around.middle_3[axis]) - eye[axis]) / way
        wall = np.flatnonzero(struck < depth_M)
        on_floor[wall] = False
        depth_K, toward_K = struck[wall], -np.sign(way[wall])
        depth_M[wall] = depth_K
        points = eye + depth_K[:, None] * rays_M3[wall]
        coarse = depth_K * np.float32(TABLE_SIDE / around.repeat / focal)
        colours = look_up(around.wall, points[:, 1] / around.repeat, points[:, other] / around.repeat, coarse)
        straight = np.maximum(toward_K * float(around.sun_3[axis]), 0)
        light_M3[wall] = colours * (0.8 * (1 - around.sun) + around.sun * straight)[:, None]
    return np.flatnonzero(on_floor)


def _shade(points_K3: Floats, balls: list[tuple[Doubles, float]], sun_3: Doubles) -> Floats:
    """Return what share of the sun reaches points of the floor past balls, with a soft edge."""
    left_K = np.ones(len(points_K3), np.float32)
    slope = np.array([sun_3[0], sun_3[2]]) / sun_3[1]
    along = slope / max(float(np.linalg.norm(slope)), 1e-6)
    for place, radius in balls:
        foot = np.array([place[0], place[2]]) - slope * place[1]
        x, z = points_K3[:, 0] - np.float32(foot[0]), points_K3[:, 2] - np.float32(foot[1])
        lengthwise = (x * np.float32(along[0]) + z * np.float32(along[1])) * np.float32(sun_3[1])
        sideways = x * np.float32(-along[1]) + z * np.float32(along[0])
        apart = np.sqrt(lengthwise**2 + sideways**2) / np.float32(radius)
        left_K *= np.clip(2.4 * apart - 1.4, 0.15, 1)
    return left_K
