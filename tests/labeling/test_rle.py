import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from labeling import rle as codec
from labeling.types import RLE


@st.composite
def masks(draw):
    """Masks of any density, from noise to blocks, as wide or tall as a run count of several characters needs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = (int(v) for v in rng.integers(1, 50, 2))
    mask = rng.random((height, width)) < rng.choice([0, 0.02, 0.3, 0.5, 0.9, 1])
    tall, wide = (int(v) for v in rng.integers(1, 40, 2)) if draw(st.booleans()) else (1, 1)
    return mask.repeat(tall, 0).repeat(wide, 1)


def reference(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))


@settings(max_examples=300, deadline=None)
@given(masks())
def test_counts_are_pycocotools_byte_for_byte(mask):
    theirs = reference(mask)
    ours = codec.encode(mask)
    assert ours.counts == theirs["counts"].decode()
    assert codec.encode(np.asfortranarray(mask)) == ours
    assert codec.encode(mask.astype(np.float32) * 0.5) == ours
    np.testing.assert_array_equal(codec.decode(ours), mask)
    assert codec.area(ours) == coco.area(theirs) == mask.sum()
    box = codec.box_xywh(ours)
    assert (box is None) == (not mask.any())
    assert box is None or box == tuple(coco.toBbox(theirs))
    assert codec.area_and_box(ours) == (codec.area(ours), box)
    assert codec.from_runs(codec.runs_of(ours), mask.shape) == ours


@settings(max_examples=200, deadline=None)
@given(masks(), st.integers(0, 2**32 - 1))
def test_sets_are_those_of_pixels(mask, seed):
    rng = np.random.default_rng(seed)
    other = np.roll(mask, rng.integers(-9, 9, 2), (0, 1)) ^ (rng.random(mask.shape) < rng.choice([0, 0.05]))
    first, second = codec.encode(mask), codec.encode(other)
    shared, either = int((mask & other).sum()), int((mask | other).sum())
    assert codec.area(codec.joined([first, second])) == either
    assert codec.joined([first, second]) == codec.encode(mask | other)
    assert codec.iou(first, second) == (shared / either if either else 1.0)
    inside = [[shared / mask.sum() if shared else 0.0], [shared / other.sum() if shared else 0.0]]
    assert codec.shares([first, second]).tolist() == [[float(mask.any()), *inside[0]], [*inside[1], float(other.any())]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(lambda runs: sum(runs) > 0))
def test_runs_of_zero_length_are_merged_away(runs):
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    made = codec.from_runs(runs, (pixels.size, 1))
    assert made == codec.encode(pixels[:, None])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30).filter(lambda runs: sum(runs) > 0), st.integers(0, 9))
def test_runs_of_another_program_mean_what_they_say(runs, seed):
    """Runs of length 0 inside, which pycocotools itself takes for the end of a union and for pixels of a box."""
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    theirs = RLE((pixels.size, 1), codec._compress(np.array(runs)))
    other = np.random.default_rng(seed).random(pixels.size) < 0.5
    ours, second = codec.encode(pixels[:, None]), codec.encode(other[:, None])
    assert (codec.area(theirs), codec.box_xywh(theirs)) == (codec.area(ours), codec.box_xywh(ours))
    assert codec.joined([theirs, second]) == codec.joined([second, theirs]) == codec.encode((pixels | other)[:, None])
    assert codec.iou(theirs, second) == codec.iou(ours, second)


def test_hand_made_counts():
    mask = np.zeros((3, 4), bool)
    mask[1:, 1] = mask[0, 2] = True
    rle = codec.encode(mask)
    assert codec.runs_of(rle).tolist() == [4, 3, 5]
    assert rle == RLE((3, 4), "435")
    assert codec.box_xywh(rle) == (1.0, 0.0, 2.0, 3.0)
    assert codec.empty((3, 4)) == codec.encode(np.zeros((3, 4)))
    assert codec.box_xywh(codec.empty((3, 4))) is None


def test_slices_and_other_layouts_encode_alike():
    batch = np.random.default_rng(0).random((3, 2, 17, 23)) < 0.4
    for mask in (batch[1, 0], batch[0, 1, ::2, 3:], batch[2, 1].T, batch[:, 0, 5]):
        assert codec.encode(mask).counts == reference(mask)["counts"].decode()


@pytest.mark.parametrize("counts", ["", "4", "43", "4350", "435P", "p", " ", "PPPPPPPPPPPPPPPP0", "400"])
def test_broken_counts_are_named(counts):
    broken = RLE((3, 4), counts)
    both = lambda r: codec.iou(r, r), lambda r: codec.joined([r, r])
    for read in (codec.runs_of, codec.decode, codec.area, codec.box_xywh, *both):
        with pytest.raises(ValueError, match="RLE counts"):
            read(broken)


@pytest.mark.parametrize(
    "runs", [[], [3, -1, 10], [11], [13], [[12]], [2.5, 9.5], [10**19], [10**30], [None], ["12"], [12, []]]
)
def test_runs_that_are_no_mask_are_refused(runs):
    with pytest.raises(ValueError, match="runs"):
        codec.from_runs(runs, (3, 4))


def test_arrays_that_are_no_mask_are_refused():
    for shape in ((4,), (2, 3, 4), (0, 3)):
        with pytest.raises(ValueError, match="mask has shape"):
            codec.encode(np.zeros(shape))
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(4, 3\)"):
        codec.iou(codec.empty((3, 4)), codec.empty((4, 3)))


def test_a_full_hd_mask_is_quick():
    ys, xs = np.mgrid[:1080, :1920]
    mask = ((xs - 900) / 300) ** 2 + ((ys - 500) / 220) ** 2 < 1
    seconds = []
    for _ in range(15):
        start = time.process_time()
        codec.encode(mask)
        seconds.append(time.process_time() - start)
    # About 0.4 ms where it was measured; the bound only keeps out a return to whole-frame transposes and loops.
    assert min(seconds) < 0.004


def test_masks_are_joined_without_decoding():
    rng = np.random.default_rng(3)
    masks = [rng.random((7, 9)) < 0.3 for _ in range(4)] + [np.zeros((7, 9), bool), np.eye(7, 9, dtype=bool)]
    assert codec.joined([codec.encode(mask) for mask in masks]) == codec.encode(np.logical_or.reduce(masks))
    assert codec.joined([codec.empty((7, 9))] * 2) == codec.empty((7, 9))
    assert codec.joined([codec.encode(np.ones((7, 9))), codec.encode(masks[0])]) == codec.encode(np.ones((7, 9)))
    with pytest.raises(ValueError, match="expected the same"):
        codec.joined([codec.empty((7, 9)), codec.empty((9, 7))])


def test_runs_whose_sum_wraps_around_are_refused():
    # 4 * 2**62 is 0 in 64 bits; the longest run is looked at, not the sum alone.
    with pytest.raises(ValueError, match="runs hold one of"):
        codec.from_runs([2**62] * 4 + [12], (3, 4))
