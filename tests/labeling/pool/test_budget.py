import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.config import ClusterConfig, RunConfig
from labeling.errors import BadConfiguration
from labeling.pool.budget import MAX_BACKOFF_S, Limits, Tally, is_spent, limits_of, rule_on
from labeling.types import ErrorKind

KINDS = st.sampled_from(list(ErrorKind))


@st.composite
def any_limits(draw: st.DrawFn) -> Limits:
    per_video = draw(st.integers(1, 6))
    per_worker = draw(st.integers(per_video + 1, 12))
    return Limits(draw(st.integers(1, 8)), per_video, per_worker, draw(st.floats(0, 100)))


@settings(deadline=None, max_examples=50)
@given(any_limits(), st.lists(KINDS, min_size=40, max_size=60))
def test_no_sequence_of_failures_outlives_the_budgets(limits: Limits, kinds: list[ErrorKind]) -> None:
    tally, tries = Tally(), 0
    for kind in kinds:
        ruling = rule_on(tally, kind, limits)
        tally, tries = ruling.tally, tries + 1
        assert tally.attempts == tries
        if not ruling.again:
            break
    assert not ruling.again
    assert tally.errors <= limits.max_attempts
    assert tally.deaths <= limits.deaths_per_video


@settings(deadline=None, max_examples=50)
@given(any_limits())
def test_each_kind_is_tried_exactly_as_often_as_its_budget_says(limits: Limits) -> None:
    expected = {
        ErrorKind.POISON: 1, ErrorKind.TRANSIENT: limits.max_attempts, ErrorKind.DEVICE: limits.deaths_per_video,
    }
    for kind, tries in expected.items():
        tally = Tally()
        for number in range(1, tries + 1):
            ruling = rule_on(tally, kind, limits)
            tally = ruling.tally
            assert ruling.again == (number < tries)


@settings(deadline=None, max_examples=50)
@given(any_limits())
def test_one_poisonous_job_is_set_aside_before_its_worker_is_given_up(limits: Limits) -> None:
    tally, deaths, again = Tally(), 0, True
    while again:
        ruling = rule_on(tally, ErrorKind.DEVICE, limits)
        tally, again, deaths = ruling.tally, ruling.again, deaths + 1
        assert not is_spent(deaths, limits)
    assert is_spent(limits.deaths_per_worker, limits)


@settings(deadline=None, max_examples=50)
@given(any_limits(), st.sampled_from([ErrorKind.TRANSIENT, ErrorKind.DEVICE]))
def test_waits_double_and_stay_below_a_minute(limits: Limits, kind: ErrorKind) -> None:
    tally, waits = Tally(), []
    for _ in range(12):
        ruling = rule_on(tally, kind, limits)
        tally = ruling.tally
        waits.append(ruling.delay_s)
    assert waits[0] == min(MAX_BACKOFF_S, limits.backoff_s)
    for before, after in zip(waits, waits[1:], strict=False):
        assert after == min(MAX_BACKOFF_S, before * 2)


@pytest.mark.parametrize(
    ("cluster", "run", "named"),
    [
        (ClusterConfig(deaths_per_video=4, deaths_per_worker=4), RunConfig(), "deaths_per_worker"),
        (ClusterConfig(deaths_per_video=0), RunConfig(), "deaths_per_video"),
        (ClusterConfig(), RunConfig(max_attempts=0), "max_attempts"),
        (ClusterConfig(), RunConfig(retry_backoff_s=-1.0), "retry_backoff_s"),
    ],
)
def test_budgets_that_contradict_each_other_are_refused(cluster: ClusterConfig, run: RunConfig, named: str) -> None:
    with pytest.raises(BadConfiguration, match=named):
        limits_of(cluster, run)
