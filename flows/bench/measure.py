"""One pair of objects and length, measured in this process: frames/s from memory and from S3 to Parquet, stages, memory."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.bench.clip import FRAME_RATE, BenchClip, draw_bench_clip
from flows.bench.clock import DECODE, NETWORK, RUNS, Clock, clocked, settle
from flows.bench.machine import peak_gpu_mib, peak_rss_mib
from labeling.track.predictor import TrackerRecipe, arithmetic, build_predictor
from labeling.types import Box

FETCH, SIGNALS, WRITE, REST = "fetch", "QC signals", "Parquet write", "rest"
STAGES = (FETCH, DECODE, *NETWORK.values(), RUNS, SIGNALS, WRITE, REST)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to measure; `bucket` is the root of an S3 server for passes end to end, None for none.

    The last three are as in `BenchConfig`.
    """

    recipe: TrackerRecipe
    checkpoint: str | None
    device: str
    objects: int
    length: int
    size_hw: tuple[int, int]
    repeats: int
    bucket: str | None = None
    peer_precision: str | None = None
    peer_from: int = 0
    encode_batch: int = 1

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Asked":
        """Read back what `dataclasses.asdict` gave, also by way of JSON."""
        height, width = values["size_hw"]
        return cls(**{**values, "recipe": TrackerRecipe(**values["recipe"]), "size_hw": (height, width)})


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one pair, the shortest pass of each kind.

    `frames_per_second` counts masks at video size of frames that lie in memory, the prompted frame left out;
    `end_to_end_fps` counts all frames from the fetch to the done marker. `stages_ms` is milliseconds a frame by stage of
    one pass of the kind that `stages_of` names, prompts included. The peaks are those after the first pass from memory.
    """

    objects: int
    length: int
    frames_per_second: float
    peak_rss_mib: float
    peak_gpu_mib: float | None
    end_to_end_fps: float | None
    stages_of: str
    stages_ms: dict[str, float]

    @property
    def video_hours_per_day(self) -> float:
        """Hours of video at 30 frames/s that one worker labels in a day, by its slowest measured rate."""
        return 24 * (self.end_to_end_fps or self.frames_per_second) / FRAME_RATE

    @property
    def end_to_end_share(self) -> float | None:
        """Frames/s end to end by those from memory."""
        return None if self.end_to_end_fps is None else self.end_to_end_fps / self.frames_per_second


def measure(asked: Asked) -> Row:
    """Measure in this process; passes from memory and end to end take turns."""
    predictor = build_predictor(asked.recipe, asked.checkpoint, device=asked.device, encode_batch=asked.encode_batch)
    clip = draw_bench_clip(asked.objects, asked.length, size_hw=asked.size_hw)
    bare_s = [from_memory(predictor, clip, asked)]
    peaks = peak_rss_mib(), peak_gpu_mib(asked.device)
    if asked.bucket is None:
        bare_s += [from_memory(predictor, clip, asked) for _ in range(asked.repeats - 1)]
        end_to_end_fps, stages_ms = None, _stages_from_memory(predictor, clip, asked)
    else:
        end_to_end_fps, stages_ms = _end_to_end(predictor, clip, asked, bare_s)
    return Row(
        asked.objects, asked.length, (asked.length - 1) / min(bare_s), peaks[0], peaks[1], end_to_end_fps,
        "from memory" if asked.bucket is None else "end to end", stages_ms,
    )


def from_memory(predictor: Any, clip: BenchClip, asked: Asked) -> float:
    """Follow the clip once and return the seconds that all frames but the prompted one took.

    In a thread that then ends, as labelling does: `labeling.track.pipelined` says why.
    """
    with ThreadPoolExecutor(max_workers=1) as apart:
        return apart.submit(_from_memory, predictor, clip, asked).result()


def _from_memory(predictor: Any, clip: BenchClip, asked: Asked) -> float:
    with arithmetic(asked.recipe.precision, device=asked.device):
        state = prompted(predictor, clip.frames, clip.boxes_xyxy)
        pixels, started = 0, 0.0
        for position, out in enumerate(predictor.propagate(state, reverse=False, each_from_its_prompt=True)):
            pixels = pixels + (out.mask_logits > 0).sum()
            if position == 0:
                settle(asked.device)
                started = time.perf_counter()
        settle(asked.device)
        return time.perf_counter() - started


def prompted(predictor: Any, video: Any, boxes_xyxy: Sequence[Box]) -> Any:
    """Return a fresh state with a box for each object on the first frame."""
    state = predictor.init_state(video, memory="window")
    for object_id, box in enumerate(boxes_xyxy, start=1):
        predictor.add_new_points_or_box(state, 0, object_id, box=np.array(box, np.float32))
    return state


def _stages_from_memory(predictor: Any, clip: BenchClip, asked: Asked) -> dict[str, float]:
    clock = Clock(asked.device)
    with clocked(predictor, clock):
        started = time.perf_counter()
        from_memory(predictor, clip, asked)
        seconds = time.perf_counter() - started
    clock.seconds.pop(DECODE, None)     # frames in memory are not decoded
    return stages_ms(clock.seconds, seconds, asked.length)


def _end_to_end(
    predictor: Any, clip: BenchClip, asked: Asked, bare_s: list[float]
) -> tuple[float, dict[str, float]]:
    """Return frames/s and stages of passes from S3 to Parquet; passes from memory between them are added to `bare_s`."""
    # What only this needs is loaded after the peak of memory was taken.
    from flows.bench.end_to_end import uploaded

    whole_s = []
    with uploaded(predictor, clip, asked) as label:
        for repeat in range(asked.repeats):
            whole_s.append(label().seconds)
            if repeat < asked.repeats - 1:
                bare_s.append(from_memory(predictor, clip, asked))
        clock = Clock(asked.device)
        with clocked(predictor, clock):
            done = label()
    found = dict(clock.seconds)
    for stage, names in {FETCH: ("fetch", "probe"), SIGNALS: ("signals",), WRITE: ("write",)}.items():
        found[stage] = sum(done.by_stage.get(name, 0.0) for name in names)
    return asked.length / min(whole_s), stages_ms(found, done.seconds, asked.length)


def stages_ms(seconds: Mapping[str, float], whole_s: float, frames: int) -> dict[str, float]:
    """Return milliseconds a frame by stage in the order of `STAGES`; what no stage accounts for is the rest."""
    found = {**seconds, REST: max(0.0, whole_s - sum(seconds.values()))}
    return {stage: 1000 * found[stage] / frames for stage in STAGES if stage in found}
