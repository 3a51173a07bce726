"""Frames to correct first, worked by hand on short tracks."""

from math import exp

import pytest

from labeling.review.frame_gain import FADES_OVER, ONSET, best_frames, best_positions, chances_of, damage_of, expected_gains
from labeling.types import RLE, FrameMask


def frame(index: int, *, iou: float = 0.9, score: float = 5.0, visible: bool = True) -> FrameMask:
    area, counts = (12, "0<") if visible else (0, "<")
    return FrameMask(index, index / 24, RLE((3, 4), counts), area, (0.0, 0.0, 4.0, 3.0) if visible else None, iou, score)


def test_damage_is_what_the_scores_doubt() -> None:
    frames = [frame(0, iou=1.0), frame(1, iou=0.4), frame(2, iou=1.0), frame(3, visible=False, score=-9.0),
              frame(4, visible=False, score=-2.5)]
    low = 1.16 - 0.55 - 0.45 * 0.4
    assert damage_of(frames[:3]) == pytest.approx((0.16, 1.16 - 0.4, low))
    assert damage_of(frames[3:]) == pytest.approx((0.21, 0.6))
    # Who looked at it knows it, and what was low before does not count any more.
    assert damage_of(frames[:3], seen=[1]) == pytest.approx((0.16, 0.0, 0.16))


def test_gain_is_the_damage_around_fading_with_distance() -> None:
    fades = exp(-1 / FADES_OVER)
    assert expected_gains([0.1, 0.2, 0.1]) == pytest.approx((
        0.1 + 0.2 * fades + 0.1 * fades**2, 0.2 + 0.2 * fades, 0.1 + 0.2 * fades + 0.1 * fades**2,
    ))


def test_frames_that_a_person_has_seen_are_walls() -> None:
    assert expected_gains([0.1, 0.0, 0.2], seen=[1]) == pytest.approx((0.1, 0.0, 0.2))


def test_where_damage_begins_counts_for_more() -> None:
    gains = expected_gains([0.0, 0.5, 0.5])
    fades = exp(-1 / FADES_OVER)
    assert gains[1] == pytest.approx(ONSET * (0.5 + 0.5 * fades))
    assert gains[2] == pytest.approx(0.5 + 0.5 * fades)


def test_a_long_stretch_of_doubt_goes_before_one_frame_of_much() -> None:
    damage = [0.0] * 100
    damage[10] = 0.9
    damage[50:80] = [0.3] * 30
    first, *others = best_positions(damage)
    assert 50 <= first < 80
    assert 10 in others or any(abs(p - 10) <= 5 for p in others)


def test_four_are_offered_and_none_beside_another() -> None:
    chosen = best_positions([0.2] * 200)
    assert len(chosen) == 4
    assert min(abs(a - b) for a in chosen for b in chosen if a != b) >= 10
    assert best_positions([0.0] * 50) == ()
    assert best_positions([]) == ()
    assert set(best_positions([0.5, 0.5, 0.5], seen=[0, 1])) == {2}


def test_nothing_is_tracked_from_where_the_object_is_away() -> None:
    alike = expected_gains([0.2, 0.2])
    assert expected_gains([0.2, 0.2], there=[1.0, 0.25]) == pytest.approx((alike[0], alike[1] / 4))
    away = [frame(i, visible=False, score=-9.0) for i in range(20)]
    shown = [frame(i, iou=0.7) for i in range(20, 40)]
    assert all(position >= 20 for position in best_frames([*away, *shown], most=2))
    assert chances_of([away[0], shown[0]], [0.21, 0.3]) == (0.21, 1.0)


def test_a_track_that_was_seen_whole_offers_nothing() -> None:
    assert best_frames([frame(0), frame(1)], seen=[0, 1]) == ()
    assert best_frames([]) == ()
