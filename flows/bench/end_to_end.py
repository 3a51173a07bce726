"""The whole way of one video, as an actor goes it: fetched from S3, decoded, tracked, measured, written as Parquet."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

from flows.bench.clip import FRAME_RATE, BenchClip
from flows.bench.results import BenchCase
from flows.demo.clips import write_mp4
from flows.demo.shapes import Image8
from flows.label_video import LabelVideo
from labeling.config import LabelConfig, RunConfig, TrackConfig
from labeling.ingest.listing import ref_of
from labeling.jobs import Job
from labeling.objects import open_objects
from labeling.store.keys import batch_of, digest
from labeling.types import Prompt, VideoRef

RUN = "bench"
WARM_UP_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Labelled:
    """How long one pass took, in seconds: all of it, and by the stages that a receipt names."""

    seconds: float
    by_stage: Mapping[str, float]


@contextmanager
def uploaded(predictor: Any, clip: BenchClip, case: BenchCase) -> Iterator[Callable[[], Labelled]]:
    """Put the clip into `case.bucket` as an mp4 and give what labels it, each time into a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ref, short = (
            _upload(Path(folder) / f"{case.objects}x{num_frames}.mp4", clip.frames[:num_frames], str(case.bucket))
            for num_frames in (case.length, WARM_UP_FRAMES)
        )
        work = _work(predictor, case, scratch=str(Path(folder) / "scratch"))
        passes = count()

        def label(video: VideoRef) -> Labelled:
            number = next(passes)
            work.store = open_objects(str(Path(folder) / f"store{number}"))
            started = time.perf_counter()
            # As in an actor: while this one tracks, the next is fetched and probed.
            work.prepare(_job(ref, clip, number + 1))
            receipt = work(_job(video, clip, number), deadline=math.inf)
            return Labelled(time.perf_counter() - started, receipt.seconds_by_stage)

        # The first video of an actor pays for clients and libraries that are loaded late; none after it does.
        label(short)
        yield lambda: label(ref)
        work.close()


def _upload(path: Path, frames: Sequence[Image8], bucket: str) -> VideoRef:
    write_mp4(path, frames, Fraction(FRAME_RATE))
    open_objects(bucket).put_file(path.name, path)
    path.unlink()
    return ref_of(f"{bucket}/{path.name}")


def _work(predictor: Any, case: BenchCase, *, scratch: str) -> LabelVideo:
    # One batch, as in the passes from memory, so that the two differ only in what lies around the network.
    track = TrackConfig(max_objects_per_batch=max(case.objects, TrackConfig().max_objects_per_batch))
    work = LabelVideo(LabelConfig(run=RunConfig(scratch=scratch), track=track), case.recipe, RUN)
    work.predictor, work.device = predictor, case.device
    return work


def _job(ref: VideoRef, clip: BenchClip, number: int = 0) -> Job:
    prompts = tuple(Prompt(k, 0, box_xyxy=box) for k, box in enumerate(clip.boxes_xyxy, start=1))
    keys = {prompt.object_id: digest(f"{RUN} {number} {prompt.object_id}") for prompt in prompts}
    return Job(RUN, ref, prompts, keys, dict.fromkeys(keys, 1), batch_of(keys.values()))
