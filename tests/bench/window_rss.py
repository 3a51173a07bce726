"""Memory of a predictor on a short and a long video: `python -m tests.bench.window_rss`, `--picture FILE` for the curves.

Each length runs in a process of its own, nano, SAMURAI, two objects, frames handed over one by one,
`memory="window"` (and, for the picture, "all"). Exits with 1 where the peaks differ by more than 5 %.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil

TOLERANCE = 0.05
EACH = 20       # frames between two samples of a curve
STYLES = {"window": "-", "all": "--"}


def frames(num_frames: int) -> Iterator[np.ndarray]:
    """Yield a square that wanders over noise, (180, 320, 3) uint8."""
    noise = np.random.default_rng(0).integers(60, 120, (180, 320, 3), np.uint8)
    for k in range(num_frames):
        frame = np.roll(noise, k, axis=1)
        left, top = 2 * k % 250, k % 120
        frame[top : top + 40, left : left + 50] = (220, 80, 40)
        yield frame


def track(num_frames: int, memory: str) -> dict[str, Any]:
    """Track two objects through a video of that length and return what it took; `curve` has a sample each 20 frames."""
    import torch

    from sam2.build_sam import build_sam2_video_predictor

    torch.set_num_threads(1)
    predictor = build_sam2_video_predictor("configs/samurai/sam2.1_nano", device="cpu")
    state = predictor.init_state(frames(num_frames), memory=memory)
    predictor.add_new_points_or_box(state, 0, 1, box=[0, 0, 50, 40])
    predictor.add_new_points_or_box(state, 0, 2, points=[[200, 100]], labels=[1])
    started, pixels, curve = time.monotonic(), 0, []
    for out in predictor.propagate(state):
        pixels += int((out.mask_logits > 0).sum())
        if out.frame_idx % EACH == 0:
            curve.append((out.frame_idx, rss_mib(), live_mib(state)))
    return {
        "frames": out.frame_idx + 1, "memory": memory, "seconds": round(time.monotonic() - started, 1), "curve": curve,
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def rss_mib() -> float:
    """Return what this process holds of memory."""
    return psutil.Process().memory_info().rss / 2**20


def live_mib(state: Any) -> float:
    """Return the size of the tensors in the memory bank of a state."""
    banks = [bank for track in state.tracks.values() for bank in (track.conditioning, track.others)]
    entries = [entry for bank in banks for entry in bank.values()]
    maps = [getattr(entry, name) for entry in entries for name in ("memory_1Dhw", "mask_logits_11HW", "pointer_1C")]
    return sum(m.numel() * m.element_size() for m in maps if m is not None) / 2**20


def draw(path: str, results: list[dict[str, Any]]) -> None:
    """Draw RSS and the memory bank's tensors over frames."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for result in results:
        frames_, rss, live = zip(*result["curve"], strict=True)
        named = {"label": f"{result['memory']}, {result['frames']} frames", "linestyle": STYLES[result["memory"]]}
        left.plot(frames_, rss, **named)
        right.plot(frames_, live, **named)
    for axes, title in ((left, "resident memory of the process, MiB"), (right, "tensors of the memory bank, MiB")):
        axes.set(title=title, xlabel="frame", ylim=(0, None))
        axes.legend()
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs=2, default=[200, 2000], metavar="FRAMES")
    parser.add_argument("--picture", metavar="FILE", help="draw the curves, those of memory=all beside them")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(track(int(asked.only[0]), asked.only[1])))
        return 0
    results = []
    kinds = [(length, "window") for length in asked.lengths]
    if asked.picture:
        kinds.append((asked.lengths[1], "all"))
    for length, memory in kinds:
        command = [sys.executable, "-m", "tests.bench.window_rss", "--only", str(length), memory]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout))
        print({name: value for name, value in results[-1].items() if name != "curve"}, flush=True)
    if asked.picture:
        draw(asked.picture, results)
    ratio = results[1]["peak_rss_mib"] / results[0]["peak_rss_mib"]
    print(f"peak at {asked.lengths[1]} frames / at {asked.lengths[0]}: {ratio:.3f}")
    return 0 if abs(ratio - 1) <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
