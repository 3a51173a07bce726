"""A plain dict with the released keys, as programs build it by hand, taken as a state.

The dict is kept in step: its per-object values become the state's live views, and what its maker sets afterwards counts.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import replace
from functools import wraps
from typing import Any

import torch

from sam2.modeling.sam2_base import SAM2Base
from sam2.tracking.images import FrameImages
from sam2.tracking.portions import Portion, objects_at_once
from sam2.tracking.state import KEYS, VIEWS, VideoState

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


def state_of(network: SAM2Base, given: Any) -> VideoState:
    """Return the state that a caller means: what `init_state` returned, or the one behind a dict with the released keys.

    Raises ValueError for anything else.
    """
    if isinstance(given, VideoState):
        return given
    missing = [key for key in NEEDED if not isinstance(given, MutableMapping) or key not in given]
    if missing:
        raise ValueError(
            f"a state of type {type(given).__name__} lacks {', '.join(missing)}: expected what init_state(...) returned, or a "
            "dict with the released keys"
        )
    state = given.get(HELD) or _behind(network, given)
    given[HELD] = state
    for key in KEYS:
        if key in given and not _same(state, key, given[key]):
            state[key] = given[key]
    refresh(state, given)
    return state


def refresh(state: VideoState, given: MutableMapping[str, Any]) -> None:
    """Have a dict say what the state behind it says."""
    given.update({key: state[key] for key in KEYS if key != "images"})


def over_state(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method of a predictor, whose first argument is a state, take a plain dict as well."""

    @wraps(method)
    def called(self: SAM2Base, inference_state: Any, *args: Any, **kwargs: Any) -> Any:
        state = state_of(self, inference_state)
        answer = method(self, state, *args, **kwargs)
        if state is not inference_state:
            refresh(state, inference_state)
        return answer

    return called


def _behind(network: SAM2Base, given: MutableMapping[str, Any]) -> VideoState:
    if isinstance(given["images"], FrameImages):
        # a shallow copy of a state goes on with the same objects
        whole = given["images"].state
        return replace(whole, told=dict(whole.told), put=dict(whole.put), others=dict(whole.others))
    device = torch.device(given.get("device", network.device))
    return VideoState(
        NoFrames((given["video_height"], given["video_width"])),
        device=device,
        storage_device=torch.device(given.get("storage_device", device)),
        known_length=given["num_frames"],
        frames_at_once=Portion("frames", network.config.encode_batch),
        objects_at_once=Portion("objects", objects_at_once(network.config, device)),
    )


def _same(state: VideoState, key: str, value: Any) -> bool:
    """Return whether a dict's value says what the state says already."""
    if key == "images":
        return value is state.told.get("images") or (isinstance(value, FrameImages) and value.state is state)
    if key in VIEWS:
        return type(value) is type(state[key]) or (not value and not state[key])
    present = state[key]
    return type(value) is type(present) and bool(value == present)
