"""Prompts as users give them, checked and brought to the model's size.

Legend: P points (the corners of a box are two of them), S the side of the network's square image.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KNOWN_LABELS = {-1: "padding", 0: "negative", 1: "positive", 2: "box corner", 3: "box corner"}
BOX_LABELS = (2, 3)
CLICK_SLACK = 0.05          # of the side: how far outside the frame a click may lie


@dataclass(frozen=True, slots=True)
class PointPrompt:
    """Clicks and a box of one object on one frame, in pixels of the network's image; labels as in `KNOWN_LABELS`."""

    points_xy_1P2: Tensor
    labels_1P: Tensor

    @property
    def num_points(self) -> int:
        return self.labels_1P.shape[1]

    @property
    def is_box(self) -> bool:
        """Whether there is a box and no click."""
        return self.labels_1P.tolist() == [[2, 3]]

    def followed_by(self, later: "PointPrompt") -> "PointPrompt":
        return PointPrompt(
            torch.cat([self.points_xy_1P2, later.points_xy_1P2], dim=1),
            torch.cat([self.labels_1P, later.labels_1P], dim=1),
        )


def point_prompt(
    points: object,
    labels: object,
    box: object,
    *,
    size_hw: tuple[int, int],
    normalize_coords: bool,
    image_size: int,
    device: torch.device,
) -> PointPrompt:
    """Return checked clicks and box; coordinates in pixels of the video, or in 0..1 without `normalize_coords`.

    Raises ValueError for what is missing, mismatched or not finite, for a click further outside the frame than rounding
    and a shaky hand explain, and for a box of which nothing lies inside; a box that reaches past the frame, or whose
    corners are swapped, is taken as it is.
    """
    if (points is None) != (labels is None):
        raise ValueError(f"points and labels belong together: got points={points!r} and labels={labels!r}")
    if points is None and box is None:
        raise ValueError("nothing to prompt with: pass points with labels, a box, or both")
    extent_xy = (float(size_hw[1]), float(size_hw[0])) if normalize_coords else (1.0, 1.0)
    xy_P2, labels_P = _clicks(points, labels, extent_xy) if points is not None else _no_clicks()
    if box is not None:
        xy_P2 = torch.cat([_box_corners(box, extent_xy), xy_P2])
        labels_P = torch.cat([torch.tensor(BOX_LABELS, dtype=torch.int32), labels_P])
    if not len(labels_P):
        raise ValueError("points is empty: pass at least one point, or a box")
    scaled_P2 = xy_P2 / torch.tensor(extent_xy) * image_size
    return PointPrompt(scaled_P2[None].to(device), labels_P[None].to(device))


def mask_prompt(mask: object, *, image_size: int, device: torch.device) -> Tensor:
    """Return `mask_11SS` (0 or 1, float32) of a mask (H, W) of any size; in an array, what is not zero is inside.

    Raises ValueError for another number of axes, an empty array or NaN.
    """
    given_tensor = isinstance(mask, Tensor)
    mask = mask.detach() if given_tensor else torch.as_tensor(np.array(mask))
    if mask.dim() != 2 or not mask.numel():
        raise ValueError(f"mask has shape {tuple(mask.shape)}: expected two axes (height, width)")
    if mask.is_floating_point() and not bool(torch.isfinite(mask).all()):
        raise ValueError("mask holds NaN or infinite values: expected booleans, or 0 and 1")
    mask = mask if given_tensor else mask.bool()
    mask_11HW = mask[None, None].to(device).float()
    if tuple(mask.shape) == (image_size, image_size):
        return mask_11HW
    resized_11SS = torch.nn.functional.interpolate(
        mask_11HW, size=(image_size, image_size), mode="bilinear", align_corners=False, antialias=True
    )
    return (resized_11SS >= 0.5).float()


def _clicks(points: object, labels: object, extent_xy: tuple[float, float]) -> tuple[Tensor, Tensor]:
    xy_P2, labels_P = _as_cpu(points, "points"), _as_cpu(labels, "labels")
    xy_P2 = xy_P2[0] if xy_P2.dim() == 3 and xy_P2.shape[0] == 1 else xy_P2
    labels_P = labels_P[0] if labels_P.dim() == 2 and labels_P.shape[0] == 1 else labels_P
    if xy_P2.dim() != 2 or xy_P2.shape[1] != 2:
        raise ValueError(f"points has shape {tuple(xy_P2.shape)}: expected (number of points, 2) as x, y")
    if labels_P.dim() != 1 or len(labels_P) != len(xy_P2):
        raise ValueError(f"{len(xy_P2)} points but labels of shape {tuple(labels_P.shape)}: expected one per point")
    for k, (xy, label) in enumerate(zip(xy_P2.tolist(), labels_P.tolist(), strict=True)):
        if label not in KNOWN_LABELS:
            raise ValueError(f"label {label!r} of point {k} is unknown: expected 1 (positive) or 0 (negative)")
        if label != -1:
            _check_inside(xy, k, extent_xy)
    return xy_P2, labels_P.to(torch.int32)


def _no_clicks() -> tuple[Tensor, Tensor]:
    return torch.zeros(0, 2), torch.zeros(0, dtype=torch.int32)


def _check_inside(xy: list[float], k: int, extent_xy: tuple[float, float]) -> None:
    slack_x, slack_y = (CLICK_SLACK * side for side in extent_xy)
    # a NaN fails both comparisons
    if not (-slack_x <= xy[0] <= extent_xy[0] + slack_x and -slack_y <= xy[1] <= extent_xy[1] + slack_y):
        raise ValueError(
            f"point {k} at x={xy[0]:g}, y={xy[1]:g} lies outside the frame: "
            f"expected 0 <= x <= {extent_xy[0]:g} and 0 <= y <= {extent_xy[1]:g}"
        )


def _box_corners(box: object, extent_xy: tuple[float, float]) -> Tensor:
    corners = _as_cpu(box, "box")
    if corners.numel() != 4:
        raise ValueError(f"box has shape {tuple(corners.shape)}: expected 4 numbers x0, y0, x1, y1")
    if not bool(torch.isfinite(corners).all()):
        raise ValueError(f"box {corners.flatten().tolist()} holds NaN or infinite values")
    x0, y0, x1, y1 = corners.flatten().tolist()
    width, height = extent_xy
    if min(x0, x1) >= width or min(y0, y1) >= height or max(x0, x1) <= 0 or max(y0, y1) <= 0:
        raise ValueError(f"box {[x0, y0, x1, y1]} misses the frame, which is {width:g} wide and {height:g} high")
    return corners.reshape(2, 2)


def _as_cpu(values: object, name: str) -> Tensor:
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values, dtype=np.float32))
    except (TypeError, ValueError) as problem:
        raise ValueError(f"{name}={values!r} cannot be read as numbers: {problem}") from problem
    return tensor.detach().cpu().float()
