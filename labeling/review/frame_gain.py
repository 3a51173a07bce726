"""Which frames of a track to correct first: those whose correction is expected to mend most.

A correction mends its surroundings as far as the next frame that a person has seen, less with every frame between. So a frame
is worth the damage that is expected around it: a frame with the lowest score alone is often a single bad one.
"""

from collections.abc import Collection, Sequence
from math import exp

from labeling.types import FrameMask

OFFERED = 4
FADES_OVER = 24.0           # frames, over which what a correction mends falls to 1/e
ONSET = 1.3                 # where damage begins, later frames are mended with it
ONSET_FROM = 0.25
APART = 0.05                # of the track's length, between frames that are offered together
# What is expected of a mask by its scores: fitted to 8,244 masks of 290 drawn tracks of nano with truth, by least squares,
# rounded. Scores recover soon after a mask went astray, so the lowest one since somebody looked counts as much as its own.
SEEN_AT_0, BY_OWN, BY_LOWEST = 1.16, 0.55, 0.45
ABSENT_AT_0, BY_LOGIT, LEAST_ABSENT = 0.75, 0.06, 0.2


def damage_of(frames: Sequence[FrameMask], seen: Collection[int] = ()) -> tuple[float, ...]:
    """How much of each mask is likely wrong, in [0, 1], by its stored scores; 0 at positions that a person has `seen`."""
    walls, lowest, damage = set(seen), 1.0, []
    for position, frame in enumerate(frames):
        lowest = 1.0 if position in walls else min(lowest, frame.predicted_iou)
        damage.append(0.0 if position in walls else _damage(frame, lowest))
    return tuple(damage)


def _damage(frame: FrameMask, lowest: float) -> float:
    if not frame.visible:
        return min(1.0, max(LEAST_ABSENT, ABSENT_AT_0 + BY_LOGIT * frame.object_score))
    return min(1.0, max(0.0, SEEN_AT_0 - BY_OWN * frame.predicted_iou - BY_LOWEST * lowest))


def chances_of(frames: Sequence[FrameMask], damage: Sequence[float]) -> tuple[float, ...]:
    """How likely the object is on each frame: only from there can it be tracked again. An empty mask is wrong where it is."""
    return tuple(1.0 if frame.visible else wrong for frame, wrong in zip(frames, damage, strict=True))


def expected_gains(
    damage: Sequence[float], seen: Collection[int] = (), there: Sequence[float] | None = None
) -> tuple[float, ...]:
    """What correcting each position is expected to mend, in frames' worth of damage; 0 where a person has `seen` it.

    Seen positions are walls: nothing behind them is mended. `there` is how likely the object is on each.
    """
    fades, walls = exp(-1.0 / FADES_OVER), set(seen)
    forward = _reached(damage, walls, range(len(damage)), fades)
    backward = _reached(damage, walls, range(len(damage) - 1, -1, -1), fades)
    gains = [a + b - d for a, b, d in zip(forward, backward, damage, strict=True)]
    for position in range(len(damage)):
        before = 0.0 if position == 0 or position - 1 in walls else damage[position - 1]
        if position in walls:
            gains[position] = 0.0
        elif damage[position] >= ONSET_FROM > before:
            gains[position] *= ONSET
    return tuple(gains if there is None else [gain * chance for gain, chance in zip(gains, there, strict=True)])


def _reached(damage: Sequence[float], walls: Collection[int], order: range, fades: float) -> list[float]:
    """The damage at and before each position in an order, fading with distance."""
    sums, total = [0.0] * len(damage), 0.0
    for position in order:
        total = 0.0 if position in walls else damage[position] + fades * total
        sums[position] = total
    return sums


def best_positions(
    damage: Sequence[float], seen: Collection[int] = (), there: Sequence[float] | None = None, *, most: int = OFFERED
) -> tuple[int, ...]:
    """At most `most` positions to correct, the one that mends most first, none close to another or without any damage.

    Each is chosen after what those before it would mend is taken off, so that one long stretch does not take all places.
    """
    left, chosen, apart = list(damage), list[int](), max(1, round(APART * len(damage)))
    while len(chosen) < most:
        gains = expected_gains(left, seen, there)
        free = [p for p in range(len(left)) if gains[p] > 0 and all(abs(p - other) >= apart for other in chosen)]
        if not free:
            break
        best = max(free, key=lambda p: (gains[p], -p))
        chosen.append(best)
        left = [d * (1.0 - exp(-abs(p - best) / FADES_OVER)) for p, d in enumerate(left)]
    return tuple(chosen)


def best_frames(frames: Sequence[FrameMask], seen: Collection[int] = (), *, most: int = OFFERED) -> tuple[int, ...]:
    """At most `most` positions of a track to correct, the one that mends most first; those that a person has `seen` are not."""
    damage = damage_of(frames, seen)
    return best_positions(damage, seen, chances_of(frames, damage), most=most)
