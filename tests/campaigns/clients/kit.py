"""Small frames by formula, predictors with weights by formula, on whichever `sam2` is on the path."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from tests.reference.formula import formula_weights

CONFIG, SIDE = "configs/sam2.1/sam2.1_hiera_t.yaml", 128
HEIGHT, WIDTH = 72, 96
BOX, POINT = [20, 12, 60, 50], [40, 30]
LOUD = {"obj_ptr_proj.layers.2.weight": 6.0, "obj_ptr_tpos_proj.weight": 6.0, "maskmem_tpos_enc": 8.0}

PROGRAMS: dict[str, Callable[[], Any]] = {}


def program(run: Callable[[], Any]) -> Callable[[], Any]:
    PROGRAMS[run.__name__] = run
    return run


def picture(k: int = 0) -> np.ndarray:
    """Return (72, 96, 3) uint8: a disc that wanders over waves."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = np.stack([127 + 80 * np.sin(x / 9 + c + k / 7) * np.cos(y / 8 - c + k / 9) for c in range(3)], axis=-1)
    waves[((x - 36 - 4 * k) ** 2 / 260 + (y - 32 - k) ** 2 / 200) < 1] = (230, 70, 30)
    return waves.clip(0, 255).astype(np.uint8)


@contextmanager
def folder(count: int = 5) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as path:
        for k in range(count):
            Image.fromarray(picture(k)).save(f"{path}/{k:05d}.jpg", quality=95)
        yield path


@cache
def _built(kind: str) -> Any:
    """Return a model of "image" or "video" with weights by formula, whose objects are there."""
    from sam2 import build_sam

    make = build_sam.build_sam2 if kind == "image" else build_sam.build_sam2_video_predictor
    model = make(CONFIG, device="cpu", apply_postprocessing=False, hydra_overrides_extra=[f"++model.image_size={SIDE}"])
    weights = {name: weight * LOUD.get(name, 1.0) for name, weight in formula_weights(model.state_dict()).items()}
    weights["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 4
    model.load_state_dict(weights)
    return model


def video() -> Any:
    return copy.deepcopy(_built("video"))


def still(**how: Any) -> Any:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(copy.deepcopy(_built("image")), **how)
    if hasattr(predictor, "_bb_feat_sizes"):        # of the released predictor: fixed for 1024 pixels
        predictor._bb_feat_sizes = [(SIDE // 4,) * 2, (SIDE // 8,) * 2, (SIDE // 16,) * 2]
    return predictor


def opened(predictor: Any, count: int = 5, **how: Any) -> Any:
    with folder(count) as path:
        return predictor.init_state(path, **how)


def tracked(predictor: Any, state: Any, **how: Any) -> list[Any]:
    return [(t, list(ids), masks) for t, ids, masks in predictor.propagate_in_video(state, **how)]


def disc(dtype: Any = bool) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (((x - 36) ** 2 / 260 + (y - 32) ** 2 / 200) < 1).astype(dtype)
