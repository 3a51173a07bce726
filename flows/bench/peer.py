"""The released `sam2` package at work for a comparison: a script of its own, run by path with PYTHONPATH at a checkout.

It imports nothing of this project. Commands come as JSON lines on stdin, an answer to each goes to stdout. A `load` is
answered with {"file"}, or {"missing"} where a module is not installed; a `run` with {"frames", "propagate_s", "whole_s"};
an `error` says what else went wrong.
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

# What the release imports, now or late, so that all that is missing shows before anything is built.
NEEDS = ("torch", "torchvision", "iopath", "tqdm", "hydra", "omegaconf", "PIL", "numpy")


def load(command: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Build the predictor that is asked for."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        return {"missing": missing[0]}, None
    import sam2
    from sam2.build_sam import build_sam2_video_predictor

    use_threads(command["threads"])
    predictor = build_sam2_video_predictor(
        command["config"], command["checkpoint"], device=command["device"], apply_postprocessing=False,
        hydra_overrides_extra=command["overrides"], vos_optimized=False,
    )
    return {"file": sam2.__file__}, predictor


def use_threads(threads: int) -> None:
    """Compute with that many threads."""
    import torch

    torch.set_num_threads(threads)


def run(command: dict[str, Any], predictor: Any) -> dict[str, Any]:
    """Follow the boxes through a folder of JPEGs from a fresh state; masks are kept where `masks` names a file."""
    import torch

    device, masks = predictor.device, []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=command["precision"] == "bf16"):
        settle(device)
        begun = time.perf_counter()
        state = predictor.init_state(command["folder"])
        for object_id, box in enumerate(command["boxes_xyxy"], start=1):
            predictor.add_new_points_or_box(state, frame_idx=0, obj_id=object_id, box=box)
        settle(device)
        started, frames, pixels = time.perf_counter(), 0, 0
        for frame_idx, _, logits in predictor.propagate_in_video(state):
            masks_N1HW = logits > 0
            if frame_idx < command["count_from"]:
                settle(device)
                started = time.perf_counter()
            pixels, frames = pixels + masks_N1HW.sum(), frames + 1
            if command["masks"]:
                masks.append(masks_N1HW[:, 0].cpu().numpy())
        settle(device)
        ended = time.perf_counter()
    if command["masks"]:
        save_masks(command["masks"], masks)
    return {"frames": frames, "propagate_s": ended - started, "whole_s": ended - begun}


def save_masks(path: str, masks: list[Any]) -> None:
    """Write masks (frames, objects, H, W) as bits along W."""
    import numpy as np

    np.save(path, np.packbits(np.stack(masks), axis=-1))


def settle(device: Any) -> None:
    """Wait for the GPU."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def answered(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what the work says, or what it failed of."""
    try:
        return work()
    except ModuleNotFoundError as error:
        return {"missing": (error.name or str(error)).split(".")[0]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def serve(answers: TextIO) -> None:
    """Answer every command until stdin ends."""
    predictor: Any = None

    def loaded(command: dict[str, Any]) -> dict[str, Any]:
        nonlocal predictor
        answer, predictor = load(command)
        return answer

    for line in sys.stdin:
        command = json.loads(line)
        work = {"load": loaded, "run": lambda request: run(request, predictor)}[command["do"]]
        print(json.dumps(answered(partial(work, command))), file=answers, flush=True)


if __name__ == "__main__":
    # What packages print goes to stderr, so that answers stand alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(answers)
