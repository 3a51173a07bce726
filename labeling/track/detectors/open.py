"""The detector that a configuration names."""

from pathlib import Path

from labeling.config import DetectorConfig
from labeling.errors import BadConfiguration
from labeling.track.detectors.small import CATEGORY, WEIGHTS, load_small_detector
from labeling.track.detectors.torchvision_models import TorchvisionDetector, open_torchvision
from labeling.track.detectors.ultralytics_process import UltralyticsDetector
from labeling.track.detectors.zero_shot import open_zero_shot
from labeling.track.finding import Detector

KINDS = ("small", "torchvision", "transformers", "ultralytics")


def open_detector(config: DetectorConfig, *, device: str) -> Detector:
    """Load the detector; BadConfiguration for an unknown name, or a checkpoint that is not there or another's."""
    if config.name not in KINDS:
        raise BadConfiguration(f"prompts.detector.name is {config.name!r}; expected one of {', '.join(KINDS)}")
    if config.name == "small":
        path = Path(config.checkpoint).expanduser() if config.checkpoint else WEIGHTS
        return TorchvisionDetector(load_small_detector(path, device=device), (CATEGORY,), device)
    if not config.checkpoint or not (checkpoint := Path(config.checkpoint).expanduser()).exists():
        raise BadConfiguration(f"prompts.detector.checkpoint is {config.checkpoint!r}; expected a file or folder that is here")
    if config.name == "torchvision":
        return open_torchvision(config.model, checkpoint, config.categories, device)
    if config.name == "transformers":
        return open_zero_shot(checkpoint, config.queries, config.min_score, device)
    if not config.python:
        raise BadConfiguration("prompts.detector.python is null; expected the Python of an environment with ultralytics")
    return UltralyticsDetector(Path(config.python).expanduser(), checkpoint, config.min_score)
