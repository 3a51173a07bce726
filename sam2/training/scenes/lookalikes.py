"""Long scenes of look-alikes: two to four objects of one texture and shape that cross, hide, leave the frame and return.

They share no random numbers with the scenes that the trainer learns from, and nothing is trained on them. The camera shakes
and zooms but does not pan: what leaves the frame is the object.

Legend: S stops of a way, T frames, N objects. Places are in shares of the frame's longer side, times in frames.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sam2.training.clip import Clip
from sam2.training.scenes.bodies import Body, Place, draw_body, screen
from sam2.training.scenes.scene import LEAST_PROMPTED, TRIES, Scene, draw_frame, draw_look, masks_at
from sam2.training.scenes.textures import texture_HW3

Random = np.random.Generator
Stops = npt.NDArray[np.float64]

KEY = 0x41177               # scenes of the same number have other random numbers
MOST_RADIUS = 0.16
MOST_GROWTH = 0.15
MOST_SCREENS = 2
STOP_EVERY = 24             # frames between two stops of a way
EVENTS = ("cross", "leave", "cross", "hide")
BEYOND = 2.2                # radii beyond the frame's edge from which on an object is out of sight


@dataclass(frozen=True, slots=True)
class Lookalikes:
    """A source of clips: look-alike scenes `first` to `first + count - 1`, drawn when they are asked for."""

    count: int
    first: int = 0
    size_hw: tuple[int, int] = (256, 256)

    def __len__(self) -> int:
        return self.count

    def clip(self, index: int, num_frames: int) -> Clip:
        """Draw a scene; all its objects are visible on the first frame. IndexError for a number that it does not have."""
        if not 0 <= index < self.count:
            raise IndexError(f"look-alike scene {index} of {self.count}: expected 0 to {self.count - 1}")
        return draw_lookalikes(self.first + index, num_frames, size_hw=self.size_hw)


def draw_lookalikes(seed: int, num_frames: int, *, size_hw: tuple[int, int] = (256, 256)) -> Clip:
    """Draw the frames and masks of one scene; it is laid out anew until its first frame shows every object well."""
    if num_frames < 1 or min(size_hw) < 32:
        raise ValueError(f"num_frames={num_frames}, size_hw={size_hw}: expected at least 1 frame of at least 32 pixels a side")
    for attempt in range(TRIES):
        scene = lay_out(seed, num_frames, size_hw=size_hw, attempt=attempt)
        if (masks_at(scene, 0)[0].sum(axis=(1, 2)) >= LEAST_PROMPTED * size_hw[0] * size_hw[1]).all():
            break
    else:
        raise ValueError(f"look-alike scene {seed} hides an object on its first frame in {TRIES} tries; take another seed")
    pictures = [draw_frame(scene, time) for time in range(num_frames)]
    masks_NTHW = np.stack([masks for _, masks in pictures], axis=1)
    return Clip(np.stack([frame for frame, _ in pictures]), masks_NTHW, f"look-alike scene {seed}")


def lay_out(seed: int, num_frames: int, *, size_hw: tuple[int, int], attempt: int = 0) -> Scene:
    """Choose everything about a scene from its seed."""
    random = np.random.default_rng([KEY, seed, attempt])
    ground = texture_HW3(random, (round(size_hw[0] * 1.5), round(size_hw[1] * 1.5)))
    like = draw_body(random, num_frames, size_hw, ())
    like = replace(like, growth=min(max(like.growth, -MOST_GROWTH), MOST_GROWTH))
    stops_NS2, hidden = _stops(random, int(random.integers(2, 5)), num_frames, size_hw, min(like.radius, MOST_RADIUS))
    bodies = [alike(random, like, way(stops_S2, num_frames)) for stops_S2 in stops_NS2]
    for x, y in hidden:
        front = screen(random, bodies, num_frames, size_hw, ())
        bodies.append(replace(front, place_xy=_still(x, y), radius=min(like.radius, MOST_RADIUS) * random.uniform(1.2, 1.8)))
    look = draw_look(random, seed, longer=max(size_hw), brightness=float(ground.mean()))
    return Scene(seed, num_frames, size_hw, ground, tuple(bodies), replace(look, pan_xy=(0.0, 0.0)))


def alike(random: Random, like: Body, place_xy: Place) -> Body:
    """Return one more body of a look, on a way of its own: about as large, turned anyhow."""
    radius = min(like.radius, MOST_RADIUS) * random.uniform(0.85, 1.15)
    return replace(like, place_xy=place_xy, labelled=True, radius=radius, angle=random.uniform(0, 2 * math.pi))


def way(stops_S2: Stops, num_frames: int) -> Place:
    """Return a smooth way through stops that are evenly spaced in time, the first on frame 0 and the last on the last frame."""
    slopes_S2 = np.gradient(stops_S2, axis=0)
    every = max(1, num_frames - 1) / (len(stops_S2) - 1)

    def place(time: float) -> tuple[float, float]:
        k = min(max(int(time / every), 0), len(stops_S2) - 2)
        u = time / every - k
        begin, end = (1 + 2 * u) * (1 - u) ** 2, u * u * (3 - 2 * u)
        x, y = (
            begin * stops_S2[k] + u * (1 - u) ** 2 * slopes_S2[k] + end * stops_S2[k + 1] - u * u * (1 - u) * slopes_S2[k + 1]
        )
        return float(x), float(y)

    return place


def _stops(
    random: Random, number: int, num_frames: int, size_hw: tuple[int, int], radius: float
) -> tuple[Stops, list[tuple[float, float]]]:
    """Return where each object is at each stop (N, S, 2), and the places, two at most, that something stands in front of.

    At every stop between the first and the last one thing happens: two objects are at one place, one is out of the frame, or
    one is behind something.
    """
    width, height = size_hw[1] / max(size_hw), size_hw[0] / max(size_hw)
    count = max(3, round(num_frames / STOP_EVERY) + 1)
    stops_NS2 = random.uniform(0.15, 0.85, (number, count, 2)) * (width, height)
    stops_NS2[:, 0] = _apart(random, number, (width, height))
    hidden = []
    turn = int(random.integers(len(EVENTS)))
    for stop in range(1, count - 1):
        one, other = random.choice(number, 2, replace=False)
        event = EVENTS[(turn + stop) % len(EVENTS)]
        if event == "cross":
            stops_NS2[one, stop] = stops_NS2[other, stop] + random.normal(0, 0.2 * radius, 2)
        elif event == "leave":
            stops_NS2[one, stop] = _outside(random, stops_NS2[one, stop], (width, height), BEYOND * radius)
        elif len(hidden) < MOST_SCREENS:
            hidden.append((float(stops_NS2[one, stop, 0]), float(stops_NS2[one, stop, 1])))
        else:
            stops_NS2[one, stop] = hidden[int(random.integers(MOST_SCREENS))]
    return stops_NS2, hidden


def _apart(random: Random, number: int, size_xy: tuple[float, float]) -> Stops:
    """Return places in different quarters of the frame."""
    quarters = random.permutation([(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)])[:number]
    places: Stops = (quarters + random.uniform(-0.1, 0.1, (number, 2))) * size_xy
    return places


def _outside(random: Random, place_xy: Stops, size_xy: tuple[float, float], beyond: float) -> Stops:
    """Return the place beyond one of the frame's four edges, straight out from where something is."""
    axis, far = int(random.integers(2)), bool(random.integers(2))
    outside = place_xy.copy()
    outside[axis] = size_xy[axis] + beyond if far else -beyond
    return outside


def _still(x: float, y: float) -> Place:
    return lambda _time: (x, y)
