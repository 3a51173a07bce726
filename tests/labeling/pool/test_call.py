import math

import pytest

from labeling.pool.call import CALL_S, NUM_SEEN, Pace


def paced(*seconds: float, cost: float = 1.0) -> Pace:
    pace = Pace()
    for each in seconds:
        pace.learn(cost, each)
    return pace


def test_a_call_holds_what_fits_into_its_time_at_the_slowest_pace_seen() -> None:
    assert paced(*[0.001] * (NUM_SEEN - 1)).room == 0.0
    assert paced(*[0.001] * NUM_SEEN).room == pytest.approx(CALL_S / 0.001)
    assert paced(*[0.001] * NUM_SEEN, 0.1).room == pytest.approx(CALL_S / 0.1)
    assert paced(*[0.5] * NUM_SEEN, cost=1000.0).room == pytest.approx(1000 * CALL_S / 0.5)


def test_one_long_job_keeps_the_next_ones_apart_and_is_then_forgotten() -> None:
    assert paced(*[0.001] * NUM_SEEN, 10.0, *[0.001] * (NUM_SEEN - 1)).room < 1.0
    assert paced(*[0.001] * NUM_SEEN, 10.0, *[0.001] * NUM_SEEN).room > 100.0


def test_jobs_that_take_no_time_know_no_bound() -> None:
    assert paced(*[0.0] * NUM_SEEN).room == math.inf
