"""What is asked of a generator of automatic masks, and its answers as numbers: of ours, or of a checkout of the release.

`automatic_masks.json` beside this file holds what the released package (facebookresearch/sam2 at 2b90b9f, float32, one CPU
thread) answered with the nano's sizes at 256 pixels and the weights of `formula.py`. As a script, with PYTHONPATH at a
checkout of the release, it answers the settings that a JSON on stdin names; it imports nothing of this project then.
"""

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

SIDE = 256
# weights by formula give flat logits, masks as wide as the picture and middling scores: the defaults would keep none
LOW = {"points_per_side": 6, "pred_iou_thresh": 0.19, "stability_score_thresh": 0.2, "stability_score_offset": 0.05,
       "mask_threshold": 0.3, "box_nms_thresh": 0.97}
ALL = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "low thresholds": LOW,
    "no thresholds": LOW | ALL | {"points_per_side": 3, "mask_threshold": 0.0},
    "one mask a point": LOW | {"multimask_output": False, "pred_iou_thresh": 0.5},
    "asked again": LOW | {"use_m2m": True, "points_per_side": 4, "pred_iou_thresh": 0.5},
    "one mask, asked again": LOW | ALL | {"use_m2m": True, "multimask_output": False, "points_per_side": 4,
                                          "points_per_batch": 7},
    "one layer of crops": LOW | {"points_per_side": 4, "crop_n_layers": 1, "crop_nms_thresh": 0.9},
    "two layers, fewer points": LOW | {"points_per_side": 4, "crop_n_layers": 2, "crop_n_points_downscale_factor": 2,
                                       "crop_nms_thresh": 0.8, "crop_overlap_ratio": 0.2, "mask_threshold": 0.5},
    "another cut": LOW | {"mask_threshold": 0.1, "stability_score_offset": 0.02, "points_per_batch": 10},
    "strict suppression": LOW | {"points_per_side": 8, "box_nms_thresh": 0.2, "mask_threshold": 0.5},
    "grid by hand": LOW | {"points_per_side": None, "point_grids": [[[0.2, 0.3], [0.7, 0.55], [0.5, 0.9]]]},
    "small regions": LOW | {"min_mask_region_area": 6},
}  # fmt: skip


def picture(height: int = 180, width: int = 240) -> np.ndarray:
    """Return (H, W, 3) uint8: discs and bars on a slope."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    shade = np.stack([40 + 90 * x, 60 + 60 * y, 120 - 50 * x * y], axis=-1)
    for k, (cx, cy, radius) in enumerate([(0.25, 0.3, 0.13), (0.7, 0.35, 0.18), (0.4, 0.75, 0.1), (0.85, 0.8, 0.08)]):
        inside = (x - cx) ** 2 + ((y - cy) * height / width) ** 2 < radius**2
        shade[inside] = [220 - 60 * k, 40 + 60 * k, 90 + 50 * (k % 2)]
    shade[(abs(x - 0.55) < 0.02) & (y > 0.1)] = [250, 240, 60]
    return shade.astype(np.uint8)


def answers(generator: Any, image: np.ndarray) -> list[dict[str, Any]]:
    """Return the masks of a generator with `output_mode="coco_rle"` as what JSON holds."""
    return [
        {"mask": row["segmentation"]["counts"], "area": row["area"], "bbox": row["bbox"], "crop_box": row["crop_box"],
         "point": row["point_coords"][0], "iou": row["predicted_iou"], "stability": row["stability_score"]}
        for row in generator.generate(image)
    ]  # fmt: skip


def arguments(setting: dict[str, Any]) -> dict[str, Any]:
    """Return a setting as a generator takes it."""
    grids = setting.get("point_grids")
    return setting | {"output_mode": "coco_rle", "point_grids": grids and [np.array(grid) for grid in grids]}


def label_components(masks_N1HW: Any) -> tuple[Any, Any]:
    """Return each pixel's 8-connected component and its area: what the release has in an extension for GPUs alone."""
    import torch
    from scipy import ndimage

    labels = np.stack([ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks_N1HW[:, 0].numpy()])
    areas = np.stack([np.bincount(label.ravel())[label] * (label > 0) for label in labels])
    return torch.from_numpy(labels)[:, None], torch.from_numpy(areas)[:, None]


def main() -> None:
    """Answer {config, checkpoint, overrides, side, settings, image} by {name: {masks, seconds}}."""
    import torch

    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.build_sam import build_sam2

    sys.modules["sam2._C"] = SimpleNamespace(get_connected_componnets=label_components)
    torch.set_num_threads(1)
    asked = json.load(sys.stdin)
    model = build_sam2(asked["config"], asked["checkpoint"], device="cpu", hydra_overrides_extra=asked["overrides"])
    image = np.load(asked["image"]) if asked.get("image") else picture()
    told = {}
    for name, setting in asked["settings"].items():
        generator = SAM2AutomaticMaskGenerator(model, **arguments(setting))
        # the release has these sizes for 1024 pixels alone
        generator.predictor._bb_feat_sizes = [(asked["side"] // k,) * 2 for k in (4, 8, 16)]
        begun = time.process_time()
        told[name] = {"masks": answers(generator, image), "seconds": time.process_time() - begun}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
