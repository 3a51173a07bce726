"""Finding the objects of one video without prompts: by a grid of points, or by a detector and the tracker together."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.geometry import box_xyxy_of
from labeling.ingest.prompts import ScoredPrompt
from labeling.track.association import Association, AssociationRule, Candidate, Detection
from labeling.track.follow import SampledFrames, follow
from labeling.track.grid import GridRule, MaskFinder, find_seeds
from labeling.track.predictor import Predictor
from labeling.types import Box, Prompt

Image8 = npt.NDArray[np.uint8]
FOUND_BY = "detector"
BATCH = 8       # frames that a detector is given at once


class Detector(Protocol):
    """Finds boxes of objects on frames (H, W, 3) RGB uint8; `queries` are words for them, where it takes words."""

    def detect(self, frames: Sequence[Image8], queries: Sequence[str]) -> list[list[Detection]]: ...


class SeedFinder(Protocol):
    """Finds the objects that show on frames at ascending positions `looked_at`."""

    def __call__(self, frames: SampledFrames, looked_at: Sequence[int]) -> list[ScoredPrompt]: ...


@dataclass(frozen=True)
class GridSeeds:
    """Finds objects by masks of a grid of points; `boxes` gives their boxes, not the masks."""

    predictor: Predictor
    finder: MaskFinder
    rule: GridRule
    boxes: bool = False

    def __call__(self, frames: SampledFrames, looked_at: Sequence[int]) -> list[ScoredPrompt]:
        seeds = find_seeds(self.predictor, self.finder, frames, looked_at, rule=self.rule)
        return [_as_box(seed) if self.boxes else seed for seed in seeds]


@dataclass(frozen=True)
class DetectorSeeds:
    """Finds objects by a detector's boxes; each is followed to the later frames, so that it is found once."""

    predictor: Predictor
    detector: Detector
    rule: AssociationRule
    queries: tuple[str, ...] = ()

    def __call__(self, frames: SampledFrames, looked_at: Sequence[int]) -> list[ScoredPrompt]:
        view = Looked(frames, looked_at)
        tracks = associated(self.predictor, view, list(detections_on(self.detector, view, self.queries)), self.rule)
        return [
            ScoredPrompt(_prompt(number, track, _size_of(frames)), round(track.detection.score, 4), FOUND_BY)
            for number, track in enumerate(tracks, start=1)
        ]


@dataclass(frozen=True)
class Looked:
    """Some of the sampled frames, as a video of their own; objects are followed from one to the next."""

    frames: SampledFrames
    positions: Sequence[int]

    @property
    def frame_indices(self) -> Sequence[int]:
        return [self.frames.frame_indices[position] for position in self.positions]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, position: int, /) -> Image8:
        return self.frames[self.positions[position]]

    def pts_seconds(self, position: int) -> float:
        return self.frames.pts_seconds(self.positions[position])


def detections_on(detector: Detector, frames: SampledFrames, queries: Sequence[str]) -> Iterator[list[Detection]]:
    """Yield what a detector sees on each frame, inside of the frame."""
    for start in range(0, len(frames), BATCH):
        pictures = [frames[position] for position in range(start, min(start + BATCH, len(frames)))]
        for picture, seen in zip(pictures, detector.detect(pictures, queries), strict=True):
            yield [inside for d in seen if (inside := _inside(d, picture.shape[:2])) is not None]


def associated(
    predictor: Predictor, frames: SampledFrames, detections: Sequence[Sequence[Detection]], rule: AssociationRule
) -> list[Candidate]:
    """Return the detections that begin an object, in the order of frames; `detections` are those of each frame."""
    association, places = Association(rule), defaultdict[int, dict[int, Box]](dict)
    for frame_idx, seen in zip(frames.frame_indices, detections, strict=True):
        new = association.look(frame_idx, seen, places.pop(frame_idx, {}))
        if not new or frame_idx == frames.frame_indices[-1]:
            continue
        size_hw = _size_of(frames)
        prompts = [_prompt(track.object_id, track, size_hw) for track in new]
        for tracked in follow(predictor, frames, prompts, size_hw=size_hw):
            if tracked.mask.box_xywh is not None and tracked.mask.frame_idx > frame_idx:
                places[tracked.mask.frame_idx][tracked.object_id] = box_xyxy_of(tracked.mask.box_xywh)
    return association.kept()


def _prompt(object_id: int, track: Candidate, size_hw: tuple[int, int]) -> Prompt:
    x0, y0, x1, y1 = track.detection.box_xyxy
    height, width = size_hw
    box = max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)
    return Prompt(object_id, track.frame_idx, box_xyxy=box, category=track.detection.label)


def _inside(detection: Detection, size_hw: tuple[int, ...]) -> Detection | None:
    """Cut a box at the frame's borders; None where less than a pixel is left."""
    x0, y0, x1, y1 = detection.box_xyxy
    box = max(0.0, x0), max(0.0, y0), min(float(size_hw[1]), x1), min(float(size_hw[0]), y1)
    return replace(detection, box_xyxy=box) if box[2] - box[0] >= 1 and box[3] - box[1] >= 1 else None


def _size_of(frames: SampledFrames) -> tuple[int, int]:
    height, width = frames[0].shape[:2]
    return height, width


def _as_box(seed: ScoredPrompt) -> ScoredPrompt:
    assert seed.prompt.mask is not None, "the grid gives masks"
    xywh = rle.box_xywh(seed.prompt.mask)
    assert xywh is not None, "a seed has a pixel"
    return replace(seed, prompt=Prompt(seed.object_id, seed.frame_idx, box_xyxy=box_xyxy_of(xywh)))
