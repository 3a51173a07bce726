"""The state of one video: its frames, and for each object its prompts and its memory bank. A value, not a service.

Legend: h = w the feature side, S the side of the network's square image.
"""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sam2.modeling.sam2_base import ImageFeatures
from sam2.tracking.entry import FrameEntry
from sam2.tracking.portions import Portion
from sam2.tracking.prompts import PointPrompt
from sam2.video.read_ahead import ReadAhead
from sam2.video.source import FrameSource, normalised

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pending:
    """A prompted frame that waits for tracking to begin: its entry lacks the memory, which `vision_1Chw` will give."""

    entry: FrameEntry
    conditioning: bool
    vision_1Chw: Tensor


@dataclass(slots=True)
class ObjectTrack:
    """One object's prompts and memory bank.

    `conditioning` and `others` map frame_idx to entries; `tracked` maps each frame that tracking has passed to its
    direction (True: reverse); `newest` is the last one passed. With a memory window, `dropped` is the span (first,
    last) of frames that were forgotten in whole or in part.
    """

    points: dict[int, PointPrompt] = field(default_factory=dict)
    masks: set[int] = field(default_factory=set)
    pending: dict[int, Pending] = field(default_factory=dict)
    conditioning: dict[int, FrameEntry] = field(default_factory=dict)
    others: dict[int, FrameEntry] = field(default_factory=dict)
    tracked: dict[int, bool] = field(default_factory=dict)
    newest: int | None = None
    dropped: tuple[int, int] | None = None

    @property
    def prompted(self) -> set[int]:
        """Frames that bear a prompt of this object."""
        return set(self.points) | self.masks

    def entry_on(self, frame_idx: int) -> FrameEntry | None:
        """Return the newest answer on a frame: to a prompt that waits, to a prompt, or from tracking."""
        if frame_idx in self.pending:
            return self.pending[frame_idx].entry
        return self.conditioning.get(frame_idx) or self.others.get(frame_idx)


class FrameImages:
    """The video's frames as the network sees them, (3, S, S) float32, read when asked for."""

    def __init__(self, frames: FrameSource, device: torch.device) -> None:
        self._frames = frames
        self._device = device

    def __len__(self) -> int:
        if self._frames.num_frames is None:
            raise ValueError("the length of this video is open: it is known once its last frame has been read")
        return self._frames.num_frames

    def __getitem__(self, frame_idx: int) -> Tensor:
        if frame_idx < 0:
            frame_idx += len(self)
        if not self._frames.reaches(frame_idx):
            raise IndexError(f"frame {frame_idx} is beyond the video's {len(self)} frames")
        return normalised(self._frames.rgb_SS3(frame_idx), self._device)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[frame_idx] for frame_idx in range(len(self)))


@dataclass(slots=True)
class VideoState:
    """What `init_state` returns; also answers the released keys (`KEYS`) by subscription.

    `storage_device` holds the maps of the memory bank. `known_length` is the length as it was known at the start: the
    pointers' time scale must not change on the way. `windowed`: the bank keeps what tracking in one direction can
    still select; `reverse` is the direction that a window is bound to. `seen` holds the features of the frames that were
    encoded last. `frames_at_once` and `objects_at_once` shrink when the device runs out of memory.
    """

    frames: FrameSource
    device: torch.device
    storage_device: torch.device
    known_length: int | None
    windowed: bool = False
    tracks: dict[int, ObjectTrack] = field(default_factory=dict)
    reverse: bool | None = None
    seen: dict[int, ImageFeatures] = field(default_factory=dict)
    frames_at_once: Portion = field(default_factory=lambda: Portion("frames", 1))
    objects_at_once: Portion = field(default_factory=lambda: Portion("objects", sys.maxsize))

    KEYS = ("num_frames", "video_height", "video_width", "obj_ids", "device", "storage_device", "images")

    @property
    def num_frames(self) -> int | None:
        return self.frames.num_frames

    @property
    def obj_ids(self) -> list[int]:
        return list(self.tracks)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.frames.size_hw

    def close(self) -> None:
        """Stop reading frames ahead; what the frames are read from may be closed afterwards."""
        if isinstance(self.frames, ReadAhead):
            self.frames.close()

    def make_room(self) -> bool:
        """Move the memory bank from the device to the CPU; return whether there was anything to move."""
        if self.storage_device.type == "cpu":
            return False
        log.warning("the device is out of memory: the memory bank moves to the CPU")
        self.storage_device = torch.device("cpu")
        for track in self.tracks.values():
            for entries in (track.conditioning, track.others):
                entries.update({frame_idx: entry.stored_on(self.storage_device) for frame_idx, entry in entries.items()})
        return True

    def __getitem__(self, key: str) -> object:
        if key == "video_height":
            return self.size_hw[0]
        if key == "video_width":
            return self.size_hw[1]
        if key == "images":
            return FrameImages(self.frames, self.device)
        if key in self.KEYS:
            return getattr(self, key)
        raise KeyError(f"{key!r}: a state answers {', '.join(self.KEYS)}")

    def __contains__(self, key: object) -> bool:
        return key in self.KEYS

    def keys(self) -> tuple[str, ...]:
        return self.KEYS
