"""The state of one video: its frames, and of each object its prompts and its memory bank. A value, not a service.

Legend: S the side of the network's square image.
"""

import copy
import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from sam2.modeling.sam2_base import ImageFeatures
from sam2.tracking.features import BatchLimit
from sam2.tracking.output_views import OutputDict, frames_tracked, mask_inputs, point_inputs
from sam2.tracking.state_views import CachedFeatures, FrameImages, Numbering, ObjectIds, PerObject, View
from sam2.tracking.track import ObjectTrack
from sam2.video.frames import ReadAhead
from sam2.video.source import FrameSource, normalised

__all__ = ["ObjectTrack", "VideoState"]

log = logging.getLogger(__name__)

VIEWS: dict[str, Callable[["VideoState"], View]] = {
    "point_inputs_per_obj": lambda state: PerObject(state.tracks, point_inputs),
    "mask_inputs_per_obj": lambda state: PerObject(state.tracks, mask_inputs),
    "cached_features": lambda state: CachedFeatures(state),
    "obj_id_to_idx": lambda state: Numbering(state.tracks, by_index=False),
    "obj_idx_to_id": lambda state: Numbering(state.tracks, by_index=True),
    "output_dict_per_obj": lambda state: PerObject(state.tracks, OutputDict),
    "temp_output_dict_per_obj": lambda state: PerObject(state.tracks, lambda track: OutputDict(track, waiting=True)),
    "frames_tracked_per_obj": lambda state: PerObject(state.tracks, frames_tracked),
}
KEYS = (
    "images", "num_frames", "offload_video_to_cpu", "offload_state_to_cpu", "video_height", "video_width", "device",
    "storage_device", "point_inputs_per_obj", "mask_inputs_per_obj", "cached_features", "constants", "obj_id_to_idx",
    "obj_idx_to_id", "obj_ids", "output_dict_per_obj", "temp_output_dict_per_obj", "frames_tracked_per_obj",
)  # fmt: skip


@dataclass(slots=True, eq=False, repr=False)
class VideoState(MutableMapping[str, Any]):
    """What `init_state` returns; also a mapping with the released keys (`KEYS`), and with what a caller adds to them.

    `storage_device` holds the maps of the memory bank. `known_length` is the length as it was known at the start: the
    pointers' time scale must not change on the way. `windowed`: the bank keeps what tracking in one direction can
    still select; `reverse` is the direction that a window is bound to. `features` are those of the frames that were
    encoded last. `frames_at_once` and `objects_at_once` shrink when the device runs out of memory. `assigned` holds what was
    assigned to `images`, `num_frames`, `video_height` and `video_width`, `assigned_images` single images; they go before
    the video.
    `others` are the keys that do not steer tracking, and a caller's own.
    `cuts` are the first frames of shots, which may become known while tracking goes on, and `fenced` makes walls of prompted
    frames, see `sam2.tracking.reach`.
    """

    frames: FrameSource
    device: torch.device
    storage_device: torch.device
    known_length: int | None
    windowed: bool = False
    tracks: dict[Any, ObjectTrack] = field(default_factory=dict)
    reverse: bool | None = None
    features: dict[int, ImageFeatures] = field(default_factory=dict)
    frames_at_once: BatchLimit = field(default_factory=lambda: BatchLimit("frames", 1))
    objects_at_once: BatchLimit = field(default_factory=lambda: BatchLimit("objects", sys.maxsize))
    assigned: dict[str, Any] = field(default_factory=dict)
    assigned_images: dict[int, Tensor] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    cuts: Collection[int] = ()
    fenced: bool = False

    def __post_init__(self) -> None:
        self.others.setdefault("offload_video_to_cpu", False)
        self.others.setdefault("constants", {})

    @property
    def num_frames(self) -> int | None:
        return self.assigned.get("num_frames", self.frames.num_frames)

    @property
    def obj_ids(self) -> list[Any]:
        return list(self.tracks)

    @property
    def size_hw(self) -> tuple[int, int]:
        height, width = self.frames.size_hw
        return self.assigned.get("video_height", height), self.assigned.get("video_width", width)

    @property
    def one_pass(self) -> bool:
        return self.frames.one_pass and "images" not in self.assigned

    def reaches(self, frame_idx: int) -> bool:
        """Return whether the video has this frame."""
        if "images" in self.assigned or "num_frames" in self.assigned:
            return 0 <= frame_idx < (self.num_frames or 0)
        return self.frames.reaches(frame_idx)

    def holds(self, frame_idx: int) -> bool:
        """Return whether the frame can be had without reading on."""
        return "images" in self.assigned or frame_idx in self.assigned_images or self.frames.holds(frame_idx)

    def image(self, frame_idx: int) -> Tensor:
        """Return a frame (3, S, S) as the network sees it; ValueError where it cannot be read."""
        if frame_idx in self.assigned_images:
            return self.assigned_images[frame_idx].to(self.device).float()
        images: Sequence[Tensor] | None = self.assigned.get("images")
        if images is None:
            return normalised(self.frames.rgb_SS3(frame_idx), self.device)
        if frame_idx >= len(images):
            raise ValueError(f"frame {frame_idx} is beyond the {len(images)} that were assigned to the state's images")
        return images[frame_idx].to(self.device).float()

    def put_image(self, frame_idx: int, image_3SS: Tensor) -> None:
        """Have an image in the place of a frame."""
        self.assigned_images[frame_idx] = image_3SS
        self.features.pop(frame_idx, None)

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

    def __getitem__(self, key: str) -> Any:
        if key in VIEWS:
            return VIEWS[key](self)
        if key in self.assigned:
            return self.assigned[key]
        match key:
            case "images":
                return FrameImages(self)
            case "obj_ids":
                return ObjectIds(self.tracks)
            case "video_height" | "video_width":
                return self.size_hw[key == "video_width"]
            case "num_frames" | "device" | "storage_device":
                return getattr(self, key)
            case "offload_state_to_cpu":
                return self.others.get(key, self.storage_device != self.device)
        return self.others[key]

    def __setitem__(self, key: str, value: Any) -> None:
        match key:
            case _ if key in VIEWS:
                VIEWS[key](self).assign(value)
            case "images":
                _take_images(self, value)
            case "num_frames" | "video_height" | "video_width":
                self.assigned[key] = value.__index__()
                self.known_length = self.assigned.get("num_frames", self.known_length)
            case "device" | "storage_device":
                setattr(self, key, torch.device(value))
            case "obj_ids":
                if list(value) and list(value) != self.obj_ids:
                    raise ValueError(f"obj_ids={value!r} cannot be set: objects come by prompts, and go by remove_object")
                if not list(value):
                    self.tracks.clear()
            case "offload_state_to_cpu":
                self.storage_device = torch.device("cpu") if value else self.device
                self.others[key] = bool(value)
            case _:
                self.others[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in KEYS:
            del self.others[key]
        elif key == "images":
            _take_images(self, [])
        else:
            raise ValueError(f"{key!r} cannot be taken out of a state; predictor.reset_state(state) forgets all objects")

    def __iter__(self) -> Iterator[str]:
        return iter([*KEYS, *(key for key in self.others if key not in KEYS)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def clear(self) -> None:
        """Let go of everything: objects, frames and a caller's own keys."""
        del self["images"]
        self.tracks.clear()
        self.others = {key: value for key, value in self.others.items() if key in KEYS}

    def copy(self) -> dict[str, Any]:
        """Return a dict of the same objects, as `dict(state)` does, which can be tracked with."""
        return dict(self)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self) | dict(other)

    def __repr__(self) -> str:
        return f"VideoState({self.num_frames} frames of {self.size_hw} (h, w), objects {self.obj_ids})"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: dict[int, Any]) -> "VideoState":
        """Return a state that goes its own way; both read the same frames."""
        shared = ("frames", "features")
        names = [f.name for f in fields(self)]
        return VideoState(
            **{name: dict(self.features) if name == "features" else self.frames for name in shared},
            **{name: copy.deepcopy(getattr(self, name), memo) for name in names if name not in shared},
        )


def _take_images(state: VideoState, images: Sequence[Tensor] | Tensor | FrameImages) -> None:
    if isinstance(images, FrameImages) and images.state is state:
        return
    if isinstance(images, Mapping) or not hasattr(images, "__getitem__") or not hasattr(images, "__len__"):
        raise ValueError(
            f"images is a {type(images).__name__}: expected a tensor (frames, 3, S, S) or a list of (3, S, S), normalised"
        )
    state.assigned.setdefault("num_frames", state.num_frames)
    state.assigned["images"] = images
    state.assigned_images.clear()
    state.features = {}
