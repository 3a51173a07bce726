"""Bounds are held to published tables, to sums by hand, and to how often they cover the truth."""

import math

import numpy as np
import pytest

from labeling.certify.bounds import (
    Sensitivity,
    audits_needed,
    binomial_tail,
    clopper_pearson_lower,
    clopper_pearson_upper,
    design_effect,
    most_bad_in_lot,
)


@pytest.mark.parametrize(("share", "needed"), [
    (0.05, [59, 93, 124, 153, 181, 208]), (0.02, [149, 236, 313, 386, 456, 523]), (0.01, [299, 473, 628, 773, 913, 1049]),
])
def test_audits_needed_are_those_of_the_exact_binomial(share: float, needed: list[int]) -> None:
    assert [audits_needed(bad, share, 0.05) for bad in range(6)] == needed


@pytest.mark.parametrize(("lot", "share", "needed"), [
    (200, 0.05, 47), (200, 0.02, 90), (500, 0.05, 54), (500, 0.02, 119), (1000, 0.05, 56), (1000, 0.02, 132),
])
def test_a_clean_sample_of_a_lot_needs_fewer(lot: int, share: float, needed: int) -> None:
    assert most_bad_in_lot(0, needed, lot, 0.05) <= share * lot < most_bad_in_lot(0, needed - 1, lot, 0.05)


def test_the_tail_is_the_sum_of_its_terms() -> None:
    terms = [math.comb(40, k) * 0.1**k * 0.9 ** (40 - k) for k in range(4)]
    assert binomial_tail(3, 40, 0.1) == pytest.approx(sum(terms), rel=1e-12)
    assert binomial_tail(40, 40, 0.1) == 1.0


def test_clopper_pearson_leaves_delta_on_each_side() -> None:
    upper, lower = clopper_pearson_upper(4, 90, 0.05), clopper_pearson_lower(4, 90, 0.05)
    assert binomial_tail(4, 90, upper) == pytest.approx(0.05)
    assert 1 - binomial_tail(3, 90, lower) == pytest.approx(0.05)
    assert (clopper_pearson_upper(7, 7, 0.05), clopper_pearson_lower(0, 7, 0.05)) == (1.0, 0.0)


@pytest.mark.parametrize(("caught", "known_bad"), [(29, 29), (45, 46), (59, 61)])
def test_gold_shows_what_reviewers_see(caught: int, known_bad: int) -> None:
    assert Sensitivity(caught, known_bad).lower(0.05) == pytest.approx(0.9, abs=0.003)


def test_without_gold_reviewers_are_taken_to_see_all() -> None:
    assert Sensitivity().lower(0.01) == 1.0
    assert not Sensitivity().is_measured


def test_the_lots_bound_is_exact_by_counting() -> None:
    """The largest number of bad ones that leaves the sample a probability above delta, by sums of whole numbers."""
    lot, audits, found = 40, 12, 1

    def tail(num_bad: int) -> float:
        ways = sum(math.comb(num_bad, k) * math.comb(lot - num_bad, audits - k) for k in range(found + 1))
        return ways / math.comb(lot, audits)

    assert most_bad_in_lot(found, audits, lot, 0.05) == max(n for n in range(1, lot - audits + 2) if tail(n) > 0.05)


@pytest.mark.parametrize("seen", [1.0, 0.8])
def test_the_lots_bound_covers_whatever_the_lot_holds(seen: float) -> None:
    rng = np.random.default_rng(3)
    for num_bad in (0, 4, 15, 40, 120):
        drawn = rng.hypergeometric(num_bad, 300 - num_bad, 90, size=1_000)
        found = rng.binomial(drawn, seen)
        covered = np.mean([most_bad_in_lot(int(k), 90, 300, 0.05, seen) >= num_bad for k in found])
        assert covered >= 0.94, num_bad


def test_a_lot_that_was_looked_through_holds_what_was_found() -> None:
    assert most_bad_in_lot(3, 50, 50, 0.05) == 3
    assert most_bad_in_lot(3, 50, 50, 0.05, 0.8) > 3
    assert most_bad_in_lot(0, 0, 50, 0.05) == 50


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"num_bad, num_audits are 5, 4"):
        binomial_tail(5, 4, 0.1)
    with pytest.raises(ValueError, match="expected 0 <= num_bad <= num_audits <= lot"):
        most_bad_in_lot(1, 10, 9, 0.05)
    with pytest.raises(ValueError, match="share is 1"):
        audits_needed(0, 1, 0.05)
    with pytest.raises(ValueError, match="caught, known_bad are 3, 2"):
        Sensitivity(3, 2)


def test_audits_of_one_video_count_for_fewer() -> None:
    assert design_effect(list("abcdef"), [True, False, False, True, False, False]) == 1.0
    assert design_effect(list("aaabbb"), [True] * 3 + [False] * 3) == pytest.approx(3.0)
    assert design_effect(list("aaabbb"), [False] * 6) == 1.0
    # As unlike within a video as can be: never below 1.
    assert design_effect(list("aabb"), [True, False, True, False]) == 1.0
