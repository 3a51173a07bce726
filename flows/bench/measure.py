"""Measures one case: frames/s from memory and from S3 to Parquet, milliseconds by stage, peaks of memory.

`python -m flows.bench.measure` does it in a process of its own, so that peaks of memory do not mix: the case comes as JSON on
stdin, its row goes as JSON to stdout.
"""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from flows.bench.clip import BenchClip, draw_bench_clip
from flows.bench.profiling import DECODE, NETWORK, RUNS, Clock, clocked, peak_gpu_mib, peak_rss_mib, settle
from flows.bench.results import BenchCase, BenchRow
from labeling.errors import LabelingError
from labeling.track.predictor import arithmetic, build_predictor
from labeling.types import Box

FETCH, SIGNALS, WRITE, REST = "fetch", "QC signals", "Parquet write", "rest"
STAGES = (FETCH, DECODE, *NETWORK.values(), RUNS, SIGNALS, WRITE, REST)


def measured_apart(case: BenchCase, *, threads: int) -> BenchRow:
    """Measure in a child with that many threads; raises LabelingError where the child does not come to its end."""
    request = json.dumps({"case": dataclasses.asdict(case), "threads": threads})
    child = [sys.executable, "-m", "flows.bench.measure"]
    done = subprocess.run(child, input=request, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise LabelingError(
            f"objects={case.objects}, length={case.length}: the process that measures ended with code "
            f"{done.returncode}; see its message above, or, without one, look for too little memory"
        )
    return BenchRow(**json.loads(done.stdout.splitlines()[-1]))


def measure(case: BenchCase) -> BenchRow:
    """Measure in this process; passes from memory and end to end take turns."""
    predictor = build_predictor(case.recipe, case.checkpoint, device=case.device, encode_batch=case.encode_batch)
    clip = draw_bench_clip(case.objects, case.length, size_hw=case.size_hw)
    bare_s = [from_memory(predictor, clip, case)]
    peaks = peak_rss_mib(), peak_gpu_mib(case.device)
    if case.bucket is None:
        bare_s += [from_memory(predictor, clip, case) for _ in range(case.repeats - 1)]
        end_to_end_fps, stages_ms = None, _stages_from_memory(predictor, clip, case)
    else:
        end_to_end_fps, stages_ms = _end_to_end(predictor, clip, case, bare_s)
    return BenchRow(
        case.objects, case.length, (case.length - 1) / min(bare_s), peaks[0], peaks[1], end_to_end_fps,
        "from memory" if case.bucket is None else "end to end", stages_ms,
    )


def from_memory(predictor: Any, clip: BenchClip, case: BenchCase) -> float:
    """Follow the clip once and return the seconds that all frames but the prompted one took.

    In a thread that then ends, as labelling does: `labeling.track.predictor` says why.
    """
    with ThreadPoolExecutor(max_workers=1) as apart:
        return apart.submit(_from_memory, predictor, clip, case).result()


def _from_memory(predictor: Any, clip: BenchClip, case: BenchCase) -> float:
    with arithmetic(case.recipe.precision, device=case.device):
        state = prompted(predictor, clip.frames, clip.boxes_xyxy)
        pixels, started = 0, 0.0
        for position, out in enumerate(predictor.propagate(state, reverse=False, each_from_its_prompt=True)):
            pixels = pixels + (out.mask_logits > 0).sum()
            if position == 0:
                settle(case.device)
                started = time.perf_counter()
        settle(case.device)
        return time.perf_counter() - started


def prompted(predictor: Any, video: Any, boxes_xyxy: Sequence[Box]) -> Any:
    """Return a fresh state with a box for each object on the first frame."""
    state = predictor.init_state(video, memory="window")
    for object_id, box in enumerate(boxes_xyxy, start=1):
        predictor.add_new_points_or_box(state, 0, object_id, box=np.array(box, np.float32))
    return state


def _stages_from_memory(predictor: Any, clip: BenchClip, case: BenchCase) -> dict[str, float]:
    clock = Clock(case.device)
    with clocked(predictor, clock):
        started = time.perf_counter()
        from_memory(predictor, clip, case)
        seconds = time.perf_counter() - started
    clock.seconds.pop(DECODE, None)     # frames in memory are not decoded
    return stages_ms(clock.seconds, seconds, case.length)


def _end_to_end(
    predictor: Any, clip: BenchClip, case: BenchCase, bare_s: list[float]
) -> tuple[float, dict[str, float]]:
    """Return frames/s and stages of passes from S3 to Parquet; passes from memory between them are added to `bare_s`."""
    # What only this needs is loaded after the peak of memory was taken.
    from flows.bench.end_to_end import uploaded

    whole_s = []
    with uploaded(predictor, clip, case) as label:
        for repeat in range(case.repeats):
            whole_s.append(label().seconds)
            if repeat < case.repeats - 1:
                bare_s.append(from_memory(predictor, clip, case))
        clock = Clock(case.device)
        with clocked(predictor, clock):
            done = label()
    seconds = dict(clock.seconds)
    for stage, names in {FETCH: ("fetch", "probe"), SIGNALS: ("signals",), WRITE: ("write",)}.items():
        seconds[stage] = sum(done.by_stage.get(name, 0.0) for name in names)
    return case.length / min(whole_s), stages_ms(seconds, done.seconds, case.length)


def stages_ms(seconds: Mapping[str, float], whole_s: float, frames: int) -> dict[str, float]:
    """Return milliseconds a frame by stage in the order of `STAGES`; what no stage accounts for is the rest."""
    by_stage = {**seconds, REST: max(0.0, whole_s - sum(seconds.values()))}
    return {stage: 1000 * by_stage[stage] / frames for stage in STAGES if stage in by_stage}


def main() -> None:
    """Measure the case on stdin and print its row."""
    import torch

    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    print(json.dumps(dataclasses.asdict(measure(BenchCase.from_dict(request["case"])))))


if __name__ == "__main__":
    main()
