"""Detectors of `transformers` that take words: Grounding DINO, OWLv2 and their like, from a folder of `save_pretrained`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.errors import BadConfiguration
from labeling.track.association import Detection

Image8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ZeroShotDetector:
    """A zero-shot network and its processor; boxes below `threshold` are left out, and labels are queries."""

    network: Any
    processor: Any
    threshold: float
    device: str = "cpu"

    @property
    def is_grounded(self) -> bool:
        """Whether the network reads its queries as one text and answers with pieces of it."""
        return hasattr(self.processor, "post_process_grounded_object_detection") and "grounding" in self._kind

    @property
    def _kind(self) -> str:
        return str(self.network.config.model_type)

    def detect(self, frames: Sequence[Image8], queries: Sequence[str]) -> list[list[Detection]]:
        import torch

        words = [query.strip().lower() if self.is_grounded else query for query in queries]
        text = [f"{'. '.join(words)}."] * len(frames) if self.is_grounded else [words] * len(frames)
        given = self.processor(images=list(frames), text=text, return_tensors="pt", padding=True).to(self.device)
        with torch.no_grad(), torch.autocast(torch.device(self.device).type, enabled=False):
            answer = self.network(**given)
        sizes = [frame.shape[:2] for frame in frames]
        if self.is_grounded:
            found = self.processor.post_process_grounded_object_detection(
                answer, given["input_ids"], threshold=self.threshold, text_threshold=self.threshold, target_sizes=sizes
            )
        else:
            found = self.processor.post_process_grounded_object_detection(
                answer, threshold=self.threshold, target_sizes=sizes, text_labels=text
            )
        return [_detections(one, words, queries) for one in found]


def open_zero_shot(folder: Path, queries: Sequence[str], threshold: float, device: str) -> ZeroShotDetector:
    """Load a network from a folder; BadConfiguration without `transformers`, without queries or for another folder."""
    if not queries:
        raise BadConfiguration("prompts.detector.queries is []; expected words for the objects, as [car,person]")
    try:
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor
    except ImportError as error:
        message = f"prompts.detector.name=transformers needs the package ({error}): pip install transformers"
        raise BadConfiguration(message) from error
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        network = AutoModelForZeroShotObjectDetection.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise BadConfiguration(
            f"prompts.detector.checkpoint {str(folder)!r} is no folder of a zero-shot detector: {str(error)[:300]}"
        ) from error
    return ZeroShotDetector(network.eval().to(device), processor, threshold, device)


def _detections(found: Any, words: Sequence[str], queries: Sequence[str]) -> list[Detection]:
    labels = found.get("text_labels", found["labels"])
    rows = zip(found["boxes"].tolist(), found["scores"].tolist(), labels, strict=True)
    return [
        Detection((box[0], box[1], box[2], box[3]), score, _query(label, words, queries))
        for box, score, label in rows
        if box[2] > box[0] and box[3] > box[1]
    ]


def _query(label: object, words: Sequence[str], queries: Sequence[str]) -> str:
    """The query that a label is of; Grounding DINO may answer with a part of one, or with two of them."""
    text = str(label).strip().lower()
    lowered = [word.lower() for word in words]
    if text in lowered:
        return queries[lowered.index(text)]
    pieces = set(re.findall(r"\w+", text))
    shared = [len(pieces & set(re.findall(r"\w+", word))) for word in lowered]
    return queries[int(np.argmax(shared))] if any(shared) else text
