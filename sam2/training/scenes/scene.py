"""Scenes drawn by formula: textured objects that move, deform, cross, hide, leave and return before a moving camera.

One number names a scene; its pictures and its true masks follow from it. Masks are of what can be seen: an object
loses what another one covers.

Legend: T frames, N objects, H, W frame height and width in pixels.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from sam2.training.clip import Clip
from sam2.training.scenes.bodies import SKIN_SIDE, Body, draw_body, meeting, path, screen
from sam2.training.scenes.textures import Floats, Image8, texture_HW3

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
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=look.jpeg)
        image = Image.open(buffer)
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


SKIN_REACH = 2.0            # of the object's units: where a skin ends
LEAST_VISIBLE = 0.0003      # of the frame: fewer pixels than that show nothing that a person would mark
LEAST_PROMPTED = 0.0025     # of the frame: what is visible of an object on the frame that it is prompted on
FINE = 2                    # masks are drawn this much larger, and an edge pixel is covered in part
TRIES = 20
MOST_LABELLED = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a scene's seed decided; bodies from the farthest to the nearest."""

    seed: int
    num_frames: int
    size_hw: tuple[int, int]
    ground_HW3: Image8
    bodies: tuple[Body, ...]
    look: Look


@dataclass(frozen=True, slots=True)
class Scenes:
    """A source of clips: scenes `first` to `first + count - 1`, drawn when they are asked for."""

    count: int
    first: int = 0
    size_hw: tuple[int, int] = (256, 256)
    stills: tuple[Image8, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return self.count

    def clip(self, index: int, num_frames: int) -> Clip:
        """Draw scene `first + index`, with only those objects that the first frame shows well."""
        if not 0 <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}: expected 0 to {self.count - 1}")
        return draw_clip(self.first + index, num_frames, size_hw=self.size_hw, stills=self.stills)


def draw_clip(
    seed: int, num_frames: int, *, size_hw: tuple[int, int] = (256, 256), stills: Sequence[Image8] = ()
) -> Clip:
    """Draw the frames and masks of one scene; it is laid out anew until its first frame shows an object well."""
    if num_frames < 1 or min(size_hw) < 32:
        raise ValueError(f"num_frames={num_frames}, size_hw={size_hw}: expected at least 1 frame of at least 32 pixels a side")
    for attempt in range(TRIES):
        scene = lay_out(seed, num_frames, size_hw=size_hw, stills=stills, attempt=attempt)
        least = LEAST_PROMPTED * size_hw[0] * size_hw[1]
        shown = np.flatnonzero(masks_at(scene, 0)[0].sum(axis=(1, 2)) >= least)
        if len(shown):
            break
    else:
        raise ValueError(f"scene {seed} shows no object on its first frame in {TRIES} tries; take another seed")
    drawn = [draw_frame(scene, time) for time in range(num_frames)]
    masks_NTHW = np.stack([masks for _, masks in drawn], axis=1)[shown]
    return Clip(np.stack([frame for frame, _ in drawn]), masks_NTHW, f"scene {seed}")


def lay_out(
    seed: int, num_frames: int, *, size_hw: tuple[int, int], stills: Sequence[Image8] = (), attempt: int = 0
) -> Scene:
    """Choose everything about a scene from its seed."""
    random = np.random.default_rng([seed, attempt])
    ground_hw = (round(size_hw[0] * 1.5), round(size_hw[1] * 1.5))
    ground = texture_HW3(random, ground_hw, stills)
    bodies = [draw_body(random, num_frames, size_hw, stills) for _ in range(random.choice(4, p=[0.25, 0.35, 0.25, 0.15]) + 1)]
    if len(bodies) > 1 and random.random() < 0.4:
        bodies[1] = replace(bodies[1], place_xy=meeting(random, bodies[0].place_xy, num_frames))
    if random.random() < 0.4:
        labelled = bool(len(bodies) < MOST_LABELLED and random.random() < 0.5)
        twin = replace(bodies[0], labelled=labelled, place_xy=path(random, num_frames, size_hw))
        bodies.append(replace(twin, angle=random.uniform(0, 2 * math.pi), radius=twin.radius * random.uniform(0.8, 1.2)))
    random.shuffle(bodies)
    if random.random() < 0.5:
        bodies.append(screen(random, bodies, num_frames, size_hw, stills))
    look = draw_look(random, seed, longer=max(size_hw), brightness=float(ground.mean()))
    return Scene(seed, num_frames, size_hw, ground, tuple(bodies), look)


def draw_frame(scene: Scene, time: float) -> tuple[Image8, npt.NDArray[np.bool_]]:
    """Return the picture (H, W, 3) and the masks (N, H, W) of the labelled bodies at a time in frames."""
    view = camera(scene.look, time, scene.size_hw)
    masks_NHW, alphas = masks_at(scene, time)
    canvas = warp(scene.ground_HW3, view @ _ground_pose(scene), scene.size_hw).astype(np.float32)
    for body, alpha_HW in zip(scene.bodies, alphas, strict=True):
        _paint(canvas, scene, body, alpha_HW, view @ _pose(body, time, scene.size_hw))
    return develop(canvas, scene.look, time), masks_NHW


def masks_at(scene: Scene, time: float) -> tuple[npt.NDArray[np.bool_], list[Floats]]:
    """Return what is visible of each labelled body (N, H, W), and the coverage in [0, 1] of every body (H, W)."""
    view = camera(scene.look, time, scene.size_hw)
    alphas = [_coverage(body, time, view @ _pose(body, time, scene.size_hw), scene.size_hw) for body in scene.bodies]
    free_HW = np.ones(scene.size_hw, np.bool_)
    visible: list[npt.NDArray[np.bool_]] = []
    for body, alpha_HW in zip(reversed(scene.bodies), reversed(alphas), strict=True):
        inside = alpha_HW >= 0.5
        if body.labelled:
            mask = inside & free_HW
            visible.append(mask & (mask.sum() >= LEAST_VISIBLE * mask.size))
        free_HW &= ~inside
    return np.stack(visible[::-1]), alphas


def _pose(body: Body, time: float, size_hw: tuple[int, int]) -> Matrix:
    """Return the matrix from a body's own units to the scene's pixels."""
    longer = max(size_hw)
    x, y = body.place_xy(time)
    scale = body.radius * longer * math.exp(body.growth * math.sin(0.15 * time))
    return shift(x * longer, y * longer) @ similar(scale, body.angle + body.spin * time)


def _ground_pose(scene: Scene) -> Matrix:
    height, width = scene.size_hw
    rows, columns = scene.ground_HW3.shape[:2]
    return shift((width - columns) / 2, (height - rows) / 2)


def _coverage(body: Body, time: float, pose: Matrix, size_hw: tuple[int, int]) -> Floats:
    height, width = size_hw
    canvas = Image.new("L", (width * FINE, height * FINE), 0)
    draw = ImageDraw.Draw(canvas)
    for contour in body.outline(time):
        xy_P2 = (contour.xy_P2 @ pose[:2, :2].T + pose[:2, 2]) * FINE
        draw.polygon([(float(x), float(y)) for x, y in xy_P2], fill=255 if contour.filled else 0)
    return np.asarray(canvas.reduce(FINE), np.float32) / 255


def _paint(canvas_HW3: Floats, scene: Scene, body: Body, alpha_HW: Floats, pose: Matrix) -> None:
    """Lay a body's skin over the canvas where it covers it, its shadow first."""
    rows, columns = np.flatnonzero(alpha_HW.any(axis=1)), np.flatnonzero(alpha_HW.any(axis=0))
    if not len(rows):
        return
    if body.shadow:
        drop = max(1, round(0.15 * body.radius * max(scene.size_hw)))
        canvas_HW3[drop:, drop:] *= 1 - 0.5 * alpha_HW[:-drop, :-drop, None]
    top, left, size_hw = rows[0], columns[0], (rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0])
    skin_to_body = similar(2 * SKIN_REACH / SKIN_SIDE, 0.0) @ shift(-SKIN_SIDE / 2, -SKIN_SIDE / 2)
    skin = warp(body.skin_PP3, shift(-left, -top) @ pose @ skin_to_body, size_hw)
    part = np.s_[top : top + size_hw[0], left : left + size_hw[1]]
    alpha = alpha_HW[part][..., None]
    canvas_HW3[part] += alpha * (skin - canvas_HW3[part])
