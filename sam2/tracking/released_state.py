"""A plain dict with the released keys, as programs build it by hand, taken as a state.

The dict is kept in step: its per-object values become the state's live views, and what its maker sets afterwards counts.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import replace
from functools import wraps
from typing import Any

import torch

from sam2.modeling.sam2_base import SAM2Base
from sam2.tracking.features import BatchLimit, objects_at_once
from sam2.tracking.state import KEYS, VIEWS, VideoState
from sam2.tracking.state_views import FrameImages

HELD = "_state"         # the key of the state behind a dict
NEEDED = ("images", "num_frames", "video_height", "video_width")


class NoFrames:
    """A video of which nothing but its size is known: its frames are put in by hand."""

    one_pass = False
    num_frames = 0

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw

    def reaches(self, frame_idx: int) -> bool:
        return False

    def holds(self, frame_idx: int) -> bool:
        return False

    def rgb_SS3(self, frame_idx: int) -> Any:
        raise ValueError(f"frame {frame_idx}: this state has no frames")


def state_of(network: SAM2Base, mapping: Any) -> VideoState:
    """Return the state that a caller means: what `init_state` returned, or the one behind a dict with the released keys.

    Raises ValueError for anything else.
    """
    if isinstance(mapping, VideoState):
        return mapping
    missing = [key for key in NEEDED if not isinstance(mapping, MutableMapping) or key not in mapping]
    if missing:
        raise ValueError(
            f"a state of type {type(mapping).__name__} lacks {', '.join(missing)}: expected what init_state(...) returned, or "
            "a dict with the released keys"
        )
    state = mapping.get(HELD) or _behind(network, mapping)
    mapping[HELD] = state
    for key in KEYS:
        if key in mapping and not _same(state, key, mapping[key]):
            state[key] = mapping[key]
    refresh(state, mapping)
    return state


def refresh(state: VideoState, mapping: MutableMapping[str, Any]) -> None:
    """Have a dict say what the state behind it says."""
    mapping.update({key: state[key] for key in KEYS if key != "images"})


def over_state(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method of a predictor, whose first argument is a state, take a plain dict as well."""

    @wraps(method)
    def wrapper(self: SAM2Base, inference_state: Any, *args: Any, **kwargs: Any) -> Any:
        state = state_of(self, inference_state)
        answer = method(self, state, *args, **kwargs)
        if state is not inference_state:
            refresh(state, inference_state)
        return answer

    return wrapper


def _behind(network: SAM2Base, mapping: MutableMapping[str, Any]) -> VideoState:
    if isinstance(mapping["images"], FrameImages):
        # a shallow copy of a state goes on with the same objects
        original = mapping["images"].state
        return replace(
            original,
            assigned=dict(original.assigned),
            assigned_images=dict(original.assigned_images),
            others=dict(original.others),
        )
    device = torch.device(mapping.get("device", network.device))
    return VideoState(
        NoFrames((mapping["video_height"], mapping["video_width"])),
        device=device,
        storage_device=torch.device(mapping.get("storage_device", device)),
        known_length=mapping["num_frames"],
        frames_at_once=BatchLimit("frames", network.config.encode_batch),
        objects_at_once=BatchLimit("objects", objects_at_once(network.config, device)),
    )


def _same(state: VideoState, key: str, value: Any) -> bool:
    """Return whether a dict's value says what the state says already."""
    if key == "images":
        return value is state.assigned.get("images") or (isinstance(value, FrameImages) and value.state is state)
    if key in VIEWS:
        return type(value) is type(state[key]) or (not value and not state[key])
    present = state[key]
    return type(value) is type(present) and bool(value == present)
