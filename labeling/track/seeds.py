"""Looks at prompts before anything is followed: a wrong one gives perfect masks of something else, which no later signal sees.

A prompt's first mask is asked of the network on its own frame, and again with the prompt moved a little. What stands against
a prompt: its mask fills its box badly, the masks of the moved prompts are others, another object's prompt gives the same mask.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labeling import rle
from labeling.geometry import box_xyxy_of
from labeling.track.correction import Clicked, FrameInHand, click, take_frame
from labeling.track.follow import SampledFrames
from labeling.track.predictor import Predictor
from labeling.types import RLE, Box, Prompt, Signals
from sam2.tracking.motion import box_iou

MOVED = 0.08        # of a box's sides
WAYS = ((-1.0, -1.0), (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Seed:
    """An object's first mask and what speaks for it, each an IoU in [0, 1], None where it has no meaning.

    `fit` is that of the mask's box with the prompt's; `agreement` the mean one of the masks of moved prompts with this one;
    `twin` that with `twin_of`, the other object of the frame whose first mask is most like it.
    """

    object_id: int
    frame_idx: int
    mask: RLE
    predicted_iou: float
    object_score: float
    fit: float | None = None
    agreement: float | None = None
    twin: float | None = None
    twin_of: int | None = None

    def signals(self) -> Signals:
        """Return the numbers by the names under which `tracks` keeps them."""
        values = {"seed_fit": self.fit, "seed_agreement": self.agreement, "seed_twin": self.twin}
        span = (self.frame_idx, self.frame_idx + 1)
        return Signals(values, {name: span for name, value in values.items() if value is not None})


def look_at_seeds(
    predictor: Predictor, frames: SampledFrames, prompts: Sequence[Prompt], *, precision: str = "fp32", device: str = "cpu",
) -> dict[int, Seed]:
    """Return each object's seed by its number: the prompts of the first frame that it is prompted on, as boxes or clicks.

    A mask that was given is taken as it is. `prompts` were checked by `check_prompts`; frames are the sampled ones.
    """
    by_frame: dict[int, list[Prompt]] = defaultdict(list)
    for object_id in sorted({prompt.object_id for prompt in prompts}):
        by_object = [prompt for prompt in prompts if prompt.object_id == object_id]
        first = min(by_object, key=lambda prompt: prompt.frame_idx)
        by_frame[first.frame_idx].append(first)
    seeds: dict[int, Seed] = {}
    for frame_idx, of_frame in sorted(by_frame.items()):
        hand = take_frame(predictor, frames[frames.frame_indices.index(frame_idx)])
        found = [_seed(predictor, hand, prompt, precision, device) for prompt in of_frame]
        seeds |= {seed.object_id: seed for seed in _with_twins(found)}
    return seeds


def _seed(predictor: Predictor, frame: FrameInHand, prompt: Prompt, precision: str, device: str) -> Seed:
    if prompt.mask is not None and prompt.box_xyxy is None and not prompt.points_xy:
        return Seed(prompt.object_id, prompt.frame_idx, prompt.mask, 1.0, 0.0)
    asked = [_asked(predictor, frame, one, precision, device) for one in (prompt, *_moved(prompt))]
    first, *others = asked
    return Seed(
        prompt.object_id, prompt.frame_idx, first.mask, first.predicted_iou, first.object_score,
        fit=None if prompt.box_xyxy is None else _fit(first.mask, prompt.box_xyxy),
        agreement=float(np.mean([rle.iou(first.mask, other.mask) for other in others])) if others else None,
    )


def _asked(predictor: Predictor, frame: FrameInHand, prompt: Prompt, precision: str, device: str) -> Clicked:
    return click(
        predictor, frame, points_xy=prompt.points_xy, labels=prompt.labels, box_xyxy=prompt.box_xyxy, precision=precision,
        device=device,
    )


def _moved(prompt: Prompt) -> Iterator[Prompt]:
    """Yield the prompt with its box moved, one way and the other; none for clicks, as nothing says how far they may go."""
    if prompt.box_xyxy is None:
        return
    x0, y0, x1, y1 = prompt.box_xyxy
    dx, dy = MOVED * (x1 - x0), MOVED * (y1 - y0)
    for right, down in WAYS:
        yield replace(prompt, box_xyxy=(x0 + right * dx, y0 + down * dy, x1 + right * dx, y1 + down * dy))


def _fit(mask: RLE, box_xyxy: Box) -> float:
    box_xywh = rle.box_xywh(mask)
    return 0.0 if box_xywh is None else box_iou(box_xyxy, box_xyxy_of(box_xywh))


def _with_twins(seeds: Sequence[Seed]) -> Iterator[Seed]:
    for seed in seeds:
        # Two empty masks are no twins.
        others = [other for other in seeds if other is not seed and rle.area(other.mask)] if rle.area(seed.mask) else []
        twin, twin_of = max(((rle.iou(seed.mask, other.mask), other.object_id) for other in others), default=(None, None))
        yield replace(seed, twin=twin, twin_of=twin_of if twin else None)
