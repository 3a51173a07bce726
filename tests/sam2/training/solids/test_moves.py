"""Moves obey their laws."""

import numpy as np
import pytest

from sam2.training.solids.moves import Launch, circle, fall, shuttle, stand, swing, turn_by, walk

HERE, STILL = np.array([0.5, 1.0, -0.3]), np.zeros(3)


def let_go(*launches: Launch, frames: int = 40, gravity: float = 0.01, spring: float = 0.8, arena: float = 4.0):  # type: ignore[no-untyped-def]
    return fall(launches, num_frames=frames, gravity=gravity, spring=spring, centre_3=np.zeros(3), arena=arena)


def test_what_falls_speeds_up_bounces_lower_and_stays_above_the_floor() -> None:
    (move,) = let_go(Launch(np.array([0.0, 2.0, 0.0]), STILL, 0.2, STILL), frames=80)
    heights = np.array([move(time).place_3[1] for time in range(80)])
    assert heights[10] == pytest.approx(2 - 0.5 * 0.01 * 100, abs=0.05)
    assert heights.min() >= 0.2
    first = int(heights.argmin())
    assert 0.2 < heights[first:].max() < 0.8 * 2


def test_the_fence_keeps_them_in() -> None:
    (move,) = let_go(Launch(np.array([0.0, 0.2, 0.0]), np.array([0.4, 0.0, 0.1]), 0.2, STILL), arena=2.0)
    assert max(np.hypot(*move(time).place_3[[0, 2]]) for time in range(40)) < 2.5


def test_knocks_keep_the_momentum_and_push_apart() -> None:
    big = Launch(np.array([-1.0, 5.0, 0.0]), np.array([0.1, 0.0, 0.0]), 0.4, STILL)
    small = Launch(np.array([1.0, 5.0, 0.0]), np.array([-0.1, 0.0, 0.0]), 0.2, STILL)
    moves = let_go(big, small, gravity=0.0, spring=1.0, arena=50.0)

    def momentum(time: int) -> float:
        gone = [move(time + 1).place_3 - move(time).place_3 for move in moves]
        return float(0.4**3 * gone[0][0] + 0.2**3 * gone[1][0])

    assert momentum(30) == pytest.approx(momentum(0))
    assert moves[1](30).place_3[0] > moves[1](8).place_3[0]
    assert all(np.linalg.norm(moves[0](t).place_3 - moves[1](t).place_3) > 0.5 for t in range(40))


def test_a_ball_that_rolls_turns_by_its_way() -> None:
    (move,) = let_go(Launch(np.array([0.0, 0.2, 0.0]), np.array([0.02, 0.0, 0.0]), 0.2, STILL))
    turned = move(21).turn_33 @ move(20).turn_33.T
    way = (move(21).place_3 - move(20).place_3)[0]
    assert np.arccos((np.trace(turned) - 1) / 2) == pytest.approx(way / 0.2, rel=0.05)
    assert (turned @ [0, 0.2, 0])[0] > 0     # its top goes ahead


def test_longer_films_begin_alike_and_times_between_frames_lie_between() -> None:
    launch = Launch(np.array([0.0, 1.0, 0.0]), np.array([0.03, 0.02, 0.0]), 0.2, np.array([0.1, 0, 0]))
    (short,), (long,) = let_go(launch, frames=5), let_go(launch, frames=30)
    for time in (0.0, 2.5, 4.4):
        np.testing.assert_array_equal(short(time).place_3, long(time).place_3)
    assert long(3).place_3[0] < long(3.5).place_3[0] < long(4).place_3[0]
    np.testing.assert_allclose(long(-0.3).place_3, long(0).place_3, atol=0.05)


def test_turns_are_turns() -> None:
    turn = turn_by(np.array([0.3, -0.5, 1.1]))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn_by(np.array([0, np.pi / 2, 0])) @ [0, 0, 1], [1, 0, 0], atol=1e-12)


def test_moves_begin_where_they_are_told() -> None:
    moves = [
        stand(HERE, STILL, np.eye(3)), swing(HERE, length=1.0, heading=0.4, angle=0.5, period=20),
        circle(HERE, centre_3=np.array([2.0, 0.0, 1.0]), period=30), walk(HERE, heading=1.0, speed=0.1, bend=0.1, hop=0.1),
        shuttle(HERE, reach_3=np.ones(3), period=10, spin_3=STILL), walk(HERE, heading=1.0, speed=0.1, bend=0.0, hop=0.0),
    ]
    for move in moves:
        np.testing.assert_allclose(move(0).place_3, HERE, atol=1e-9)


def test_shuttles_circles_and_swings_come_back() -> None:
    out = shuttle(HERE, reach_3=np.array([3.0, 0, 0]), period=10, spin_3=STILL)
    assert out(5).place_3[0] == pytest.approx(3.5)
    np.testing.assert_allclose(out(10).place_3, HERE, atol=1e-9)
    np.testing.assert_allclose(circle(HERE, centre_3=STILL, period=30)(30).place_3, HERE, atol=1e-9)
    pendulum = swing(HERE, length=1.0, heading=0.0, angle=0.5, period=20)
    pivot = HERE + [0, 1.0, 0]
    assert all(np.linalg.norm(pendulum(t).place_3 - pivot) == pytest.approx(1) for t in range(20))


def test_walkers_face_their_way() -> None:
    move = walk(HERE, heading=0.7, speed=0.1, bend=0.05, hop=0.0)
    step = move(10.01).place_3 - move(9.99).place_3
    np.testing.assert_allclose(move(10).turn_33 @ [1, 0, 0], step / np.linalg.norm(step), atol=1e-3)
