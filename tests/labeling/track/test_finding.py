"""Objects found by a detector and the shipped tracker: in mid-video too, each once, whatever the detector misses or doubles."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from flows.demo.clips import DemoTruth, render_demo
from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.geometry import box_xyxy_of
from labeling.ingest.decode import FrameReader, sampled_frames
from labeling.ingest.probe import probe
from labeling.track.association import AssociationRule, Detection
from labeling.track.finding import DetectorSeeds, Image8
from labeling.track.predictor import arithmetic, build_predictor, recipe_of
from labeling.types import VideoRef


class Seeing:
    """A detector that is told what is there, frame by frame; one in five boxes is missed, one in ten doubled."""

    def __init__(self, boxes: Sequence[Sequence[tuple[float, ...]]]) -> None:
        self.boxes, self.random = iter(boxes), np.random.default_rng(5)

    def detect(self, frames: Sequence[Image8], queries: Sequence[str]) -> list[list[Detection]]:
        return [[d for box in next(self.boxes) for d in self._seen(box)] for _ in frames]

    def _seen(self, box: tuple[float, ...]) -> list[Detection]:
        chance = self.random.random()
        times = 0 if chance < 0.2 else 2 if chance > 0.9 else 1
        moved = [np.array(box) + self.random.normal(0, 1, 4) for _ in range(times)]
        return [Detection((b[0], b[1], b[2], b[3]), 0.9) for b in moved]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return render_demo(tmp_path_factory.mktemp("demo"))


def test_each_object_is_found_once_with_its_first_frame(demo: DemoTruth) -> None:
    path, masks = demo.folder / "late_start.mp4", demo.masks["late_start.mp4"]
    video = probe(VideoRef("0" * 16, path.name, str(path), "x", 1), Path(path))
    recipe = recipe_of(NetworkConfig(), PrecisionConfig(), TrackerConfig())
    positions = range(0, 40, 2)
    boxes = [[box_xyxy_of(xywh) for rles in masks.values() if (xywh := rle.box_xywh(rles[k]))] for k in positions]
    with (
        FrameReader(path, video, sampled_frames(path, video, None, 1)) as frames,
        arithmetic("fp32", device="cpu"),
    ):
        finder = DetectorSeeds(build_predictor(recipe, None, device="cpu"), Seeing(boxes), AssociationRule())
        seeds = finder(frames, positions)
    assert [seed.object_id for seed in seeds] == [1, 2]
    assert seeds[0].frame_idx <= 4
    assert demo.first_frame["late_start.mp4"][2] <= seeds[1].frame_idx <= 18
    assert all(seed.prompt.box_xyxy and seed.found_by == "detector" for seed in seeds)
