"""Box-shaped masks on a small frame, and the signals of a row of them."""

from fractions import Fraction

import numpy as np

from labeling import rle
from labeling.qc.signals import SignalMeter
from labeling.types import FrameMask

SIZE_HW = (40, 60)


def box_mask(left=10, top=10, width=10, height=10, size_hw=SIZE_HW):
    mask = np.zeros(size_hw, bool)
    mask[top : top + height, left : left + width] = True
    return mask


NOTHING = np.zeros(SIZE_HW, bool)


def frame(frame_idx, mask, *, rate=10, **scores):
    runs = rle.encode(mask)
    given = {"predicted_iou": 0.9, "object_score": 8.0 if mask.any() else -8.0} | scores
    return FrameMask(frame_idx, frame_idx / rate, runs, rle.area(runs), rle.box_xywh(runs), **given)


def measured(frames, *, threshold=-1.0, size_hw=SIZE_HW):
    meter = SignalMeter(size_hw, Fraction(10), threshold)
    for one in frames:
        meter.add(one)
    return meter.signals()


def follow(masks, **scores):
    """Signals of masks on frames 0, 1, ...; a score may be a list with one value for each."""
    return measured(
        [frame(t, m, **{k: v[t] if isinstance(v, list) else v for k, v in scores.items()}) for t, m in enumerate(masks)]
    )
