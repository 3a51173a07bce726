"""A second kind of scenes, to measure with and never to train on: solids in space, seen by a camera that moves.

Nothing here is shared with `scenes`: rays are cast at solids that fall, roll, swing, circle and walk over a floor,
behind pillars and behind one another. One number names a scene, and a longer clip of it begins with the shorter one.

Legend: T frames, N objects, H, W frame height and width in pixels.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sam2.training.clip import Clip
from sam2.training.solids.cast import draw_bodies, draw_surroundings, draw_tripod
from sam2.training.solids.lens import Floats, Image8, Lens, develop, draw_lens
from sam2.training.solids.view import Solid, Surroundings, Tripod, camera_at, cast

LEAST_VISIBLE = 0.0003      # of the frame: fewer pixels than that show nothing that a person would mark
LEAST_PROMPTED = 0.0025     # of the frame: what is visible of an object on the first frame
LEAST_CONTRAST = 7.0        # levels of 255: less between an object and what is around it, and nobody finds its edge
MOST_OF_FRAME = 0.45        # what covers more of the first frame stands too near the eye
TRIES = 30
KEY = 0x50D1D               # its scenes share no random numbers with others of the same seed

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SolidScene:
    """Everything that a scene's seed decided. `labels` are the bodies that the first frame shows well."""

    seed: int
    size_hw: tuple[int, int]
    bodies: tuple[Solid, ...]
    around: Surroundings
    tripod: Tripod
    lens: Lens
    labels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Solids:
    """A source of clips: scenes `first` to `first + count - 1`, drawn when they are asked for."""

    count: int
    first: int = 0
    size_hw: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        if self.count < 1 or self.first < 0:
            raise ValueError(f"count={self.count}, first={self.first}: expected at least 1 scene, numbered from 0 on")

    def __len__(self) -> int:
        return self.count

    def clip(self, index: int, num_frames: int) -> Clip:
        """Draw scene `first + index`, with only those objects that the first frame shows well; IndexError beyond the last."""
        if not 0 <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}")
        return draw_solids(self.first + index, num_frames, size_hw=self.size_hw)


def draw_solids(seed: int, num_frames: int, *, size_hw: tuple[int, int] = (256, 256)) -> Clip:
    """Draw the frames and the visible masks of one scene."""
    scene = lay_out(seed, num_frames, size_hw=size_hw)
    drawn = [draw_frame(scene, time) for time in range(num_frames)]
    return Clip(np.stack([frame for frame, _ in drawn]), np.stack([masks for _, masks in drawn], axis=1), f"solids {seed}")


def lay_out(seed: int, num_frames: int, *, size_hw: tuple[int, int] = (256, 256)) -> SolidScene:
    """Choose everything about a scene; anew until its first frame shows an object well."""
    if seed < 0 or num_frames < 1 or min(size_hw) < 32:
        raise ValueError(
            f"seed={seed}, num_frames={num_frames}, size_hw={size_hw}: expected a seed of 0 or more, "
            "and at least 1 frame of at least 32 pixels a side"
        )
    for attempt in range(TRIES):
        random = np.random.default_rng([KEY, seed, attempt])
        tripod = draw_tripod(random, size_hw)
        around = draw_surroundings(random, tripod)
        bodies = draw_bodies(random, tripod, size_hw, num_frames)
        scene = _exposed(SolidScene(seed, size_hw, bodies, around, tripod, draw_lens(random)))
        if scene.labels:
            return scene
    raise ValueError(f"solids {seed} shows no object on its first frame in {TRIES} tries; take another seed")


def draw_frame(scene: SolidScene, time: float) -> tuple[Image8, Masks]:
    """Return the picture (H, W, 3) and the masks (N, H, W) of the labelled bodies at a time in frames."""
    owner_HW, light_HW3 = _exposure(scene, time)
    random = np.random.default_rng([KEY, scene.seed, round(time * 1000), 1])
    masks = np.stack([owner_HW == label for label in scene.labels])
    visible = masks.sum(axis=(1, 2)) >= LEAST_VISIBLE * masks[0].size
    return develop(light_HW3, scene.lens, time, random), masks & visible[:, None, None]


def contrast(picture_HW3: Image8, mask_HW: Masks) -> float:
    """Return how far, in levels, a mask's rim is from its surroundings: in colour, or in how much the colour varies."""
    near, rim = mask_HW, mask_HW
    for _ in range(3):
        near, rim = _grown(near), ~_grown(~rim)
    inside, outside = picture_HW3[mask_HW & ~rim].astype(np.float32), picture_HW3[near & ~mask_HW].astype(np.float32)
    if not len(inside) or not len(outside):
        return math.inf
    colour = np.abs(inside.mean(axis=0) - outside.mean(axis=0)).max()
    return float(max(colour, np.abs(inside.std(axis=0) - outside.std(axis=0)).max()))


def _exposed(scene: SolidScene) -> SolidScene:
    """Set the exposure by the first frame, as cameras do, and label what that frame shows well."""
    owner_HW, light_HW3 = _exposure(scene, 0)
    exposure = scene.lens.exposure / max(float(light_HW3.mean()), 1e-3)
    lens = replace(scene.lens, exposure=exposure)
    picture = develop(light_HW3, replace(lens, grain=0.0), 0, np.random.default_rng(0))
    labels: list[int] = []
    if max((float((owner_HW == index).mean()) for index in range(len(scene.bodies))), default=1.0) > MOST_OF_FRAME:
        return scene
    for index, body in enumerate(scene.bodies):
        mask = owner_HW == index
        if body.labelled and mask.sum() >= LEAST_PROMPTED * mask.size and contrast(picture, mask) >= LEAST_CONTRAST:
            labels.append(index)
    return replace(scene, lens=lens, labels=tuple(labels))


def _exposure(scene: SolidScene, time: float) -> tuple[npt.NDArray[np.int16], Floats]:
    """Return whose every pixel is in the middle of the exposure (H, W), and the light (H, W, 3) of all of it."""
    shutter = scene.lens.shutter / 3
    middle, *edges = (
        cast(scene.bodies, scene.around, camera_at(scene.tripod, when), when, scene.size_hw)
        for when in ([time, time - shutter, time + shutter] if shutter else [time])
    )
    light_HW3 = sum((edge.light_HW3 for edge in edges), middle.light_HW3)
    return middle.owner_HW, light_HW3 / (1 + len(edges))


def _grown(mask_HW: Masks) -> Masks:
    wide = np.pad(mask_HW, 1)
    return wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
