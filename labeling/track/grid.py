"""Seeds that nobody drew: masks of everything on chosen frames of one video, each object once.

Parts and holes that are small go, as for SA-V's own seeds (Ravi et al. 2024, "SAM 2", section 5). An object of an earlier
chosen frame is followed to the later ones, and what covers it there is no new object.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.errors import require
from labeling.ingest.prompts import ScoredPrompt
from labeling.track.follow import SampledFrames, follow
from labeling.track.predictor import Predictor
from labeling.types import RLE, Prompt

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


FOUND_BY = "grid"


@dataclass(frozen=True, slots=True)
class GridRule:
    """Which masks of a grid of points become seeds.

    Points a side; the least predicted IoU and stability; parts, holes and objects below `min_pixels` of the frame go, and
    masks of more than `max_share` of it, which are background; `same_iou` is how much of an object that is known already
    a mask may cover. Raises ValueError for what is no share or count.
    """

    points_per_side: int = 32
    min_iou: float = 0.8
    min_stability: float = 0.9
    min_pixels: int = 200
    max_share: float = 0.5
    same_iou: float = 0.1

    def __post_init__(self) -> None:
        require(1 <= self.points_per_side <= 256, "points_per_side", self.points_per_side, "1 to 256")
        require(self.min_pixels >= 0, "min_pixels", self.min_pixels, "0 or more")
        for name in ("min_iou", "min_stability", "max_share", "same_iou"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "a share in [0, 1]")


class MaskFinder(Protocol):
    """Finds masks in a frame: dicts with `segmentation` (H, W) and `predicted_iou`."""

    def generate(self, image: npt.NDArray[np.uint8]) -> list[dict[str, Any]]: ...


def grid_finder(predictor: Predictor, rule: GridRule) -> MaskFinder:
    """Return what finds masks with the predictor's own network."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    finder: MaskFinder = SAM2AutomaticMaskGenerator(
        cast("SAM2Base", predictor),
        points_per_side=rule.points_per_side,
        pred_iou_thresh=rule.min_iou,
        stability_score_thresh=rule.min_stability,
    )
    return finder


def find_seeds(
    predictor: Predictor, finder: MaskFinder, frames: SampledFrames, looked_at: Sequence[int], *, rule: GridRule
) -> Iterator[ScoredPrompt]:
    """Yield the objects that first show on frames at ascending positions `looked_at`, numbered from 1.

    Frames are upright RGB (H, W, 3) uint8; those between are read where there is an object to follow through them.
    """
    known: dict[int, list[RLE]] = defaultdict(list)
    count = 0
    for number, position in enumerate(looked_at):
        frame_HW3, frame_idx = frames[position], frames.frame_indices[position]
        new: list[ScoredPrompt] = []
        for mask, score in masks_of(finder, frame_HW3, rule):
            if all(rle.iou(mask, other) < rule.same_iou for other in known[frame_idx]):
                known[frame_idx].append(mask)
                count += 1
                new.append(ScoredPrompt(Prompt(count, frame_idx, mask=mask), round(score, 4), FOUND_BY))
        yield from new
        later = {frames.frame_indices[k] for k in looked_at[number + 1 :]}
        if new and later:
            height, width = frame_HW3.shape[:2]
            for tracked in follow(predictor, frames, [seed.prompt for seed in new], size_hw=(height, width)):
                if tracked.mask.frame_idx in later and tracked.mask.visible:
                    known[tracked.mask.frame_idx].append(tracked.mask.rle)


def masks_of(finder: MaskFinder, frame_HW3: npt.NDArray[np.uint8], rule: GridRule) -> Iterator[tuple[RLE, float]]:
    """Yield the masks of one frame that are seeds by themselves, with their predicted IoU, best first."""
    from sam2.utils.amg import remove_small_regions

    most = rule.max_share * frame_HW3.shape[0] * frame_HW3.shape[1]
    for answer in finder.generate(frame_HW3):
        mask_HW = answer["segmentation"]
        for kind in ("holes", "islands"):
            mask_HW, _ = remove_small_regions(mask_HW, rule.min_pixels, kind)
        if max(1, rule.min_pixels) <= mask_HW.sum() <= most:
            yield rle.encode(mask_HW), float(answer["predicted_iou"])
