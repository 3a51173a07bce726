"""How far back a frame may read an object's memory: not past a wall.

Walls are cuts (`VideoState.cuts`, the first frames of shots) and, where a state is `fenced`, the object's prompted frames. What
was tracked behind a wall is not read, and the motion filter begins anew at it. Prompted frames are read past a cut; where they
are walls, the nearest one behind alone, so that tracking from two sides gives answers that know nothing of each other.

Behind a cut an object is `away` until it is found: a person says so, or what the network says of itself does (`is_found`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sam2.modeling.sam2_base import ABSENT_LOGIT
from sam2.tracking.memory_bank import OBJECT_SCORE, PREDICTED_IOU, STABILITY, FrameEntry, Vantage

if TYPE_CHECKING:
    from sam2.tracking.state import VideoState
    from sam2.tracking.track import ObjectTrack

# Of an object that is found again behind a cut: its score, the chosen candidate's own guess, how clear its outline is, and how
# like its pointer is to those of the prompted frames. Measured with nano on spliced clips (`tests.bench.splices`).
FOUND_SCORE, FOUND_IOU, FOUND_STABILITY, FOUND_POINTER = 2.0, 0.55, 0.6, 0.5

Entries = Mapping[int, FrameEntry]


def reach_of(state: "VideoState", track: "ObjectTrack", vantage: Vantage) -> int | None:
    """Return how many frames behind `vantage` the nearest wall lets it see, a wall's own frame included; None: all."""
    walls = [distance for t in track.conditioning if (distance := vantage.distance_to(t)) > 0] if state.fenced else []
    # A shot's first frame is on this side of its cut; seen backwards, that is the last frame of the shot ahead.
    cuts = [vantage.distance_to(cut) - vantage.reverse for cut in state.cuts]
    walls += [distance for distance in cuts if distance >= 0]
    return min(walls, default=None)


def readable(
    state: "VideoState", track: "ObjectTrack", vantage: Vantage, others: Entries | None = None
) -> tuple[Entries, Entries]:
    """Return an object's conditioning and other entries that a frame may look back at; `others` are a path's own."""
    others = track.others if others is None else others
    reach = reach_of(state, track, vantage)
    conditioning: Entries = track.conditioning
    if state.fenced:
        nearest = min((t for t in conditioning if vantage.distance_to(t) >= 0), key=vantage.distance_to)
        conditioning = {nearest: conditioning[nearest]}
    if reach is None:
        return conditioning, others
    near = {t: entry for t, entry in others.items() if 0 <= vantage.distance_to(t) <= reach}
    return conditioning, {t: entry for t, entry in near.items() if not entry.away}


def is_awaited(state: "VideoState", track: "ObjectTrack", vantage: Vantage) -> bool:
    """Whether an object has not been seen yet in the shot of this frame, which began behind it."""
    if not state.cuts:
        return False
    cuts = [vantage.distance_to(cut) - vantage.reverse for cut in state.cuts]
    shot = min((distance for distance in cuts if distance >= 0), default=None)
    if shot is None:
        return False
    given = any(0 <= vantage.distance_to(t) <= shot for t in track.conditioning)
    return not given and all(e.away for t, e in track.others.items() if 0 < vantage.distance_to(t) <= shot)


def is_found(scores: Sequence[float], pointer_similarity: float) -> bool:
    """Whether candidates and pointer agree that the object is there; `scores` in the order of `SCORES`."""
    score, predicted_iou, stability = (scores[k] for k in (OBJECT_SCORE, PREDICTED_IOU, STABILITY))
    candidates = score > FOUND_SCORE and predicted_iou >= FOUND_IOU and stability >= FOUND_STABILITY
    return candidates and pointer_similarity >= FOUND_POINTER


def away(entry: FrameEntry, presence_threshold: float) -> FrameEntry:
    """Return an entry of an object that is not there: without a mask, at most at the score that shows one, never read."""
    scores_K = entry.scores_K.clone()
    scores_K[OBJECT_SCORE].clamp_(max=presence_threshold)
    return replace(
        entry, mask_logits_11HW=torch.full_like(entry.mask_logits_11HW, ABSENT_LOGIT), scores_K=scores_K,
        selectable=False, sighting=None, carried=None, visible=False, area=0, promoted=False, away=True,
    )
