"""Which frames a reviewer should look at first, by the stored scores of a track and what was flagged."""

import itertools
import math
from collections.abc import Sequence

from labeling.types import FrameMask, QCFlag

MOST = 40
# In natural logarithms of the area: about what the rules call a jump.
AREA_JUMP = 0.6
IOU_BOUND = 0.75


def suspicious_frames(
    frames: Sequence[FrameMask], flags: Sequence[QCFlag] = (), *, iou_bound: float | None = None, most: int = MOST
) -> tuple[int, ...]:
    """At most `most` source frame indices, ascending: one for each stretch in doubt, the worst of it, and where flags begin.

    Doubt is a predicted IoU below the bound, an object that comes or goes, or an area that jumps. A track without any gives
    the frame with the lowest predicted IoU.
    """
    if not frames:
        return ()
    doubts = _doubts(frames, IOU_BOUND if iou_bound is None else iou_bound)
    worst = _worst_of_each_stretch(doubts)
    begun = [flag.frame_span[0] for flag in flags if not _is_whole(flag, frames)]
    flagged = [k for k, frame in enumerate(frames) if frame.frame_idx in set(begun)]
    chosen = [*dict.fromkeys([*sorted(worst, key=lambda k: -doubts[k]), *flagged])][:most]
    if not chosen:
        chosen = [min(range(len(frames)), key=lambda k: frames[k].predicted_iou)]
    return tuple(sorted(frames[k].frame_idx for k in chosen))


def _doubts(frames: Sequence[FrameMask], iou_bound: float) -> list[float]:
    doubts = [max(0.0, iou_bound - frame.predicted_iou) if frame.visible else 0.0 for frame in frames]
    for k, (before, after) in enumerate(itertools.pairwise(frames), start=1):
        if before.visible != after.visible:
            doubts[k] = max(doubts[k], 1.0)
        elif before.visible:
            jump = abs(math.log(after.area / before.area)) - AREA_JUMP
            doubts[k] = max(doubts[k], min(jump, 1.0), 0.0)
    return doubts


def _worst_of_each_stretch(doubts: Sequence[float]) -> list[int]:
    stretches = itertools.groupby(range(len(doubts)), key=lambda k: doubts[k] > 0)
    return [max(stretch, key=lambda k: doubts[k]) for doubted, stretch in stretches if doubted]


def _is_whole(flag: QCFlag, frames: Sequence[FrameMask]) -> bool:
    return flag.frame_span[0] <= frames[0].frame_idx and flag.frame_span[1] > frames[-1].frame_idx
