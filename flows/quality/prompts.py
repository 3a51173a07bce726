"""Prompts for a clip's objects, right ones and wrong ones: no later measure sees a perfect mask of another object."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from flows.learn.accuracy import most_interior
from flows.learn.config import PromptKind
from labeling import rle
from labeling.geometry import mask_box_xyxy
from labeling.types import Box, Prompt

Random = np.random.Generator
Bools = npt.NDArray[np.bool_]

RIGHT = {PromptKind.box: 0.7, PromptKind.click: 0.1, PromptKind.mask: 0.2}      # how often each is given
LEAST_SIDE = 4.0            # pixels of a wrong box
PLACES = 24                 # tried for a box on the ground


def right_prompt(number: int, mask_HW: Bools, kind: PromptKind) -> Prompt:
    """Return an object's prompt on frame 0, made of its true mask there."""
    if kind is PromptKind.mask:
        return Prompt(number, 0, mask=rle.encode(mask_HW))
    if kind is PromptKind.click:
        x, y = most_interior(mask_HW)
        return Prompt(number, 0, points_xy=((float(x), float(y)),), labels=(1,))
    return Prompt(number, 0, box_xyxy=_box(mask_HW))


def wrong_prompt(number: int, masks_NHW: Bools, kind: str, random: Random) -> tuple[Prompt, str]:
    """Return a box for object `number` that is wrong in a way that `WRONG` names, and the way.

    Where a frame shows one object only, `other` becomes `background` and `union` becomes `loose`.
    """
    if len(masks_NHW) == 1:
        kind = {"other": "background", "union": "loose"}.get(kind, kind)
    box = WRONG[kind](number, masks_NHW, random)
    return Prompt(number, 0, box_xyxy=_inside(box, masks_NHW.shape[1:])), kind


def _other(number: int, masks_NHW: Bools, random: Random) -> Box:
    others = [n for n in range(len(masks_NHW)) if n != number]
    return _box(masks_NHW[others[random.integers(len(others))]])


def _background(number: int, masks_NHW: Bools, random: Random) -> Box:
    """The object's box at that place, of some, which holds least of any object."""
    x0, y0, x1, y1 = _box(masks_NHW[number])
    height, width = masks_NHW.shape[1:]
    wide, high = min(x1 - x0, width / 2), min(y1 - y0, height / 2)
    taken_HW: Bools = np.logical_or.reduce(masks_NHW)
    places = [(random.uniform(0, width - wide), random.uniform(0, height - high)) for _ in range(PLACES)]
    x, y = min(places, key=lambda at: taken_HW[round(at[1]) : round(at[1] + high), round(at[0]) : round(at[0] + wide)].mean())
    return x, y, x + wide, y + high


def _shifted(number: int, masks_NHW: Bools, random: Random) -> Box:
    x0, y0, x1, y1 = _box(masks_NHW[number])
    angle, far = random.uniform(0, 2 * np.pi), random.uniform(0.4, 0.8)
    dx, dy = far * (x1 - x0) * float(np.cos(angle)), far * (y1 - y0) * float(np.sin(angle))
    return x0 + dx, y0 + dy, x1 + dx, y1 + dy


def _loose(number: int, masks_NHW: Bools, random: Random) -> Box:
    x0, y0, x1, y1 = _box(masks_NHW[number])
    more = random.uniform(0.4, 0.8)
    return x0 - more * (x1 - x0), y0 - more * (y1 - y0), x1 + more * (x1 - x0), y1 + more * (y1 - y0)


def _part(number: int, masks_NHW: Bools, random: Random) -> Box:
    x0, y0, x1, y1 = _box(masks_NHW[number])
    share = random.uniform(0.35, 0.6)
    left, top = (random.random(2) * (1 - share)).tolist()
    x, y = x0 + left * (x1 - x0), y0 + top * (y1 - y0)
    return x, y, x + share * (x1 - x0), y + share * (y1 - y0)


def _union(number: int, masks_NHW: Bools, _random: Random) -> Box:
    """A box round the object and the nearest other one."""
    boxes = np.array([_box(mask_HW) for mask_HW in masks_NHW])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    far = np.linalg.norm(centres - centres[number], axis=1)
    far[number] = np.inf
    near = boxes[int(far.argmin())]
    low, high = np.minimum(boxes[number, :2], near[:2]), np.maximum(boxes[number, 2:], near[2:])
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


WRONG: Mapping[str, Callable[[int, Bools, Random], Box]] = {
    "other": _other, "background": _background, "shifted": _shifted, "loose": _loose, "part": _part, "union": _union,
}


def _box(mask_HW: Bools) -> Box:
    box = mask_box_xyxy(mask_HW)
    assert box is not None, "objects are seen on the first frame"
    x0, y0, x1, y1 = map(float, box)
    return x0, y0, x1, y1


def _inside(box: Box, size_hw: tuple[int, ...]) -> Box:
    """Return a box moved into the frame where it leaves it, and of 4 pixels a side at least."""
    ends: list[tuple[float, float]] = []
    for low, high, length in ((box[0], box[2], size_hw[1]), (box[1], box[3], size_hw[0])):
        first = min(max(low, 0.0), length - LEAST_SIDE)
        ends.append((first, min(max(high, first + LEAST_SIDE), float(length))))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]
