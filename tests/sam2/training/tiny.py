"""The smallest training there is: a nano of 64 pixels, stills of one clip, scenes of 64 pixels."""

from dataclasses import replace
from pathlib import Path

from sam2.training.recipe import Recipe, Stage
from sam2.training.scenes.scene import Scenes
from sam2.training.trainer import train

STILLS = Stage("stills", steps=5, frames=1, clips=1, objects=2, learning_rate=1e-3, warmup=2)
CLIPS = Stage("clips", steps=1, frames=2, clips=1, objects=1, learning_rate=5e-4, warmup=0)
MIXED = replace(CLIPS, steps=4, clips=2, stills_share=0.5, stills_clips=4, stills_objects=3)    # with seed 1 it shows both
RECIPE = Recipe("sam2.1_nano", (STILLS, CLIPS), image_size=64, save_every=1, log_every=1)
SCENES = Scenes(20, first=500, size_hw=(64, 64))


def run_to(folder: Path, stop_after: int | None = None, **changed: object) -> list[int]:
    """Train in a folder and return the steps that were done."""
    return [r.step for r in train(replace(RECIPE, **changed), SCENES, folder, workers=0, stop_after=stop_after)]


if __name__ == "__main__":
    import sys
    import time

    import torch

    torch.set_num_threads(1)
    for report in train(RECIPE, SCENES, sys.argv[1], workers=0):
        print("done", report.step, flush=True)
        time.sleep(0.3)     # a killer's chance to come between two steps
