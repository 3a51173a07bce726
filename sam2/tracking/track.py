"""One object's prompts and memory bank, and the memory window that forgets what tracking can no longer select.

Exact by construction: a window forgets a frame only when no later frame in this direction can select it, and refuses
whatever would need it. "Behind" and "ahead" follow the direction of tracking.

Legend: h = w the feature side, S the side of the network's square image.
"""

from dataclasses import dataclass, field

from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.modeling.sam2_base import SAM2Base
from sam2.tracking.memory_bank import FrameEntry, Vantage, pointers_in_reach
from sam2.tracking.policies import policy_of
from sam2.tracking.prompts import PointPrompt


@dataclass(frozen=True, slots=True)
class Pending:
    """A prompted frame that waits for tracking to begin: its entry lacks the memory, which `vision_1Chw` will give.

    Without `vision_1Chw` the frame is encoded once more.
    """

    entry: FrameEntry
    conditioning: bool
    vision_1Chw: Tensor | None


@dataclass(slots=True)
class ObjectTrack:
    """One object's prompts and memory bank.

    All map frame_idx to something: `masks` to (1, 1, S, S), bool where they are 0 or 1, `conditioning` and `others` to
    entries, `tracked` each frame that tracking has passed to its direction (True: reverse); `newest` is the last one
    passed. With a memory window, `dropped` is the span (first, last) of frames that were forgotten in whole or in part.
    """

    points: dict[int, PointPrompt] = field(default_factory=dict)
    masks: dict[int, Tensor] = field(default_factory=dict)
    pending: dict[int, Pending] = field(default_factory=dict)
    conditioning: dict[int, FrameEntry] = field(default_factory=dict)
    others: dict[int, FrameEntry] = field(default_factory=dict)
    tracked: dict[int, bool] = field(default_factory=dict)
    newest: int | None = None
    dropped: tuple[int, int] | None = None

    @property
    def prompted(self) -> set[int]:
        """Frames that bear a prompt of this object."""
        return {*self.points, *self.masks}

    def entry_on(self, frame_idx: int) -> FrameEntry | None:
        """Return the newest answer on a frame: to a prompt that waits, to a prompt, or from tracking."""
        if frame_idx in self.pending:
            return self.pending[frame_idx].entry
        return self.conditioning.get(frame_idx) or self.others.get(frame_idx)

    def forget(self) -> None:
        """Let go of all prompts and answers."""
        for table in (self.points, self.masks, self.pending, self.conditioning, self.others, self.tracked):
            table.clear()
        self.newest = self.dropped = None


REMEDY = 'use init_state(..., memory="all"), which keeps every frame'


def forget(track: ObjectTrack, vantage: Vantage, config: ModelConfig) -> None:
    """Let go what neither this frame, should it be corrected, nor a later one can select."""
    full = policy_of(config).kept_maps(track.others, vantage, config)
    pointer_reach = pointers_in_reach(vantage, config)
    for frame_idx in list(track.others):
        distance = vantage.distance_to(frame_idx)
        if frame_idx in full or frame_idx not in track.tracked:
            continue
        track.dropped = _widened(track.dropped, frame_idx)
        if 0 <= distance < pointer_reach:
            track.others[frame_idx] = track.others[frame_idx].thinned()
            continue
        del track.others[frame_idx]
        del track.tracked[frame_idx]


def forget_around(network: SAM2Base, track: ObjectTrack, frame_idx: int) -> None:
    """Forget what was tracked as far from a frame as memories reach."""
    reach = network.config.memory_temporal_stride_for_eval * network.config.num_maskmem
    for near in range(frame_idx - reach, frame_idx + reach + 1):
        track.others.pop(near, None)


def check_click(track: ObjectTrack, frame_idx: int, *, reverse: bool) -> None:
    """Raise ValueError where a prompt on this frame needs what was forgotten."""
    if track.dropped is None or frame_idx == track.newest:
        return
    forgotten = track.dropped[0] <= frame_idx <= track.dropped[1] and not _whole(track, frame_idx)
    passed = track.newest is not None and not _beyond(frame_idx, track.newest, reverse)
    if forgotten or (passed and _behind_is_forgotten(track, frame_idx, reverse)):
        raise ValueError(
            f'frame {frame_idx} lies where memory="window" has forgotten frames {track.dropped[0]} to '
            f"{track.dropped[1]}; it takes prompts on frame {track.newest} and on frames not yet tracked. "
            f"To correct any frame, {REMEDY}"
        )


def check_start(track: ObjectTrack, frame_idx: int, *, reverse: bool) -> None:
    """Raise ValueError where tracking from this frame on needs what was forgotten."""
    if track.dropped is None or track.newest is None:
        return
    if frame_idx == track.newest or _beyond(frame_idx, track.newest, reverse):
        return
    if _behind_is_forgotten(track, frame_idx, reverse):
        raise ValueError(
            f'tracking cannot start at frame {frame_idx}: memory="window" has forgotten frames {track.dropped[0]} to '
            f"{track.dropped[1]}; go on from frame {track.newest}, or {REMEDY}"
        )


def check_direction(bound: bool | None, reverse: bool) -> None:
    """Raise ValueError where a window that was filled in one direction is asked to go in the other."""
    if bound is not None and bound != reverse:
        went, asked = ("backward", "forward") if bound else ("forward", "backward")
        raise ValueError(
            f'this state has tracked {went}, and memory="window" cannot turn {asked}; '
            f"take a fresh state for each direction, or {REMEDY}"
        )


def _whole(track: ObjectTrack, frame_idx: int) -> bool:
    entry = track.entry_on(frame_idx)
    return entry is not None and not entry.thin


def _beyond(frame_idx: int, newest: int, reverse: bool) -> bool:
    return frame_idx < newest if reverse else frame_idx > newest


def _behind_is_forgotten(track: ObjectTrack, frame_idx: int, reverse: bool) -> bool:
    assert track.dropped is not None
    return track.dropped[1] > frame_idx if reverse else track.dropped[0] < frame_idx


def _widened(span: tuple[int, int] | None, frame_idx: int) -> tuple[int, int]:
    return (frame_idx, frame_idx) if span is None else (min(span[0], frame_idx), max(span[1], frame_idx))
