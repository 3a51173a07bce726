"""Peak memory of a predictor with `memory="window"` on a short and a long video: `python -m tests.bench.window_rss`.

Each length runs in a process of its own, nano at 256 pixels, SAMURAI, two objects, frames handed over one by one.
Exits with 1 where the peaks differ by more than 5 %.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

TOLERANCE = 0.05


def frames(num_frames: int) -> Iterator[np.ndarray]:
    """Yield a square that wanders over noise, (180, 320, 3) uint8."""
    noise = np.random.default_rng(0).integers(60, 120, (180, 320, 3), np.uint8)
    for k in range(num_frames):
        frame = np.roll(noise, k, axis=1)
        left, top = 2 * k % 250, k % 120
        frame[top : top + 40, left : left + 50] = (220, 80, 40)
        yield frame


def track(num_frames: int) -> dict[str, float]:
    """Track two objects through a video of that length and return what it took."""
    import torch

    from sam2.build_sam import build_sam2_video_predictor

    torch.set_num_threads(1)
    predictor = build_sam2_video_predictor("configs/samurai/sam2.1_nano", device="cpu")
    state = predictor.init_state(frames(num_frames), memory="window")
    predictor.add_new_points_or_box(state, 0, 1, box=[0, 0, 50, 40])
    predictor.add_new_points_or_box(state, 0, 2, points=[[200, 100]], labels=[1])
    started, count, pixels = time.monotonic(), 0, 0
    for out in predictor.propagate(state):
        count += 1
        pixels += int((out.mask_logits > 0).sum())
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"frames": count, "peak_rss_mib": round(peak_mib, 1), "seconds": round(time.monotonic() - started, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs=2, default=[200, 2000], metavar="FRAMES")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(track(asked.only)))
        return 0
    results = []
    for length in asked.lengths:
        command = [sys.executable, "-m", "tests.bench.window_rss", "--only", str(length)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout))
        print(results[-1], flush=True)
    ratio = results[1]["peak_rss_mib"] / results[0]["peak_rss_mib"]
    print(f"peak at {asked.lengths[1]} frames / at {asked.lengths[0]}: {ratio:.3f}")
    return 0 if abs(ratio - 1) <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
