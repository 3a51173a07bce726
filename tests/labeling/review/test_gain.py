"""Masklets and frames to look at first, worked by hand on short tracks."""

from math import exp, log

import pytest

from labeling.review.gain import (
    FADES_OVER,
    LEFT_FAR,
    MOST_GAIN,
    best_frames,
    best_positions,
    chances_of,
    damage_of,
    expected_gains,
    place_by_gain,
)
from labeling.types import RLE, FrameMask


def frame(
    index: int, *, stability: float | None = 0.95, score: float = 5.0, look: float | None = 0.9, colour: float | None = 0.9,
    visible: bool = True,
) -> FrameMask:
    area, counts = (12, "0<") if visible else (0, "<")
    box = (0.0, 0.0, 4.0, 3.0) if visible else None
    return FrameMask(
        index, index / 24, RLE((3, 4), counts), area, box, 0.9, score, stability=stability, look_seed=look, colour_seed=colour
    )


def j(stability: float, distance: int, *, score: float = 5.0, look: float = 0.9, colour: float = 0.9) -> float:
    return -0.353 + 0.498 * stability + 0.139 * look + 0.492 * colour + 0.044 * score - 0.034 * log(1 + distance)


def test_damage_is_what_the_scores_doubt() -> None:
    frames = [frame(0), frame(1, stability=0.4), frame(2, colour=0.5), frame(3, visible=False, score=-9.0),
              frame(4, visible=False, score=-1.0)]
    assert damage_of(frames, seen=[0]) == pytest.approx((0.0, 1 - j(0.4, 1), 1 - j(0.4, 2, colour=0.5), 0.2, 0.55))
    # Who looked at it knows it, and what was low before does not count any more.
    assert damage_of(frames, seen=[0, 1])[1:3] == pytest.approx((0.0, 1 - j(0.95, 1, colour=0.5)))
    # The nearest frame that was seen counts, before or after.
    assert damage_of(frames[:3], seen=[2]) == pytest.approx((1 - j(0.4, 2), 1 - j(0.4, 1), 0.0))


def test_a_score_that_was_not_stored_is_the_usual_one() -> None:
    bare = [frame(0), frame(1, stability=None, look=None, colour=None)]
    assert damage_of(bare, seen=[0])[1] == pytest.approx(1 - j(0.85, 1, look=0.8, colour=0.8))


def test_without_a_seen_frame_the_first_one_counts_as_near() -> None:
    assert damage_of([frame(0, stability=0.3), frame(1)]) == pytest.approx((1 - j(1.0, 1), 1 - j(0.95, 2)))


def test_gain_is_what_a_correction_takes_off_the_damage_around() -> None:
    beside = LEFT_FAR * (1 - exp(-1 / FADES_OVER))
    gains = expected_gains([0.5, 0.8, 0.05])
    assert gains[1] == pytest.approx(0.8 + (0.5 - beside))
    assert gains[2] == pytest.approx(0.05 + (0.8 - beside) + (0.5 - LEFT_FAR * (1 - exp(-2 / FADES_OVER))))
    # Far away what is left is what tracks are worth on the whole.
    assert expected_gains([0.8] + [0.0] * 60)[60] == pytest.approx(0.8 - LEFT_FAR)


def test_frames_that_a_person_has_seen_are_walls() -> None:
    assert expected_gains([0.1, 0.0, 0.2], seen=[1]) == pytest.approx((0.1, 0.0, 0.2))
    far = expected_gains([0.9, *[0.0] * 40, 0.0, *[0.0] * 40], seen=[41])
    assert far[20] == pytest.approx(0.9 - LEFT_FAR)
    assert far[60] == 0.0


def test_a_frame_that_is_right_mends_nothing() -> None:
    assert expected_gains([0.9, 0.9], chances=[1.0, 0.0])[1] == 0.0
    frames = [frame(0), frame(1, visible=False)]
    sure, doubtful = chances_of([frames[0], frames[0]], [0.0, 0.5])
    assert sure < 0.1
    assert doubtful > 0.9
    assert chances_of(frames[1:], [0.3]) == (0.3,)


def test_a_long_stretch_of_doubt_goes_before_one_frame_of_much() -> None:
    damage = [0.0] * 100
    damage[10] = 0.9
    damage[50:56] = [0.6] * 6
    first, *others = best_positions(damage)
    assert 50 <= first < 56
    assert 10 in others


def test_four_are_offered_and_none_beside_another() -> None:
    chosen = best_positions([0.6] * 200)
    assert len(chosen) == 4
    assert min(abs(a - b) for a in chosen for b in chosen if a != b) >= 10
    assert best_positions([0.0] * 50) == ()
    assert best_positions([]) == ()
    assert set(best_positions([0.5, 0.5, 0.5], seen=[0, 1])) == {2}


def test_where_the_object_is_away_little_is_expected() -> None:
    away = [frame(i, visible=False, score=-9.0) for i in range(20)]
    shown = [frame(i, stability=0.5, colour=0.4) for i in range(20, 40)]
    assert all(position >= 20 for position in best_frames([*away, *shown], most=2))


def test_a_track_that_was_seen_whole_offers_nothing() -> None:
    assert best_frames([frame(0), frame(1)], seen=[0, 1]) == ()
    assert best_frames([]) == ()


def test_long_masklets_in_doubt_have_a_place_before_short_ones() -> None:
    assert place_by_gain(0.5, 48) == round(1000 * 0.5 * 48 / (2 + 4.8 + 2.375))
    assert place_by_gain(0.5, 480) > place_by_gain(0.9, 24) > place_by_gain(0.3, 24) > place_by_gain(0.0, 24) == 0
    assert place_by_gain(1.0, 10_000_000) < MOST_GAIN
