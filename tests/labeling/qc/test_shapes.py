import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from labeling import rle
from labeling.qc import shapes


@st.composite
def masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = (int(v) for v in rng.integers(1, 40, 2))
    return rng.random((height, width)) < rng.choice([0, 0.05, 0.3, 0.5, 0.7, 0.95, 1])


def columns(mask):
    return shapes.columns_of(rle.encode(mask))


def rle_of(pieces):
    mask = np.zeros(pieces.size_hw, bool)
    for x, y0, y1 in zip(pieces.x_P, pieces.y0_P, pieces.y1_P, strict=True):
        mask[y0:y1, x] = True
    return rle.encode(mask)


@settings(max_examples=150, deadline=None)
@given(masks(), st.integers(-45, 45), st.integers(-45, 45))
def test_moving_cuts_off_at_the_frame(mask, dx, dy):
    ys, xs = (v + d for v, d in zip(np.nonzero(mask), (dy, dx), strict=True))
    inside = (ys >= 0) & (ys < mask.shape[0]) & (xs >= 0) & (xs < mask.shape[1])
    moved = np.zeros_like(mask)
    moved[ys[inside], xs[inside]] = True
    assert rle_of(shapes.shift(columns(mask), dx, dy)) == rle.encode(moved)


@settings(max_examples=150, deadline=None)
@given(masks())
def test_moments_are_those_of_pixels(mask):
    found = shapes.moments(columns(mask))
    ys, xs = np.nonzero(mask)
    if not xs.size:
        assert found is None
        return
    assert found.area == xs.size
    assert found.centre_xy == pytest.approx((xs.mean(), ys.mean()))
    assert found.variance_xx == pytest.approx(xs.var() + 1 / 12)
    assert found.variance_yy == pytest.approx(ys.var() + 1 / 12)
    assert found.covariance_xy == pytest.approx(np.mean(xs * ys) - xs.mean() * ys.mean(), abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(masks(), st.sampled_from([4, 8]))
def test_parts_and_holes_are_those_of_labelled_pixels(mask, connectivity):
    cross, square = None, np.ones((3, 3))
    labels, _ = ndimage.label(mask, square if connectivity == 8 else cross)
    areas = sorted(np.bincount(labels.reshape(-1))[1:], reverse=True)
    # One of the background's parts is what surrounds the frame.
    _, grounds = ndimage.label(np.pad(~mask, 1, constant_values=True), cross if connectivity == 8 else square)
    assert shapes.components(columns(mask), connectivity=connectivity) == shapes.MaskComponents(tuple(areas), grounds - 1)


@settings(max_examples=100, deadline=None)
@given(masks())
def test_border_and_pieces(mask):
    found = columns(mask)
    assert shapes.touches_border(found) == (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
    assert shapes.area_of(found) == mask.sum()
    assert rle_of(found) == rle.encode(mask)
    assert shapes.overlap(found, columns(np.roll(mask, 1))) == (mask & np.roll(mask, 1)).sum()


def shape(mask):
    runs = rle.encode(mask)
    box = rle.box_xywh(runs)
    return shapes.shape_of(shapes.moments(shapes.columns_of(runs)), box[2] * box[3])


def test_shape_does_not_change_with_place_or_size():
    ys, xs = np.mgrid[:200, :300]
    small = ((xs - 60) / 40) ** 2 + ((ys - 50) / 20) ** 2 < 1
    large = ((xs - 180) / 80) ** 2 + ((ys - 120) / 40) ** 2 < 1
    for mask in (small, large):
        found = shape(mask)
        assert found.elongation == pytest.approx(math.log(2), abs=0.02)
        assert found.spread == pytest.approx(0.0, abs=0.02)
        assert found.extent == pytest.approx(math.log(math.pi / 4), abs=0.04)
    two = (((xs - 40) ** 2 + (ys - 100) ** 2) < 400) | (((xs - 250) ** 2 + (ys - 100) ** 2) < 400)
    assert shape(two).spread > 1.0
    assert shape(np.eye(1, dtype=bool)).elongation == 0.0


def test_connectivity_is_checked():
    with pytest.raises(ValueError, match="connectivity is 6"):
        shapes.components(columns(np.ones((2, 2))), connectivity=6)
