"""What people look at first: masklets by which most is mended in a second, and the frames of one whose correction mends most.

A correction mends the frames around it as far as the next one that a person has seen: those near it almost wholly, those far
from it down to what a track is worth on the whole. A frame that is right mends nothing, however much is wrong around it.
"""

from collections.abc import Collection, Sequence
from math import exp, isnan, log

import numpy as np
import numpy.typing as npt

from labeling.types import FrameMask

Floats = npt.NDArray[np.float64]

OFFERED = 4
APART = 0.05                # of the track's length, between frames that are offered together
# What is left of the damage behind a correction, by distance: measured on 29 drawn tracks of nano, tracked again from every
# fourth frame with its true mask.
LEFT_FAR, FADES_OVER = 0.45, 4.0
REACH = 16                  # frames, from which on a correction counts as far
# A mask's expected J by its scores: least squares on 26,646 masks of 1,124 drawn tracks of nano with truth, 0.86 AUROC for J
# below 0.5 out of fold by clip (predicted IoU alone: 0.71). Stability is the lowest between the mask and the nearest frame that
# a person has seen, because scores recover soon after a mask went astray.
AT_0, BY_STABILITY, BY_LOOK, BY_COLOUR, BY_LOGIT, BY_DISTANCE = -0.353, 0.498, 0.139, 0.492, 0.044, -0.034
USUAL = {"stability": 0.85, "look_seed": 0.8, "colour_seed": 0.8}      # where a score was not stored
MOST_LOGIT = 10.0
ABSENT_AT_0, ABSENT_BY_LOGIT, ABSENT_RANGE = 0.62, 0.07, (0.2, 0.6)
# How likely a reviewer corrects a mask (J below 0.85): the damage at which every second one is, and how fast that changes.
CORRECTED_AT, CORRECTED_WITHIN = 0.23, 0.085

# A reviewer's seconds for an item: to open it, to see a frame go by, to correct one frame of it.
OPENING_S, FRAME_S, CORRECTING_S = 2.0, 0.1, 4.75
MOST_GAIN = 2**20
GAINS = 1_000               # places for one frame a second


def place_by_gain(risk: float, num_frames: int) -> int:
    """Return a masklet's place in the queue, higher is sooner: risk times frames, for each second that it takes a reviewer."""
    seconds = OPENING_S + FRAME_S * num_frames + risk * CORRECTING_S
    return min(MOST_GAIN, round(GAINS * risk * num_frames / seconds))


def damage_of(frames: Sequence[FrameMask], seen: Collection[int] = ()) -> tuple[float, ...]:
    """How much of each mask is likely wrong, in [0, 1], by its stored scores; 0 at positions that a person has `seen`."""
    walls = sorted(set(seen))
    lowest = _lowest_since(frames, walls)
    return tuple(
        0.0 if distance == 0 else _damage(frame, low, distance)
        for frame, (low, distance) in zip(frames, lowest, strict=True)
    )


def _lowest_since(frames: Sequence[FrameMask], walls: Sequence[int]) -> list[tuple[float, int]]:
    """For each frame the lowest stability on the way to the nearest wall (the first frame without one), and how far that is."""
    stability, known = [_score(frame, "stability") for frame in frames], set(walls)
    ways: list[list[tuple[float, int]]] = []
    for order in (range(len(frames)), range(len(frames) - 1, -1, -1)):
        way, low, distance = [(1.0, len(frames) + 1)] * len(frames), 1.0, len(frames) + 1
        for position in order:
            if position in known or (not known and position == 0 == order[0]):
                low, distance = 1.0, 0 if position in known else 1
            else:
                low, distance = min(low, stability[position]), distance + 1
            way[position] = low, distance
        ways.append(way)
    return [min(pair, key=lambda of: of[1]) for pair in zip(*ways, strict=True)]


def _damage(frame: FrameMask, stability: float, distance: int) -> float:
    if not frame.visible:
        return min(ABSENT_RANGE[1], max(ABSENT_RANGE[0], ABSENT_AT_0 + ABSENT_BY_LOGIT * frame.object_score))
    j = AT_0 + BY_STABILITY * stability + BY_LOOK * _score(frame, "look_seed") + BY_COLOUR * _score(frame, "colour_seed")
    j += BY_LOGIT * min(MOST_LOGIT, max(-MOST_LOGIT, frame.object_score)) + BY_DISTANCE * log(1 + distance)
    return 1.0 - min(1.0, max(0.0, j))


def _score(frame: FrameMask, name: str) -> float:
    value: float | None = getattr(frame, name)
    return USUAL[name] if value is None or isnan(value) else value


def chances_of(frames: Sequence[FrameMask], damage: Sequence[float]) -> tuple[float, ...]:
    """How likely each frame is corrected and tracked from: it has to be wrong, and the object has to be on it."""
    return tuple(_corrected(d) if frame.visible else d for frame, d in zip(frames, damage, strict=True))


def _corrected(damage: float) -> float:
    return 1.0 / (1.0 + exp(-(damage - CORRECTED_AT) / CORRECTED_WITHIN))


def left_at(distance: Floats) -> Floats:
    """What is left of the damage so many frames from a correction."""
    left: Floats = LEFT_FAR * (1.0 - np.exp(-np.abs(distance) / FADES_OVER))
    return left


def expected_gains(
    damage: Sequence[float], seen: Collection[int] = (), chances: Sequence[float] | None = None
) -> tuple[float, ...]:
    """What correcting each position is expected to mend, in frames' worth of damage; 0 where a person has `seen` it.

    Seen positions are walls: nothing behind them is mended. `chances` is how likely each is corrected at all.
    """
    damage_T, walls_T, reach = np.asarray(damage, np.float64), np.zeros(len(damage), bool), min(REACH, len(damage))
    walls_T[list(seen)] = True
    damage_T = np.where(walls_T, 0.0, damage_T)
    stretch_T = np.cumsum(walls_T)
    far_T = np.maximum(0.0, damage_T - LEFT_FAR)
    gain_T = np.bincount(stretch_T, far_T)[stretch_T] if len(damage) else far_T
    for distance in range(-reach, reach + 1):
        near_T = np.maximum(0.0, damage_T - left_at(np.array(float(distance)))) - far_T
        ahead, behind = max(0, distance), max(0, -distance)
        at, of = slice(behind, len(damage) - ahead), slice(ahead, len(damage) - behind)
        gain_T[at] += np.where(stretch_T[at] == stretch_T[of], near_T[of], 0.0)
    gain_T = np.where(walls_T, 0.0, gain_T) * (1.0 if chances is None else np.asarray(chances, np.float64))
    return tuple(gain_T.tolist())


def best_positions(
    damage: Sequence[float], seen: Collection[int] = (), chances: Sequence[float] | None = None, *, most: int = OFFERED
) -> tuple[int, ...]:
    """At most `most` positions to correct, the one that mends most first, none close to another or without any damage.

    Each is chosen after what those before it would mend is taken off, so that one long stretch does not take all places.
    """
    left, walls, chosen, apart = list(damage), set(seen), list[int](), max(1, round(APART * len(damage)))
    while len(chosen) < most:
        gains = expected_gains(left, walls, chances)
        free = [p for p in range(len(left)) if gains[p] > 0 and all(abs(p - other) >= apart for other in chosen)]
        if not free:
            break
        best = max(free, key=lambda p: (gains[p], -p))
        chosen.append(best)
        low, high = max((p for p in walls if p < best), default=-1), min((p for p in walls if p > best), default=len(left))
        mended = left_at(np.arange(low + 1, high, dtype=np.float64) - best).tolist()
        left[low + 1 : high] = [min(d, m) for d, m in zip(left[low + 1 : high], mended, strict=True)]
        walls.add(best)
    return tuple(chosen)


def best_frames(frames: Sequence[FrameMask], seen: Collection[int] = (), *, most: int = OFFERED) -> tuple[int, ...]:
    """At most `most` positions of a track to correct, the one that mends most first; those that a person has `seen` are not."""
    damage = damage_of(frames, seen)
    return best_positions(damage, seen, chances_of(frames, damage), most=most)
