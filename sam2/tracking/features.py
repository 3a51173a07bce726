"""Image features of a state's frames, as the network uses them and under the released keys.

Legend: h = w the feature side, S the side of the network's square image, C channels.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sam2.modeling.position_encoding import sine_map
from sam2.modeling.sam2_base import ImageFeatures
from sam2.tracking.views import View

if TYPE_CHECKING:
    from sam2.tracking.state import VideoState

Backbone = dict[str, Any]


class CachedFeatures(View):
    """Frames whose features are at hand: `(image (1, 3, S, S), the answer of forward_image)` by index.

    The next frame that is not among them takes the place of all.
    """

    def __init__(self, state: "VideoState") -> None:
        self._state = state

    def __getitem__(self, frame_idx: int) -> tuple[Tensor, Backbone]:
        features = self._state.seen[frame_idx]
        return self._state.image(frame_idx)[None], backbone_of(features)

    def __setitem__(self, frame_idx: int, value: tuple[Tensor, Mapping[str, Any]]) -> None:
        image_13SS, backbone = value
        self._state.seen[frame_idx] = features_in(backbone)

    def __delitem__(self, frame_idx: int) -> None:
        del self._state.seen[frame_idx]

    def __iter__(self) -> Iterator[int]:
        return iter(self._state.seen)


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
