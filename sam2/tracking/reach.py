"""How far back a frame may read an object's memory: not past a wall.

Walls are cuts (`VideoState.cuts`, the first frames of shots) and, where a state is `fenced`, the object's prompted frames. What
was tracked behind a wall is not read, and the motion filter begins anew at it. Prompted frames are read past a cut; where they
are walls, the nearest one behind alone, so that tracking from two sides gives answers that know nothing of each other.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sam2.tracking.memory_bank import FrameEntry, Vantage

if TYPE_CHECKING:
    from sam2.tracking.state import VideoState
    from sam2.tracking.track import ObjectTrack

Entries = Mapping[int, FrameEntry]


def reach_of(state: "VideoState", track: "ObjectTrack", vantage: Vantage) -> int | None:
    """Return how many frames behind `vantage` the nearest wall lets it see, a wall's own frame included; None: all."""
    walls = [distance for t in track.conditioning if (distance := vantage.distance_to(t)) > 0] if state.fenced else []
    # A shot's first frame is on this side of its cut; seen backwards, that is the last frame of the shot ahead.
    cuts = [vantage.distance_to(cut) - vantage.reverse for cut in state.cuts]
    walls += [distance for distance in cuts if distance >= 0]
    return min(walls, default=None)


def readable(state: "VideoState", track: "ObjectTrack", vantage: Vantage) -> tuple[Entries, Entries]:
    """Return an object's conditioning and other entries that a frame may look back at."""
    reach = reach_of(state, track, vantage)
    conditioning: Entries = track.conditioning
    if state.fenced:
        nearest = min((t for t in conditioning if vantage.distance_to(t) >= 0), key=vantage.distance_to)
        conditioning = {nearest: conditioning[nearest]}
    if reach is None:
        return conditioning, track.others
    return conditioning, {t: entry for t, entry in track.others.items() if vantage.distance_to(t) <= reach}
