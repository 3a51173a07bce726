"""Stretches between prompted frames: each tracked from both of its ends, and joined where the two answers agree best.

A prompt that conditions every frame also speaks where it knows nothing: behind a swap, a correction of one frame pulls the
frames before it along. Here prompted frames are walls (`sam2.tracking.reach`): no tracking crosses one, and what comes after it
knows that prompt alone. Between two prompted frames there are two answers, one from either side, that know nothing of each
other; their IoU is `agreement`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from labeling import rle
from labeling.config import PromptScope
from labeling.types import FrameMask, Prompt

SLACK = 0.02        # of agreement: two frames within it agree equally well


@dataclass(frozen=True, slots=True)
class Leg:
    """One way of an object from its first prompt (its last, backward): to the video's end, or just before frame `stop`."""

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


def legs_of(batch: Mapping[int, Sequence[Prompt]], *, within: bool, reverse: bool) -> list[Leg]:
    """Return a leg an object from all of its prompts, to the video's end, or `within` them: up to the last in its way."""
    return [
        Leg(object_id, tuple(prompts), _far_end(prompts, reverse=reverse) if within else None)
        for object_id, prompts in batch.items()
    ]


def _far_end(prompts: Sequence[Prompt], *, reverse: bool) -> int:
    frames = [prompt.frame_idx for prompt in prompts]
    return min(frames) if reverse else max(frames)


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
