"""A drawn clip with two objects and a store of their masks, one of them wrong for a while: what the page's tests look at.

Legend: T frames, H, W height and width in pixels, 3 red, green and blue.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.config import QCConfig, RuleConfig
from labeling.ingest.listing import ref_of
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Job
from labeling.objects import FolderObjects
from labeling.qc.signals import SignalMeter
from labeling.review.overlays import write_video
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.writer import BatchWriter
from labeling.types import FrameMask, Prompt
from tests.labeling.store.made_store import RECIPE, track_row, video_of

FRAME_RATE = 12
RULES = QCConfig("page", [
    RuleConfig("predicted_iou_softmin", "low_predicted_iou", "at_least", 0.75, None),
    RuleConfig("area_jump_max", "area_jump", "at_most", 0.6, None),
    RuleConfig("visible_share", "object_lost", "at_least", 0.9, None),
])


@dataclass(frozen=True)
class Scene:
    """How a clip and its masks are drawn; `mask` gives what the tracker saw of an object, with its predicted IoU."""

    size_hw: tuple[int, int]
    num_frames: int
    rgb: Callable[[int], npt.NDArray[np.uint8]]
    mask: Callable[[int, int], tuple[npt.NDArray[np.bool_], float]]
    categories: Sequence[str] = ("car", "person")


SIZE_HW, NUM_FRAMES = (96, 160), 36
WRONG = range(14, 20)
LOST = range(24, 29)


def disc(object_id: int, frame_idx: int) -> npt.NDArray[np.bool_]:
    """Where an object is on a frame (H, W): object 1 goes right, object 2 goes left."""
    x, y = (24 + 3 * frame_idx, 34) if object_id == 1 else (140 - 2 * frame_idx, 68)
    rows, columns = np.ogrid[:SIZE_HW[0], :SIZE_HW[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 < 14**2


def _rgb(frame_idx: int) -> npt.NDArray[np.uint8]:
    rgb_HW3 = np.full((*SIZE_HW, 3), (56, 62, 70), np.uint8)
    rgb_HW3[disc(1, frame_idx)] = (214, 72, 60)
    rgb_HW3[disc(2, frame_idx)] = (70, 140, 220)
    return rgb_HW3


def _seen(object_id: int, frame_idx: int) -> tuple[npt.NDArray[np.bool_], float]:
    """Object 1's mask holds both objects for a while, and is empty later; object 2 is lost with it."""
    own_HW = disc(object_id, frame_idx)
    if frame_idx in LOST:
        return np.zeros(SIZE_HW, np.bool_), 0.4
    if object_id == 1 and frame_idx in WRONG:
        return own_HW | disc(2, frame_idx), 0.5
    return own_HW, 0.9375


SMALL = Scene(SIZE_HW, NUM_FRAMES, _rgb, _seen)


def frame_mask(scene: Scene, object_id: int, frame_idx: int) -> FrameMask:
    """The row that a tracker would have written."""
    mask_HW, predicted_iou = scene.mask(object_id, frame_idx)
    runs = rle.encode(mask_HW)
    return FrameMask(
        frame_idx=frame_idx, pts_seconds=frame_idx / FRAME_RATE, rle=runs, area=rle.area(runs), box_xywh=rle.box_xywh(runs),
        predicted_iou=predicted_iou, object_score=5.5 if mask_HW.any() else -3.5, stability=0.95,
    )


def make_store(folder: Path, scene: Scene = SMALL, *, videos: Sequence[str] = ("a.mp4", "b.mp4")) -> FolderObjects:
    """Draw the clips, write their masks and publish them judged."""
    objects = FolderObjects(folder / "store")
    refs = []
    for key in videos:
        write_video(folder / "clips" / key, map(scene.rgb, range(scene.num_frames)), FRAME_RATE)
        refs.append(ref_of(str(folder / "clips" / key)))
    prompts = tuple(_seed(scene, number, category) for number, category in enumerate(scene.categories, start=1))
    table = PromptTable({ref.key: prompts for ref in refs})
    for job in make_plan(refs, table, read_ledger(objects), RECIPE, "run-1").jobs:
        _write(objects, job, scene, folder / "scratch")
    publish(objects, RULES, run_id="run-1")
    return objects


def _seed(scene: Scene, object_id: int, category: str) -> Prompt:
    box = rle.box_xywh(rle.encode(scene.mask(object_id, 0)[0]))
    assert box is not None
    x, y, width, height = box
    return Prompt(object_id, 0, box_xyxy=(x, y, x + width, y + height), category=category)


def _write(objects: FolderObjects, job: Job, scene: Scene, scratch: Path) -> None:
    video = video_of(job.video, scene.num_frames)
    video = type(video)(video.ref, scene.size_hw, video.frame_rate, scene.num_frames, scene.num_frames / FRAME_RATE, "h264")
    meters = {object_id: SignalMeter(scene.size_hw, FRAME_RATE, -1.0) for object_id in job.keys}
    writer = BatchWriter(
        objects, run_id=job.run_id, video=video, batch=job.batch, scratch=scratch, components=job.components
    )
    with writer:
        for frame_idx in range(scene.num_frames):
            for object_id, key in job.keys.items():
                mask = frame_mask(scene, object_id, frame_idx)
                meters[object_id].add(mask)
                writer.add(object_id, job.label_versions[object_id], key, mask)
        writer.finish([track_row(job, object_id, meter) for object_id, meter in meters.items()])
