"""Detectors from local checkpoints: the shipped one sees drawn objects, torchvision's are built bare, errors are named."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flows.learn.small_detector import drawn_boxes, drawn_scene
from labeling.config import DetectorConfig
from labeling.errors import BadConfiguration, Unavailable
from labeling.track.association import ious
from labeling.track.detectors.open import open_detector
from labeling.track.detectors.small import WEIGHTS
from labeling.track.detectors.torchvision_models import TorchvisionDetector

FRAME = np.zeros((32, 48, 3), np.uint8)


class Answering(torch.nn.Module):
    """Answers each frame with two boxes of two labels."""

    def forward(self, pictures: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        boxes = torch.tensor([[1.0, 2.0, 9.0, 8.0], [3.0, 3.0, 20.0, 30.0]])
        return [{"boxes": boxes, "scores": torch.tensor([0.75, 0.5]), "labels": torch.tensor([2, 7])} for _ in pictures]


def test_labels_are_named_and_queries_choose_among_them() -> None:
    detector = TorchvisionDetector(Answering(), ("car", "dog"))
    first, second = detector.detect([FRAME, FRAME], ())
    assert first == second
    assert [(d.label, d.score, d.box_xyxy) for d in first] == [("dog", 0.75, (1, 2, 9, 8)), ("7", 0.5, (3, 3, 20, 30))]
    assert [d.label for d in detector.detect([FRAME], ("dog",))[0]] == ["dog"]


def test_the_shipped_detector_finds_most_drawn_objects_and_is_small() -> None:
    assert WEIGHTS.stat().st_size <= 8_000_000
    detector, found, there = open_detector(DetectorConfig(), device="cpu"), 0, 0
    for seed in range(9_000_000, 9_000_012):
        frame_HW3, boxes_N4 = drawn_boxes(drawn_scene(seed, (192, 256)), 3)
        boxes = [(b[0], b[1], b[2], b[3]) for b in boxes_N4.tolist()]
        seen = [d.box_xyxy for d in detector.detect([frame_HW3], ())[0] if d.score >= 0.35]
        there += len(boxes)
        found += int((ious(boxes, seen).max(axis=1, initial=0) >= 0.5).sum())
    assert found / there > 0.4, f"{found} of {there}"


def test_an_architecture_of_torchvision_takes_its_own_weights(tmp_path: Path) -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    torch.manual_seed(0)
    network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "x.pt")
    config = DetectorConfig(
        name="torchvision", model="ssdlite320_mobilenet_v3_large", checkpoint=str(tmp_path / "x.pt"), categories=["a", "b"]
    )
    (seen,) = open_detector(config, device="cpu").detect([FRAME], ())
    assert {d.label for d in seen} <= {"a", "b"}
    config.categories = ["a"]
    with pytest.raises(BadConfiguration, match="is not one of ssdlite320_mobilenet_v3_large with 1 categories"):
        open_detector(config, device="cpu")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DetectorConfig(name="yolo"), "prompts.detector.name is 'yolo'; expected one of small"),
        (DetectorConfig(name="torchvision"), "prompts.detector.checkpoint is None"),
        (DetectorConfig(name="torchvision", model="x", checkpoint=__file__), "prompts.detector.model is 'x'"),
        (DetectorConfig(name="transformers", checkpoint=__file__), "prompts.detector.queries is"),
        (DetectorConfig(name="ultralytics", checkpoint=__file__), "prompts.detector.python is null"),
        (DetectorConfig(name="ultralytics", checkpoint=__file__, python="/none"), "prompts.detector.python is '/none'"),
        (DetectorConfig(checkpoint=__file__), "detector weights"),
    ],
)
def test_what_cannot_be_opened_is_named(config: DetectorConfig, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        open_detector(config, device="cpu")


def test_a_process_speaks_for_ultralytics_and_its_end_is_told(tmp_path: Path) -> None:
    import sys

    from labeling.track.detectors.ultralytics_process import UltralyticsDetector

    with pytest.raises(Unavailable, match="the process of ultralytics ended with 1: .*ultralytics"):
        UltralyticsDetector(Path(sys.executable), tmp_path / "none.pt", 0.5)
