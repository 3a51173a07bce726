"""How far other candidates reach outside the chosen mask."""

import pytest
import torch

from sam2.tracking.distractors import distractors


def candidates(*boxes: tuple[tuple[int, int, int, int], ...]) -> torch.Tensor:
    """Return (1, M, 20, 20) logits, each mask a union of boxes x0, y0, x1, y1 (half-open)."""
    logits_1MHW = torch.full((1, len(boxes), 20, 20), -4.0)
    for m, parts in enumerate(boxes):
        for x0, y0, x1, y1 in parts:
            logits_1MHW[0, m, y0:y1, x0:x1] = 4.0
    return logits_1MHW


def lowest(logits_1MHW: torch.Tensor, best: int = 0) -> float:
    return distractors(logits_1MHW, torch.tensor([best]))[0].item()


CHOSEN = ((2, 2, 7, 7),)


def test_the_largest_part_that_a_candidate_adds_makes_the_union() -> None:
    # 25 pixels of box in a union of 5 x 15
    assert lowest(candidates(CHOSEN, ((2, 12, 7, 17),), CHOSEN)) == pytest.approx(25 / 75)
    # a lone pixel far away is not the largest part
    assert lowest(candidates(CHOSEN, ((2, 7, 7, 9), (19, 19, 20, 20)), CHOSEN)) == pytest.approx(25 / 35)
    # parts that touch at a corner are one
    assert lowest(candidates(CHOSEN, ((7, 2, 8, 3), (8, 3, 9, 4)), CHOSEN)) == pytest.approx(25 / 35)


def test_the_lowest_of_the_candidates_counts_and_the_chosen_one_may_be_any() -> None:
    logits_1MHW = candidates(((2, 2, 7, 8),), CHOSEN, ((2, 2, 7, 17),))
    assert lowest(logits_1MHW, best=1) == pytest.approx(25 / 75)


def test_what_adds_nothing_or_lies_inside_the_box_changes_nothing() -> None:
    assert lowest(candidates(CHOSEN, ((3, 3, 5, 5),), CHOSEN)) == 1.0
    ring = ((2, 2, 7, 3), (2, 6, 7, 7), (2, 2, 3, 7), (6, 2, 7, 7))
    assert lowest(candidates(ring, ((3, 3, 5, 5),), ring)) == 1.0


def test_there_is_none_without_a_mask_or_with_one_candidate() -> None:
    values, areas = distractors(candidates((), CHOSEN, CHOSEN), torch.tensor([0]))
    assert values.isnan().all()
    assert areas == [0]
    values, areas = distractors(candidates(CHOSEN), torch.tensor([0]))
    assert values.isnan().all()
    assert areas == [25]


def test_objects_of_a_batch_are_measured_each_alone() -> None:
    batch = torch.cat([candidates(CHOSEN, ((2, 12, 7, 17),)), candidates(((0, 0, 4, 4),), ()), candidates((), CHOSEN)])
    values, areas = distractors(batch, torch.tensor([0, 0, 0]))
    assert values[:2].tolist() == pytest.approx([25 / 75, 1.0])
    assert values[2].isnan()
    assert areas == [25, 16, 0]
