"""Clips that are hard in a known way, drawn with their true masks: what hides, leaves, shrinks, shakes, cuts and looks alike.

Bodies and textures are those of `sam2.training.scenes` and `sam2.training.solids`; who plays, and what happens to them, is
chosen here. A case's name says all of it: the same case is the same clip.

Legend: T frames, N objects, H, W frame height and width; times in frames, places in shares of the frame's longer side.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sam2.training.clip import Clip
from sam2.training.scenes import scene as drawn
from sam2.training.scenes.bodies import SKIN_SIDE, Body, Place, draw_body, meeting, path
from sam2.training.scenes.lookalikes import alike
from sam2.training.scenes.scene import draw_look
from sam2.training.scenes.textures import texture_HW3
from sam2.training.solids import scene as solid

Random = np.random.Generator
Bools = npt.NDArray[np.bool_]
Image8 = npt.NDArray[np.uint8]

GENERATORS = ("scenes", "solids", "lookalikes")
VARIANTS = ("plain", "occlusion", "exit_return", "shrink", "shake", "cut", "camouflage", "wrong_seed")
KEY = 0x70D6E               # cases share no random numbers with scenes of the same seed
LEAST_PROMPTED = 0.002      # of the frame: what is visible of an object on the first frame
LEAST_VISIBLE = 0.0003
MOST_OBJECTS = 6
TRIES = 10


@dataclass(frozen=True, slots=True)
class Case:
    """One clip to draw: who plays (`generator`), what makes it hard (`variant`), and how long and large it is."""

    generator: str
    variant: str
    seed: int
    num_frames: int = 24
    size_hw: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        for name, value, known in (("generator", self.generator, GENERATORS), ("variant", self.variant, VARIANTS)):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")

    @property
    def name(self) -> str:
        """What the clip is called."""
        height, width = self.size_hw
        return f"{self.generator}-{self.variant}-{self.seed:05d}-{self.num_frames}f-{width}x{height}"


def draw_case(case: Case) -> Clip:
    """Draw a case with the objects that its first frame shows, at most six; anew until there is one."""
    kind = GENERATORS.index(case.generator), VARIANTS.index(case.variant)
    for attempt in range(TRIES):
        random = np.random.default_rng([KEY, *kind, case.seed, attempt])
        frames_THW3, masks_NTHW = (_solids if case.generator == "solids" else _scene)(case, random)
        least = LEAST_PROMPTED * masks_NTHW[0, 0].size if len(masks_NTHW) else 0
        shown = [n for n, mask_THW in enumerate(masks_NTHW) if mask_THW[0].sum() >= least][:MOST_OBJECTS]
        if shown:
            return Clip(frames_THW3, masks_NTHW[shown], case.name)
    raise ValueError(f"{case.name} shows no object on its first frame in {TRIES} tries; take another seed")


def _scene(case: Case, random: Random) -> tuple[Image8, Bools]:
    scene = drawn.lay_out(int(random.integers(1 << 30)), case.num_frames, size_hw=case.size_hw)
    bodies = _twins(case, random) if case.generator == "lookalikes" else _with_more(case, scene.bodies, random)
    scene = replace(scene, bodies=tuple(bodies))
    scene = _HARDER.get(case.variant, _as_it_is)(scene, case, random)
    shots = [scene] * case.num_frames
    if case.variant == "cut":
        first, last = sorted(int(case.num_frames * random.uniform(0.3, 0.9)) for _ in range(2))
        elsewhere = _elsewhere(scene, case, random)
        back = scene if random.random() < 0.5 else elsewhere
        shots = [scene if t < first else elsewhere if t < max(last, first + 3) else back for t in range(case.num_frames)]
    pictures = [drawn.draw_frame(shot, time) for time, shot in enumerate(shots)]
    return np.stack([frame for frame, _ in pictures]), np.stack([masks for _, masks in pictures], axis=1)


def _with_more(case: Case, bodies: Sequence[Body], random: Random) -> list[Body]:
    """Return a scene's own cast and more of its kind, so that one pass over the clip follows about five objects."""
    more = max(0, 5 - sum(body.labelled for body in bodies))
    return [*bodies, *(draw_body(random, case.num_frames, case.size_hw, ()) for _ in range(more))]


def _twins(case: Case, random: Random) -> list[Body]:
    """Return six bodies of two looks; half of them meet one of their own look on the way."""
    kinds = [draw_body(random, case.num_frames, case.size_hw, ()) for _ in range(2)]
    cast: list[Body] = []
    for number in range(MOST_OBJECTS):
        like = kinds[number % 2]
        place = path(random, case.num_frames, case.size_hw)
        if number >= 2 and random.random() < 0.6:
            place = meeting(random, cast[number - 2].place_xy, case.num_frames)
        cast.append(alike(random, like, place))
    return cast


def _still(place_xy: tuple[float, float]) -> Place:
    return lambda _time: place_xy


def _as_it_is(scene: drawn.Scene, _case: Case, _random: Random) -> drawn.Scene:
    return scene


def _hidden(scene: drawn.Scene, case: Case, random: Random) -> drawn.Scene:
    """Put something in front of a place that a body passes, for most bodies."""
    screens = []
    for body in scene.bodies:
        if not body.labelled or random.random() < 0.35:
            continue
        where = body.place_xy(random.uniform(0.3, 0.8) * case.num_frames)
        screens.append(replace(
            draw_body(random, case.num_frames, case.size_hw, ()), place_xy=_still(where),
            radius=body.radius * random.uniform(0.6, 1.4), spin=0.0, growth=0.0, labelled=False,
        ))
    return replace(scene, bodies=(*scene.bodies, *screens))


def _leaving(scene: drawn.Scene, case: Case, random: Random) -> drawn.Scene:
    """Send bodies out of the frame and back; one in four stays away."""
    height, width = np.array(case.size_hw) / max(case.size_hw)

    def way(body: Body) -> Place:
        x, y = body.place_xy(0)
        outward = min((x, (-1.0, 0.0)), (width - x, (1.0, 0.0)), (y, (0.0, -1.0)), (height - y, (0.0, 1.0)))
        reach, out = outward[0] + body.radius * 1.6, random.uniform(0.2, 0.5)
        back = out + random.uniform(0.1, 0.3) if random.random() < 0.75 else 9.0
        ramp = random.uniform(0.15, 0.3)
        slip = random.uniform(-0.15, 0.15)

        def place(time: float) -> tuple[float, float]:
            share = time / max(1, case.num_frames - 1)
            gone = min(1.0, max(0.0, (share - out + ramp) / ramp)) - min(1.0, max(0.0, (share - back) / ramp))
            (dx, dy), drift = outward[1], slip * share
            return x + reach * gone * dx + drift * abs(dy), y + reach * gone * dy + drift * abs(dx)

        return place

    bodies = [replace(b, place_xy=way(b)) if b.labelled and random.random() < 0.8 else b for b in scene.bodies]
    return replace(scene, bodies=tuple(bodies))


def _shrinking(scene: drawn.Scene, _case: Case, random: Random) -> drawn.Scene:
    """Let bodies become three to eight times as narrow within ten frames, and grow again."""
    return replace(scene, bodies=tuple(replace(body, growth=-random.uniform(1.1, 2.1)) for body in scene.bodies))


def _shaken(scene: drawn.Scene, case: Case, random: Random) -> drawn.Scene:
    look = replace(scene.look, shake=random.uniform(0.02, 0.06) * max(case.size_hw), blur=float(random.choice([0.6, 1.2, 2.0])))
    return replace(scene, look=look)


def _camouflaged(scene: drawn.Scene, _case: Case, random: Random) -> drawn.Scene:
    """Clothe bodies in pieces of the ground, a little lighter or darker."""
    rows, columns = scene.ground_HW3.shape[:2]

    def skin() -> Image8:
        top, left = int(random.integers(max(1, rows - SKIN_SIDE))), int(random.integers(max(1, columns - SKIN_SIDE)))
        part = scene.ground_HW3[top : top + SKIN_SIDE, left : left + SKIN_SIDE]
        part = np.pad(part, ((0, SKIN_SIDE - part.shape[0]), (0, SKIN_SIDE - part.shape[1]), (0, 0)), mode="reflect")
        light = 1 + float(random.choice([-1, 1])) * random.uniform(0.08, 0.3)
        clothed: Image8 = np.clip(part * light, 0, 255).astype(np.uint8)
        return clothed

    return replace(scene, bodies=tuple(replace(body, skin_PP3=skin(), shadow=False) for body in scene.bodies))


def _elsewhere(scene: drawn.Scene, case: Case, random: Random) -> drawn.Scene:
    """Return the shot after a cut: another ground and light; a body is at another place or gone, and others have come."""
    ground = texture_HW3(random, scene.ground_HW3.shape[:2])
    bodies = [
        replace(body, place_xy=path(random, case.num_frames, case.size_hw) if random.random() < 0.5 else _still((-9.0, -9.0)))
        for body in scene.bodies
    ]
    bodies += [replace(draw_body(random, case.num_frames, case.size_hw, ()), labelled=False) for _ in range(2)]
    look = draw_look(random, scene.seed, longer=max(case.size_hw), brightness=float(ground.mean()))
    return replace(scene, ground_HW3=ground, bodies=tuple(bodies), look=look)


_HARDER: dict[str, Callable[[drawn.Scene, Case, Random], drawn.Scene]] = {
    "occlusion": _hidden, "exit_return": _leaving, "shrink": _shrinking, "shake": _shaken, "camouflage": _camouflaged,
}


def _solids(case: Case, random: Random) -> tuple[Image8, Bools]:
    wide = case.variant == "exit_return"
    height, width = case.size_hw
    size_hw = (height, width + width // 2) if wide else case.size_hw
    scene = solid.lay_out(int(random.integers(1 << 30)), case.num_frames, size_hw=size_hw)
    if case.variant == "shake":
        scene = replace(scene, tripod=replace(scene.tripod, tremble=random.uniform(0.015, 0.04) * scene.tripod.distance))
    elif case.variant == "shrink":
        dolly, rate = random.uniform(0.5, 0.9), random.uniform(0.1, 0.2)
        scene = replace(scene, tripod=replace(scene.tripod, dolly=dolly, phase=-math.pi / 2, rate=rate))
    elif case.variant == "camouflage":
        scene = replace(scene, bodies=tuple(replace(body, skin=scene.bodies[0].skin) for body in scene.bodies))
    pictures = [solid.draw_frame(scene, time) for time in range(case.num_frames)]
    frames, masks = np.stack([frame for frame, _ in pictures]), np.stack([m for _, m in pictures], axis=1)
    if wide:
        return _panned(frames, masks, width, random)
    if case.variant == "cut":
        return _cut_away(case, frames, masks, random)
    return _swept(frames, masks, random) if case.variant == "occlusion" else (frames, masks)


def _panned(frames_THW3: Image8, masks_NTHW: Bools, width: int, random: Random) -> tuple[Image8, Bools]:
    """Look at a part of the frame that moves to its other side and back."""
    room = frames_THW3.shape[2] - width
    areas_W = masks_NTHW[:, 0].sum(axis=(0, 1))
    begin = 0 if areas_W[:width].sum() >= areas_W[-width:].sum() else room
    waves = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(len(frames_THW3)) / (len(frames_THW3) * random.uniform(0.8, 1.2)))
    lefts = [round(abs(begin - room * float(wave))) for wave in waves]
    return (
        np.stack([frame[:, left : left + width] for frame, left in zip(frames_THW3, lefts, strict=True)]),
        np.stack([masks_NTHW[:, t, :, left : left + width] for t, left in enumerate(lefts)], axis=1),
    )


def _cut_away(case: Case, frames_THW3: Image8, masks_NTHW: Bools, random: Random) -> tuple[Image8, Bools]:
    """Show from some frame on the mirror image, or another scene without the objects; half of the time come back."""
    frames, masks = frames_THW3.copy(), masks_NTHW.copy()
    first, last = sorted(int(case.num_frames * random.uniform(0.3, 0.9)) for _ in range(2))
    stop = max(last, first + 3) if random.random() < 0.5 else case.num_frames
    if random.random() < 0.5:
        frames[first:stop], masks[:, first:stop] = frames_THW3[first:stop, :, ::-1], masks_NTHW[:, first:stop, :, ::-1]
    else:
        other = solid.lay_out(int(random.integers(1 << 30)), case.num_frames, size_hw=case.size_hw)
        for time in range(first, min(stop, case.num_frames)):
            frames[time] = solid.draw_frame(other, time)[0]
        masks[:, first:stop] = False
    return frames, masks


def _swept(frames_THW3: Image8, masks_NTHW: Bools, random: Random) -> tuple[Image8, Bools]:
    """Let a textured slab pass before the scene, from beyond one side to beyond the other."""
    count, height, width = frames_THW3.shape[:3]
    wide = round(width * random.uniform(0.15, 0.45))
    slab = texture_HW3(random, (height, wide))
    begin, end = random.uniform(0.1, 0.3) * count, random.uniform(0.7, 1.0) * count
    frames, masks, leftward = frames_THW3.copy(), masks_NTHW.copy(), random.random() < 0.5
    for time in range(count):
        along = (time - begin) / (end - begin)
        left = round((1 - along if leftward else along) * (width + wide)) - wide
        start, stop = max(left, 0), min(left + wide, width)
        if start < stop:
            frames[time, :, start:stop], masks[:, time, :, start:stop] = slab[:, start - left : stop - left], False
    seen = masks.sum(axis=(2, 3)) >= LEAST_VISIBLE * height * width
    return frames, masks & seen[..., None, None]
