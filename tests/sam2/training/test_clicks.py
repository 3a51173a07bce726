"""Simulated prompts lie where a person would put them."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from sam2.training.clicks import boxes, corrective_clicks, first_clicks

SIDE = 32
SEEDS = st.integers(0, 2**31)


def some_masks(seed: int, count: int = 3) -> Tensor:
    """Rectangles and a single pixel."""
    random = Generator().manual_seed(seed)
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    for k in range(count):
        top, left = torch.randint(0, SIDE - 1, (2,), generator=random).tolist()
        height, width = torch.randint(1, SIDE, (2,), generator=random).tolist() if k else (1, 1)
        masks[k, top : top + height, left : left + width] = True
    return masks


def at(masks: Tensor, points: Tensor) -> list[bool]:
    return [bool(mask[int(y), int(x)]) for mask, (x, y) in zip(masks, points[:, -1].tolist(), strict=True)]


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_boxes_without_noise_are_tight(seed: int) -> None:
    masks = some_masks(seed)
    corners, labels = boxes(masks, Generator().manual_seed(seed), noise=0.0)
    assert labels.tolist() == [[2, 3]] * 3
    for mask, ((x0, y0), (x1, y1)) in zip(masks, corners.int().tolist(), strict=True):
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        for edge in (mask[y0, x0:x1], mask[y1 - 1, x0:x1], mask[y0:y1, x0], mask[y0:y1, x1 - 1]):
            assert edge.any()


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_noisy_boxes_stay_near_and_inside_the_picture(seed: int) -> None:
    masks = some_masks(seed)
    tight, _ = boxes(masks, Generator().manual_seed(seed), noise=0.0)
    moved, _ = boxes(masks, Generator().manual_seed(seed), noise=0.1)
    assert float((moved - tight).abs().max()) <= 20 * SIDE / 1024
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= SIDE


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_first_clicks_lie_on_the_object(seed: int) -> None:
    masks = some_masks(seed)
    points, labels = first_clicks(masks, Generator().manual_seed(seed))
    assert at(masks, points) == [True] * 3
    assert labels.tolist() == [[1]] * 3
    again, _ = first_clicks(masks, Generator().manual_seed(seed))
    assert torch.equal(points, again)


def test_half_of_the_first_clicks_lie_deep_inside() -> None:
    """A slab with a long thin tail: clicks anywhere mostly fall on the tail, clicks inside never."""
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 40:60, 40:60] = True
    mask[:, 0:40:2, :] = True
    points, _ = first_clicks(mask.expand(400, 64, 64), Generator().manual_seed(0))
    deep = ((points[:, 0] - 49.5).abs() <= 8).all(1).float().mean()
    assert 0.4 < float(deep) < 0.75


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_corrections_lie_on_what_is_wrong(seed: int) -> None:
    masks, found = some_masks(seed), some_masks(seed + 1)
    points, labels = corrective_clicks(masks, found, Generator().manual_seed(seed))
    wrong = masks ^ found
    for k, inside in enumerate(at(wrong, points)):
        assert inside or not wrong[k].any()
    assert labels[:, 0].tolist() == [int(on) for on in at(masks, points)]


def test_a_right_answer_is_confirmed_and_an_absent_object_refused() -> None:
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    masks[0, 3:5, 3:5] = True
    points, labels = corrective_clicks(masks, masks.clone(), Generator().manual_seed(0))
    assert at(masks, points) == [True, False]
    assert labels.tolist() == [[1], [0]]
