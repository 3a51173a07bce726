"""Detectors of `torchvision.models.detection`, the package's own small one among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from labeling.errors import BadConfiguration
from labeling.track.association import Detection
from sam2.checkpoint import read_weights

if TYPE_CHECKING:
    from torch import nn

Image8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TorchvisionDetector:
    """Any network that answers a list of frames (3, H, W) in [0, 1] with `boxes`, `scores` and `labels`.

    `categories` name labels from 1 on; with queries only boxes of categories that are among them stay.
    """

    network: "nn.Module"
    categories: tuple[str, ...]
    device: str = "cpu"

    def detect(self, frames: Sequence[Image8], queries: Sequence[str]) -> list[list[Detection]]:
        import torch

        pictures = [torch.from_numpy(np.ascontiguousarray(f.transpose(2, 0, 1))).to(self.device).float() / 255 for f in frames]
        with torch.no_grad(), torch.autocast(torch.device(self.device).type, enabled=False):
            answers = self.network(pictures)
        return [list(self._detections(answer, queries)) for answer in answers]

    def _detections(self, answer: dict[str, Any], queries: Sequence[str]) -> list[Detection]:
        rows = zip(answer["boxes"].tolist(), answer["scores"].tolist(), answer["labels"].tolist(), strict=True)
        seen = [Detection((box[0], box[1], box[2], box[3]), score, self._name(label)) for box, score, label in rows]
        return [detection for detection in seen if not queries or detection.label in queries]

    def _name(self, label: int) -> str:
        return self.categories[label - 1] if 1 <= label <= len(self.categories) else str(label)


def open_torchvision(model: str, checkpoint: Path, categories: Sequence[str], device: str) -> TorchvisionDetector:
    """Build the named architecture for these categories and load its weights, a state dict or safetensors.

    BadConfiguration where torchvision has no such detector, or the weights are another's.
    """
    from torchvision.models import detection as architectures
    from torchvision.models import get_model, list_models

    names = list_models(module=architectures)
    if model not in names:
        raise BadConfiguration(f"prompts.detector.model is {model!r}; expected one of {', '.join(names)}")
    if not categories:
        raise BadConfiguration("prompts.detector.categories is []; expected the names of labels 1, 2, ... of the checkpoint")
    network = get_model(model, weights=None, weights_backbone=None, num_classes=len(categories) + 1)
    try:
        network.load_state_dict(read_weights(checkpoint))
    except (RuntimeError, ValueError, OSError) as error:
        raise BadConfiguration(
            f"prompts.detector.checkpoint {str(checkpoint)!r} is not one of {model} with {len(categories)} categories: "
            f"{str(error)[:300]}"
        ) from error
    return TorchvisionDetector(network.eval().to(device), tuple(categories), device)
