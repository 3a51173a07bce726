"""A small published store with masks that are known: three videos, five tracks, one of which a person rejected."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from labeling import rle
from labeling.config import QCConfig
from labeling.ingest.listing import video_id_of
from labeling.objects import open_objects
from labeling.qc.signals import SignalMeter
from labeling.store.publish import publish
from labeling.store.records import TrackRow
from labeling.store.writer import BatchWriter
from labeling.types import FrameMask, Prompt, Provenance, ReviewDecision, Video, VideoRef

Mask = npt.NDArray[np.bool_]
SIZE_HW = (40, 64)
RATE = Fraction(12)
PROVENANCE = Provenance("sam2.1_nano", "ab" * 32, "samurai", "fp32", 256, "cpu", -1.0, "forward", 1, "0.1", "r1", "2025-01-01")


@dataclass(frozen=True, slots=True)
class Labelled:
    """The store's root, and the masks (H, W) by video key, object and frame that were put into it."""

    root: str
    masks: Mapping[str, Mapping[int, Mapping[int, Mask]]]


def block(top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros(SIZE_HW, bool)
    mask[top:top + height, left:left + width] = True
    return mask


def drawn_masks() -> dict[str, dict[int, dict[int, Mask]]]:
    """`a.mp4`: a large object 3 under a small object 7 that enters at frame 2 and is away on frame 4."""
    wide = {i: block(5, 2 + i, 30, 30) for i in range(6)}
    small = {i: block(10, 10 + i, 6, 8) if i != 4 else np.zeros(SIZE_HW, bool) for i in range(2, 6)}
    return {
        "clips/a.mp4": {3: wide, 7: small},
        "clips/a.mov": {1: {i: block(0, i, 12, 5) for i in range(0, 9, 2)}},
        "night/b.mp4": {0: {0: block(1, 1, 3, 3)}, 1: {i: block(20, 20, 9, 9) for i in range(3)}},
    }


def frame_mask(frame_idx: int, mask: Mask) -> FrameMask:
    encoded = rle.encode(mask)
    seconds = float(frame_idx / RATE)
    return FrameMask(frame_idx, seconds, encoded, int(mask.sum()), rle.box_xywh(encoded), 0.75, 5.0, motion_iou=0.5)


def write_video_rows(root: Path, key: str, masks: Mapping[int, Mapping[int, Mask]], *, run_id: str = "r1") -> None:
    """Write one video's tracks as a job does."""
    video_id = video_id_of(key)
    video = Video(VideoRef(video_id, key, f"/videos/{key}", "etag-1", 1000), SIZE_HW, RATE, 10, 10 / 12, "h264")
    rows = []
    with BatchWriter(open_objects(str(root)), run_id=run_id, video=video, batch=video_id, scratch=root / "scratch") as writer:
        for object_id, frames in masks.items():
            meter = SignalMeter(SIZE_HW, RATE, -1.0)
            for frame_idx, mask in frames.items():
                writer.add(object_id, 1, f"{object_id:064x}", frame := frame_mask(frame_idx, mask))
                meter.add(frame)
            category = "car" if object_id != 0 else None
            prompt = Prompt(object_id, min(frames), box_xyxy=(1.0, 1.0, 9.0, 9.0), category=category)
            rows.append(TrackRow(object_id, 1, f"{object_id:064x}", category, (prompt,), meter.signals(), PROVENANCE))
        writer.finish(rows)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    """The store; object 1 of night/b.mp4 is rejected, all others accepted."""
    root = tmp_path_factory.mktemp("store")
    masks = drawn_masks()
    for key, tracks in masks.items():
        write_video_rows(root, key, tracks)
    no = ReviewDecision(video_id_of("night/b.mp4"), "1", 1, "reject", "ann", "2025-01-02T00:00:00+00:00")
    publish(open_objects(str(root)), QCConfig("off", []), run_id="r1", decisions=[no])
    return Labelled(str(root), masks)
