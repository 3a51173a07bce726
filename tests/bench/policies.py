"""What each memory policy costs, and how often a frame is promoted: one object, all trackers in turns, one thread.

    python -m tests.bench.policies --clips 2 --frames 40 --rounds 3
"""

import argparse
import statistics
import time
from collections import defaultdict

import numpy as np
import torch

from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.track.predictor import TRACKERS, Predictor, arithmetic, build_predictor, recipe_of
from sam2.modeling.config import ModelConfig
from sam2.training.scenes.lookalikes import draw_lookalikes

GATES = ("predicted IoU", "area within reach", "another candidate outside", "promoted")


def main() -> None:
    """Print the median CPU milliseconds a frame of each tracker, and the share of frames that pass each test of promotion."""
    parser = argparse.ArgumentParser()
    for name, value in (("clips", 2), ("frames", 40), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = NetworkConfig(name="nano", config="sam2.1_nano")
    recipes = {tracker: recipe_of(model, PrecisionConfig(), TrackerConfig(tracker)) for tracker in TRACKERS}
    predictors = {tracker: build_predictor(recipe, None, device="cpu") for tracker, recipe in recipes.items()}
    seconds, gates = defaultdict[str, list[float]](list), list[tuple[bool, ...]]()
    for index in range(asked.clips):
        clip = draw_lookalikes(index, asked.frames)
        true_HW = clip.masks_NTHW[0, 0]
        for _ in range(asked.rounds):
            for tracker, predictor in predictors.items():
                began = time.process_time()
                scores = follow(predictor, clip.frames_THW3, true_HW)
                seconds[tracker].append((time.process_time() - began) / asked.frames)
                gates += scores if tracker == "dam4sam" else []
    usual = statistics.median(seconds["sam2"])
    for tracker, values in seconds.items():
        median = statistics.median(values)
        print(f"{tracker:9} {1000 * median:7.1f} ms of CPU a frame, {usual / median:.2f} of sam2's speed")
    for name, passed in zip(GATES, np.mean(gates, axis=0), strict=True):
        print(f"dam4sam: {name}: {passed:.1%} of frames")


@torch.inference_mode()
def follow(predictor: Predictor, frames_THW3: np.ndarray, true_HW: np.ndarray) -> list[tuple[bool, ...]]:
    """Track one object through a clip from its mask; return which tests of promotion each frame passes."""
    config = ModelConfig()
    with arithmetic("fp32", device="cpu"):
        state = predictor.init_state(frames_THW3, memory="all")
        predictor.add_new_mask(state, 0, 1, true_HW)
        list(predictor.propagate(state, reverse=False, each_from_its_prompt=True))
    rows, areas = [], []
    for _, entry in sorted(state.tracks[1].others.items()):
        areas += [entry.area] if entry.area else []
        usual = statistics.median(areas[-10:]) if areas else 1
        iou, distractor = float(entry.scores_K[0]), float(entry.scores_K[5])
        within = abs(entry.area / usual - 1) <= config.promotion_area_change
        rows.append((iou > config.promotion_iou, within, distractor <= config.promotion_box_iou, entry.promoted))
    return rows


if __name__ == "__main__":
    main()
