"""Image features of a state's frames, encoded in batches that the device has memory for.

What does not fit is tried again with less, and that is logged.

Legend: h = w the feature side, S the side of the network's square image, C channels.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from sam2.modeling.backbones.image_encoder import ImageFeatures
from sam2.modeling.config import ModelConfig
from sam2.modeling.position_encoding import sine_map
from sam2.modeling.sam2_base import SAM2Base

if TYPE_CHECKING:
    from sam2.tracking.state import VideoState


Backbone = dict[str, Any]

T = TypeVar("T")

log = logging.getLogger(__name__)

CACHE_BYTES = 8 * 2**20     # of the widest map in the memory attention: beyond it a processor waits for its memory
FEWEST = 2                  # objects, which still share the frame's first self-attention


@dataclass(slots=True)
class BatchLimit:
    """How many of a kind are worked on at once, at most; smaller once the device has run out of memory."""

    what: str
    most: int

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"{self.what} at once: {self.most}; expected at least 1")


def objects_at_once(config: ModelConfig, device: torch.device) -> int:
    """Return how many objects to track at once: on a processor those whose maps fit its cache, elsewhere all."""
    if device.type != "cpu":
        return sys.maxsize
    bytes_each = 4 * config.feature_side**2 * config.memory_attention_ffn_dim
    return max(FEWEST, CACHE_BYTES // bytes_each)


def in_batches(limit: BatchLimit, count: int, work: Callable[[slice], T], *, make_room: Callable[[], bool]) -> list[T]:
    """Return `work` of consecutive slices of `count` rows, in order.

    Out of memory, the device is first relieved by `make_room` (which says whether it could), then batches are halved.
    Raises torch.OutOfMemoryError where a single row does not fit.
    """
    results: list[T] = []
    first = 0
    while first < count:
        rows = slice(first, min(first + limit.most, count))
        try:
            results.append(work(rows))
            first = rows.stop
            continue
        except torch.OutOfMemoryError:
            if not (relieved := make_room()) and rows.stop - rows.start == 1:
                raise
        # out here the failed attempt's tensors are free again: the error that held them is gone
        if not relieved:
            limit.most = (rows.stop - rows.start) // 2
            log.warning("the device is out of memory: going on with %d %s at once", limit.most, limit.what)
    return results


def encoded(network: SAM2Base, state: "VideoState", frame_idx: int, *, coming: Sequence[int] = ()) -> ImageFeatures:
    """Return the image features of a frame; those of the last pass of the encoder are at hand.

    `coming` are frames that will be asked for next: a pass takes along as many as the state has at once.
    """
    if frame_idx not in state.features:
        state.features = {}
        images = _readable(state, [frame_idx, *coming[: state.frames_at_once.most - 1]])
        parts = in_batches(
            state.frames_at_once, len(images), lambda rows: network.encode_image(torch.stack(images[rows])),
            make_room=state.make_room,
        )
        features = [part[k] for part in parts for k in range(len(part))]
        state.features = dict(zip([frame_idx, *coming], features, strict=False))
    return state.features[frame_idx]


def _readable(state: "VideoState", indices: Sequence[int]) -> list[Tensor]:
    """Return the images (3, S, S) of frames up to the first that cannot be read; its error waits until its turn."""
    images = [state.image(indices[0])]
    for frame_idx in indices[1:]:
        try:
            images.append(state.image(frame_idx))
        except ValueError:
            break
    return images


def backbone_of(features: ImageFeatures) -> Backbone:
    """Return features under the names that `forward_image` gives them."""
    maps = [*features.high_res, features.vision_BChw]
    dim, device = features.vision_BChw.shape[1], features.vision_BChw.device
    places = [sine_map(tuple(x.shape[-2:]), dim, device).expand(len(features), -1, -1, -1) for x in maps[:-1]]
    return {"vision_features": maps[-1], "vision_pos_enc": [*places, features.pos_1Chw], "backbone_fpn": maps}


def features_in(backbone: Mapping[str, Any]) -> ImageFeatures:
    """Return the features in what `forward_image` answers."""
    fine, middle, vision_BChw = backbone["backbone_fpn"][-3:]
    return ImageFeatures(vision_BChw, backbone["vision_pos_enc"][-1][:1], (fine, middle))
