"""What an object looks like on each frame, against its seed, what is around it, and the other objects' seeds.

Two kinds of looks: the image encoder's features, pooled in the mask while they are at hand, and the colours of a thumbnail
that is taken while the frame is read. Nothing is decoded or encoded again for them. An object's seed is its first mask of the
pass. Similarities are cosines of features and Bhattacharyya coefficients of colour histograms (Bhattacharyya 1943), 1 for
the same look.

Legend: N objects, C channels, h, w cells of the feature map; H, W pixels of a thumbnail, B bins of a histogram.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeling.geometry import mask_box_xyxy
from labeling.types import LOOKS

if TYPE_CHECKING:
    from torch import Tensor

Image8 = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Looks = dict[str, float | None]

FEATURE_LOOKS, COLOUR_LOOKS = LOOKS[:3], LOOKS[3:]

THUMBNAIL_SIDE = 128        # pixels of the longer side, up to half as many more
THUMBNAILS = 128            # held at a time: more than lie between reading a frame and coding its masks
BINS = 12                   # of each of two chroma channels
RING = 4                    # pixels of a thumbnail: how far what is around an object reaches
LEAST_GRADIENT = 1.0        # of 255: what is added to both sides of a ratio of gradients


class Frames(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> Image8: ...


class Thumbnails:
    """Frames that keep a small picture of each that was read, until `THUMBNAILS` later ones have come."""

    def __init__(self, frames: Frames) -> None:
        self._frames, self._small = frames, dict[int, Image8]()

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, position: int, /) -> Image8:
        frame_HW3 = self._frames[position]
        self._small[position] = thumbnail(frame_HW3)
        while len(self._small) > THUMBNAILS:
            self._small.pop(next(iter(self._small)), None)
        return frame_HW3

    def of(self, position: int) -> Image8 | None:
        """Return the small picture of a frame, None where it is not held."""
        return self._small.get(position)


def thumbnail(frame_HW3: Image8) -> Image8:
    """Return a frame (H, W, 3) made smaller by the mean of squares of pixels, as it is where it is small."""
    factor = _factor(frame_HW3.shape[:2])
    if factor == 1:
        return frame_HW3
    small: Image8 = np.asarray(Image.fromarray(frame_HW3).reduce(factor))
    return small


def _factor(size_hw: tuple[int, ...]) -> int:
    return max(1, round(max(size_hw) / THUMBNAIL_SIDE))


@dataclass(slots=True)
class FeatureLooks:
    """Looks by the encoder's features of one pass over a video; `seeds` are the objects' first looks (C,), of length 1."""

    seeds: "dict[int, Tensor]" = field(default_factory=dict)

    def of_frame(self, state: Any, out: Any) -> "Tensor | None":
        """Return `FEATURE_LOOKS` (N, 3) of a frame's objects, NaN where there is none; None where no features are at hand.

        The features are the maps of stride 16, pooled in the mask and in the cells around it. `look_ring` compares what is
        around the object with its seed, `look_other` the object with the most like of the others' seeds.
        """
        import torch

        features = getattr(state, "features", {}).get(out.frame_idx)
        if features is None:
            return None
        vision_1Chw = features.vision_BChw
        with torch.autocast(vision_1Chw.device.type, enabled=False):
            shown_N, mask_NC, ring_NC = _pooled(out.low_res_logits, vision_1Chw)
            for row, (object_id, shown) in enumerate(zip(out.obj_ids, shown_N.tolist(), strict=True)):
                if shown:
                    self.seeds.setdefault(object_id, mask_NC[row])
            return self._compared(out.obj_ids, shown_N, mask_NC, ring_NC)

    def _compared(self, object_ids: Sequence[int], shown_N: "Tensor", mask_NC: "Tensor", ring_NC: "Tensor") -> "Tensor":
        import torch

        none = torch.full_like(mask_NC[0], math.nan)
        seeds_NC = torch.stack([self.seeds.get(object_id, none) for object_id in object_ids])
        known = list(self.seeds)
        like_NK = mask_NC @ torch.stack([self.seeds[k] for k in known]).T if known else mask_NC.new_zeros(len(mask_NC), 0)
        same = [[a == b for b in known] for a in object_ids]
        same_NK = torch.tensor(same, dtype=torch.bool, device=like_NK.device).reshape(like_NK.shape)
        alone = mask_NC.new_full((len(mask_NC), 1), -math.inf)
        other_N = torch.cat([like_NK.masked_fill(same_NK, -math.inf), alone], dim=1).amax(dim=1)
        looks_N3 = torch.stack([(mask_NC * seeds_NC).sum(1), (ring_NC * seeds_NC).sum(1), other_N], dim=1)
        return looks_N3.masked_fill(~shown_N[:, None] | looks_N3.isinf(), math.nan)


def _pooled(low_res_logits_N1HW: "Tensor", vision_1Chw: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
    """Return which objects have a mask (N,), and the mean look, of length 1, of each mask and of the cells around it (N, C)."""
    import torch
    import torch.nn.functional as F

    height, width = vision_1Chw.shape[-2:]
    share_N1hw = F.adaptive_avg_pool2d((low_res_logits_N1HW > 0).float(), (height, width))
    ring_N1hw = F.max_pool2d(share_N1hw, 3, stride=1, padding=1) - share_N1hw
    weights_KP = torch.cat([share_N1hw, ring_N1hw]).flatten(1)
    pooled_KC = F.normalize(weights_KP @ vision_1Chw.float().flatten(2)[0].T, dim=1)
    mask_NC, ring_NC = pooled_KC.chunk(2)
    return share_N1hw.flatten(1).sum(1) > 0, mask_NC, ring_NC


@dataclass(slots=True)
class ColourLooks:
    """Looks by colour of one pass over a video; `seeds` are the objects' first histograms (B,), as roots of shares."""

    seeds: dict[int, Floats] = field(default_factory=dict)

    def of_mask(self, object_id: int, mask_HW: Bools, picture: "Picture | None") -> Looks:
        """Return `COLOUR_LOOKS` of an object; `mask_HW` is of the video's size. All None without a picture or a mask.

        `colour_other` is that of the most like of the others that have been seen before.

        `edge_gradient` is the logarithm of the gradient along the contour over that in and around the object: at a true
        border a picture changes.
        """
        if picture is None:
            return dict.fromkeys(COLOUR_LOOKS)
        factor = _factor(mask_HW.shape)
        small_HW = mask_HW[factor // 2 :: factor, factor // 2 :: factor][: picture.bins_HW.shape[0], : picture.bins_HW.shape[1]]
        box = mask_box_xyxy(small_HW)
        if box is None:
            return dict.fromkeys(COLOUR_LOOKS)
        height, width = small_HW.shape
        x0, y0, x1, y1 = max(0, box[0] - RING - 1), max(0, box[1] - RING - 1), box[2] + RING + 1, box[3] + RING + 1
        part = np.s_[y0 : min(y1, height), x0 : min(x1, width)]
        inside_HW = np.ascontiguousarray(small_HW[part])
        near_HW = grown(inside_HW, RING)
        edge_HW = grown(inside_HW, 1) & grown(~inside_HW, 1)
        bins_HW, gradient_HW = picture.bins_HW[part], picture.gradient_HW[part]
        colours_B, around_B = histogram(bins_HW[inside_HW]), histogram(bins_HW[near_HW & ~inside_HW])
        seed_B = self.seeds.setdefault(object_id, colours_B)
        others = [float(colours_B @ other_B) for known, other_B in self.seeds.items() if known != object_id]
        # a mask that fills the whole frame has no contour
        at_edge = gradient_HW[edge_HW].mean() if edge_HW.any() else 0.0
        return {
            "colour_seed": float(colours_B @ seed_B), "colour_ring": float(around_B @ seed_B),
            "colour_other": max(others, default=None),
            "edge_gradient": math.log((at_edge + LEAST_GRADIENT) / (gradient_HW[near_HW].mean() + LEAST_GRADIENT)),
        }


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail as looks read it: the bin of each pixel's chroma (H, W), and how much it differs from its neighbours."""

    bins_HW: npt.NDArray[np.intp]
    gradient_HW: Floats

    @classmethod
    def of(cls, small_HW3: Image8 | None) -> "Picture | None":
        """Read a thumbnail; None of none.

        Chroma is red and green against the mean of the three, over that mean, so that more light changes it little.
        """
        if small_HW3 is None:
            return None
        colours_HW3 = small_HW3.astype(np.float32)
        light_HW1 = colours_HW3.mean(axis=2, keepdims=True)
        chroma_HW2 = (colours_HW3[..., :2] - light_HW1) / (light_HW1 + 25.5)
        index_HW2 = np.clip((chroma_HW2 * 0.5 + 0.5) * BINS, 0, BINS - 1).astype(np.intp)
        down, right = (np.abs(np.diff(colours_HW3, axis=axis)).mean(axis=2) for axis in (0, 1))
        gradient_HW = np.zeros(small_HW3.shape[:2], np.float32)
        gradient_HW[1:] += down
        gradient_HW[:-1] += down
        gradient_HW[:, 1:] += right
        gradient_HW[:, :-1] += right
        return cls(index_HW2[..., 0] * BINS + index_HW2[..., 1], gradient_HW)


def histogram(bins_P: npt.NDArray[np.intp]) -> Floats:
    """Return the root of the share of pixels in each bin (B,): the dot product of two is their Bhattacharyya coefficient."""
    counts_B = np.bincount(bins_P, minlength=BINS * BINS).astype(np.float32)
    roots_B: Floats = np.sqrt(counts_B / max(len(bins_P), 1))
    return roots_B


def grown(mask_HW: Bools, by: int) -> Bools:
    """Return a mask grown by a square of `by` pixels each way; what lies beyond the border does not grow in."""
    for axis in (0, 1):
        wide = mask_HW
        for _ in range(by):
            wide = wide.copy()
            before, after = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
            step = wide[before].copy()
            wide[before] |= wide[after]
            wide[after] |= step
        mask_HW = wide
    return mask_HW
