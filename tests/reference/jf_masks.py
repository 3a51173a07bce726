"""Pairs of masks by formula, and what the DAVIS 2017 evaluation answered to them.

The numbers are those of `db_eval_iou` and `db_eval_boundary` of davisvideochallenge/davis2017-evaluation at ac7c43f, each
called on a true and a found mask; SciPy's `binary_dilation` and a disk x^2 + y^2 <= r^2 stood in for OpenCV's `dilate`
and scikit-image's `disk`, which the evaluation takes from there.
"""

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]

# J and F that the reference gave, by name of the pair.
ANSWERS: dict[str, tuple[float, float]] = {
    "same": (1.0, 1.0),
    "moved": (0.5911949685534591, 0.2894736842105263),
    "grown": (0.9025944923061601, 0.8058235308934285),
    "slid": (0.9219680953296175, 0.9945945945945946),
    "blob": (0.8958952627917273, 0.7000193364824177),
    "wavy": (0.9692307692307692, 1.0),
    "stripes": (0.6044776119402985, 1.0),
    "checks": (0.25, 1.0),
    "at_the_edge": (0.7386363636363636, 0.06493506493506494),
    "last_row_and_column": (0.7304347826086957, 0.4400977995110025),
    "apart": (0.0, 0.0),
    "one_pixel": (0.0, 1.0),
    "both_empty": (1.0, 1.0),
    "found_none": (0.0, 0.0),
    "found_where_none_is": (0.0, 0.0),
    "whole_frame": (1.0, 1.0),
    "whole_frame_for_a_part": (0.12901580826109127, 0.0),
}


def pairs() -> dict[str, tuple[Bools, Bools]]:
    """Return (found, true) masks (H, W) by name."""
    small, wide, large = _plane(37, 53), _plane(48, 160), _plane(240, 427)
    return {
        "same": (_disk(small, 18, 25, 9), _disk(small, 18, 25, 9)),
        "moved": (_disk(small, 18, 25, 9), _disk(small, 20, 28, 9)),
        "grown": (_disk(large, 120, 200, 80), _disk(large, 120, 200, 76)),
        "slid": (_box(large, 40, 50, 160, 300), _box(large, 43, 54, 163, 304)),
        "blob": (_blob(large, 0.0), _blob(large, 0.35)),
        "wavy": (_blob(wide, 1.0), _blob(wide, 1.1)),
        "stripes": (large[1] % 16 < 8, (large[1] + 2) % 16 < 8),
        "checks": ((small[0] + small[1]) % 2 == 0, (small[0] + small[1]) % 3 == 0),
        "at_the_edge": (_box(wide, 0, 0, 20, 60), _box(wide, 0, 0, 24, 52)),
        "last_row_and_column": (_box(small, 30, 40, 37, 53), _box(small, 28, 41, 37, 53)),
        "apart": (_disk(wide, 20, 20, 8), _disk(wide, 30, 120, 10)),
        "one_pixel": (_box(small, 9, 9, 10, 10), _box(small, 9, 10, 10, 11)),
        "both_empty": (_box(small, 0, 0, 0, 0), _box(small, 0, 0, 0, 0)),
        "found_none": (_box(small, 0, 0, 0, 0), _disk(small, 18, 25, 9)),
        "found_where_none_is": (_disk(small, 18, 25, 9), _box(small, 0, 0, 0, 0)),
        "whole_frame": (_box(small, 0, 0, 37, 53), _box(small, 0, 0, 37, 53)),
        "whole_frame_for_a_part": (_box(small, 0, 0, 37, 53), _disk(small, 18, 25, 9)),
    }


def _plane(height: int, width: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    y_HW, x_HW = np.mgrid[:height, :width]
    return y_HW, x_HW


def _disk(plane: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], y: int, x: int, radius: int) -> Bools:
    return (plane[0] - y) ** 2 + (plane[1] - x) ** 2 <= radius * radius


def _box(plane: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], top: int, left: int, bottom: int, right: int) -> Bools:
    y_HW, x_HW = plane
    return (y_HW >= top) & (y_HW < bottom) & (x_HW >= left) & (x_HW < right)


def _blob(plane: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], phase: float) -> Bools:
    y_HW, x_HW = plane
    height, width = y_HW.shape
    v_HW, u_HW = (y_HW - height / 2) / height * 2, (x_HW - width / 2) / width * 2
    turned_HW = np.arctan2(v_HW, u_HW)
    return np.hypot(v_HW, u_HW) < 0.6 + 0.15 * np.sin(5 * turned_HW + phase) + 0.05 * np.cos(11 * turned_HW - phase)
