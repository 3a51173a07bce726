"""Boxes of masks and runs of flags against what a loop finds; J and F against the DAVIS evaluation's own answers."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from labeling.geometry import JF, boundary_f, boundary_of, box_xyxy_of, clipped, j_and_f, mask_box_xyxy, region_similarity, runs
from tests.reference.jf_masks import ANSWERS, pairs


def test_the_box_of_a_mask_is_tight_and_ends_beyond_its_last_pixel() -> None:
    mask_HW = np.zeros((6, 9), bool)
    assert mask_box_xyxy(mask_HW) is None
    mask_HW[5, 8] = True
    assert mask_box_xyxy(mask_HW) == (8, 5, 9, 6)
    mask_HW[2, 3] = True
    assert mask_box_xyxy(mask_HW) == (3, 2, 9, 6)


def test_a_box_by_its_corners_and_within_its_frame() -> None:
    assert box_xyxy_of((2.0, 3.0, 10.0, 20.0)) == (2.0, 3.0, 12.0, 23.0)
    assert clipped((-5.0, 1.0, 12.0, 23.0), (20, 10)) == (0.0, 1.0, 10.0, 20.0)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_where_the_flag_is_on(flags: list[bool]) -> None:
    spans = runs(np.array(flags, bool))
    assert [any(start <= k < end for start, end in spans) for k in range(len(flags))] == flags
    assert all(later[0] > earlier[1] for earlier, later in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("flags", [[], [False], [True]])
def test_short_series(flags: list[bool]) -> None:
    assert runs(np.array(flags, bool)) == [(0, 1)] * sum(flags)


def plain_boundary(mask):
    """The boundary map by a loop over pixels, from the definition."""
    height, width = mask.shape
    edge = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            edge[y, x] = any(mask[y, x] != mask[v, u] for v, u in neighbours if v < height and u < width)
    return edge


def plain_f(pred, true, tolerance=0.008):
    """F by dilating both boundary maps with a disk."""
    radius = math.ceil(tolerance if tolerance >= 1 else tolerance * np.linalg.norm(pred.shape))
    ys, xs = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = ys**2 + xs**2 <= radius**2
    p, t = plain_boundary(pred), plain_boundary(true)
    if not p.any() and not t.any():
        return 1.0
    if not p.any() or not t.any():
        return 0.0
    precision = (p & ndimage.binary_dilation(t, disk)).sum() / p.sum()
    recall = (t & ndimage.binary_dilation(p, disk)).sum() / t.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def square(left, top=10, side=20, size_hw=(60, 80)):
    mask = np.zeros(size_hw, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@st.composite
def mask_pairs(draw):
    seed, height, width = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(seed)
    density = rng.choice([0.0, 0.02, 0.3, 0.7, 1.0], 2)
    block = int(rng.integers(1, 6))
    noise = rng.random((2, height, width)).repeat(block, 1).repeat(block, 2)[:, :height, :width]
    return noise[0] < density[0], noise[1] < density[1]


@settings(max_examples=120, deadline=None)
@given(mask_pairs(), st.sampled_from([0.0, 0.008, 0.05, 0.3, 1, 2, 5]))
def test_f_is_what_dilating_with_a_disk_gives(pair, tolerance):
    assert boundary_f(*pair, tolerance) == pytest.approx(plain_f(*pair, tolerance), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(mask_pairs())
def test_boundary_is_the_loop_over_pixels(pair):
    np.testing.assert_array_equal(boundary_of(pair[0]), plain_boundary(pair[0]))


def test_j_counts_pixels():
    assert region_similarity(square(10), square(20)) == pytest.approx(200 / 600)
    assert region_similarity(square(10), square(50)) == 0.0
    assert region_similarity(square(10), square(10)) == 1.0


@pytest.mark.parametrize("name", ANSWERS)
def test_j_and_f_are_those_of_the_davis_evaluation(name):
    found, true = pairs()[name]
    assert (region_similarity(found, true), boundary_f(found, true)) == pytest.approx(ANSWERS[name], abs=1e-12)


def test_every_reference_pair_has_its_answer():
    assert set(pairs()) == set(ANSWERS)


def test_empty_masks():
    none, some = np.zeros((30, 30), bool), square(3, 3, 8, (30, 30))
    assert region_similarity(none, none) == boundary_f(none, none) == 1.0
    assert region_similarity(none, some) == boundary_f(none, some) == boundary_f(some, none) == 0.0
    # A mask that fills the frame has no boundary inside it.
    full = np.ones((30, 30), bool)
    assert boundary_f(full, full) == 1.0
    assert boundary_f(full, none) == 1.0
    assert region_similarity(full, none) == 0.0


def test_f_forgives_a_shift_within_the_tolerance_and_no_more():
    assert boundary_f(square(10), square(13), 3) == 1.0
    assert boundary_f(square(10), square(50), 3) == 0.0
    # 0.008 of this frame's diagonal of 100 pixels is 0.8, which rounds up to one pixel.
    assert boundary_f(square(10), square(11)) == 1.0
    assert boundary_f(square(10), square(12)) < 0.7


def test_means_over_frames():
    pred = np.stack([square(10), square(10), np.zeros((60, 80), bool)])
    true = np.stack([square(10), square(20), np.zeros((60, 80), bool)])
    result = j_and_f(pred, true)
    assert result.j_per_frame == pytest.approx((1.0, 1 / 3, 1.0))
    assert result.j == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert result.f == pytest.approx(np.mean([boundary_f(p, t) for p, t in zip(pred, true, strict=True)]))
    assert result.j_and_f == pytest.approx((result.j + result.f) / 2)


def test_sixty_frames_of_720p_take_seconds():
    ys, xs = np.mgrid[:720, :1280]
    true = np.stack([(ys - 360) ** 2 + (xs - 400 - 4 * t) ** 2 < 200**2 for t in range(60)])
    start = time.process_time()
    result = j_and_f(np.roll(true, 5, axis=2), true)
    assert time.process_time() - start < 6.0
    assert 0.9 < result.j < 1.0
    assert result.f == 1.0


@pytest.mark.parametrize("shapes", [((4, 4), (4, 5)), ((4,), (4,)), ((0, 4), (0, 4))])
def test_shapes_that_do_not_fit_are_named(shapes):
    with pytest.raises(ValueError, match=r"shapes \("):
        region_similarity(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match="tolerance is -1"):
        boundary_f(square(1), square(1), -1)
    with pytest.raises(ValueError, match=r"\(T, H, W\)"):
        j_and_f(np.zeros((0, 4, 4)), np.zeros((0, 4, 4)))
    assert JF((0.5,), (1.0,)).j_and_f == 0.75
