"""Stretches between prompted frames: each tracked from both of its ends, and joined where the two answers agree best.

A prompt that conditions every frame also speaks where it knows nothing: behind a swap, a correction of one frame pulls the
frames before it along. Here a prompt governs the frames up to the next prompted one, which no tracking crosses. Between two
prompted frames there are two answers that know nothing of each other; their IoU is `agreement`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from labeling import rle
from labeling.config import PromptScope, TrackDirection
from labeling.types import FrameMask, Prompt

SLACK = 0.02        # of agreement: two frames within it agree equally well


@dataclass(frozen=True, slots=True)
class Leg:
    """One way from an object's prompts: up to `stop`, a frame that it does not reach, or to the video's end."""

    object_id: int
    prompts: tuple[Prompt, ...]
    stop: int | None = None


def scope_of(prompts: Sequence[Prompt], otherwise: PromptScope) -> PromptScope:
    """Return how far one object's prompts reach; on one frame alone they reach all, in either scope."""
    if len({prompt.frame_idx for prompt in prompts}) < 2:
        return PromptScope.all
    said = {prompt.scope for prompt in prompts} - {None}
    if not said:
        return otherwise
    return PromptScope.stretch if PromptScope.stretch in said else PromptScope.all


def whole_legs(batch: Mapping[int, Sequence[Prompt]]) -> list[Leg]:
    """Return one leg an object, from all of its prompts, to the video's end."""
    return [Leg(object_id, tuple(prompts)) for object_id, prompts in batch.items()]


def forward_legs(batch: Mapping[int, Sequence[Prompt]], direction: TrackDirection) -> list[Leg]:
    """Return the legs onward: from each prompted frame to the next, from the last one to the end unless `backward`."""
    legs = []
    for object_id, prompts in batch.items():
        on = _by_frame(prompts)
        legs += [Leg(object_id, on[a], stop=b) for a, b in pairwise(on)]
        if direction is not TrackDirection.backward:
            legs.append(Leg(object_id, on[max(on)]))
    return legs


def backward_legs(batch: Mapping[int, Sequence[Prompt]], direction: TrackDirection) -> list[Leg]:
    """Return the legs back: from each prompted frame to the one before, from the first to the beginning unless `forward`."""
    legs = []
    for object_id, prompts in batch.items():
        on = _by_frame(prompts)
        legs += [Leg(object_id, on[b], stop=a) for a, b in pairwise(on)]
        if direction is not TrackDirection.forward:
            legs.append(Leg(object_id, on[min(on)]))
    return legs


def _by_frame(prompts: Sequence[Prompt]) -> dict[int, tuple[Prompt, ...]]:
    frames = sorted({prompt.frame_idx for prompt in prompts})
    return {at: tuple(prompt for prompt in prompts if prompt.frame_idx == at) for at in frames}


def joined(forward: Sequence[FrameMask], backward: Mapping[int, FrameMask]) -> list[FrameMask]:
    """Join two answers to the frames between two prompted ones, by frame index; each mask gets its `agreement`.

    The way forward has the frames up to the seam, the way back those behind it.
    """
    agreement = [rle.iou(mask.rle, backward[mask.frame_idx].rle) for mask in forward]
    at = seam(agreement)
    taken = [mask if k <= at else backward[mask.frame_idx] for k, mask in enumerate(forward)]
    return [replace(mask, agreement=iou) for mask, iou in zip(taken, agreement, strict=True)]


def seam(agreement: Sequence[float]) -> int:
    """Return the position that agrees best; of several that do, the one nearest to the middle; -1 of none."""
    best, middle = max(agreement, default=0.0), (len(agreement) - 1) / 2
    equal = [k for k, iou in enumerate(agreement) if iou >= best - SLACK]
    return min(equal, key=lambda k: (abs(k - middle), k), default=-1)
