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
# A logit of presence below which it is open whether the object is there.
UNSURE = 3.0


def damage_of(frames: Sequence[FrameMask], *, presence_threshold: float = 0.0) -> tuple[float, ...]:
    """How much of each mask is likely wrong, in [0, 1], by its stored scores alone."""
    return tuple(_damage(frame, presence_threshold) for frame in frames)


def _damage(frame: FrameMask, presence_threshold: float) -> float:
    above = frame.object_score - presence_threshold
    if not frame.visible:
        # Away with certainty is right; there, by the network's own word, and without a mask is not.
        return 1.0 if above > 0 else max(0.0, 1.0 - abs(above) / UNSURE) / 2
    return min(1.0, max(0.0, 1.0 - frame.predicted_iou))


def expected_gains(damage: Sequence[float], seen: Collection[int] = ()) -> tuple[float, ...]:
    """What correcting each position is expected to mend, in frames' worth of damage; 0 where a person has `seen` it.

    Seen positions are walls: nothing behind them is mended.
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
    return tuple(gains)


def _reached(damage: Sequence[float], walls: Collection[int], order: range, fades: float) -> list[float]:
    """The damage at and before each position in an order, fading with distance."""
    sums, total = [0.0] * len(damage), 0.0
    for position in order:
        total = 0.0 if position in walls else damage[position] + fades * total
        sums[position] = total
    return sums


def best_positions(damage: Sequence[float], seen: Collection[int] = (), *, most: int = OFFERED) -> tuple[int, ...]:
    """At most `most` positions to correct, the one that mends most first, none close to another or without any damage.

    Each is chosen after what those before it would mend is taken off, so that one long stretch does not take all places.
    """
    left, chosen, apart = list(damage), list[int](), max(1, round(APART * len(damage)))
    while len(chosen) < most:
        gains = expected_gains(left, seen)
        free = [p for p in range(len(left)) if gains[p] > 0 and all(abs(p - other) >= apart for other in chosen)]
        if not free:
            break
        best = max(free, key=lambda p: (gains[p], -p))
        chosen.append(best)
        left = [d * (1.0 - exp(-abs(p - best) / FADES_OVER)) for p, d in enumerate(left)]
    return tuple(chosen)


def worth_of(frames: Sequence[FrameMask], seen: Collection[int] = (), *, presence_threshold: float = 0.0) -> float:
    """What the best correction of a track is expected to mend, in [0, 1): as a share of all that a correction can reach."""
    gains = expected_gains(damage_of(frames, presence_threshold=presence_threshold), seen)
    return max(gains, default=0.0) / (ONSET * 2 * FADES_OVER + 1)
