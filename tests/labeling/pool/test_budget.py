import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.config import ClusterConfig, RunConfig
from labeling.errors import BadConfiguration, ErrorKind
from labeling.pool.budget import MAX_BACKOFF_S, Failures, Limits, charge_failure, is_spent, limits_of

KINDS = st.sampled_from(list(ErrorKind))


@st.composite
def any_limits(draw: st.DrawFn) -> Limits:
    per_video = draw(st.integers(1, 6))
    per_worker = draw(st.integers(per_video + 1, 12))
    return Limits(draw(st.integers(1, 8)), per_video, per_worker, draw(st.floats(0, 100)))


@settings(deadline=None, max_examples=50)
@given(any_limits(), st.lists(KINDS, min_size=40, max_size=60))
def test_no_sequence_of_failures_outlives_the_budgets(limits: Limits, kinds: list[ErrorKind]) -> None:
    failures, tries = Failures(), 0
    for kind in kinds:
        charge = charge_failure(failures, kind, limits)
        failures, tries = charge.failures, tries + 1
        assert failures.total == tries
        if not charge.again:
            break
    assert not charge.again
    assert failures.errors <= limits.max_attempts
    assert failures.deaths <= limits.deaths_per_video


@settings(deadline=None, max_examples=50)
@given(any_limits())
def test_each_kind_is_tried_exactly_as_often_as_its_budget_says(limits: Limits) -> None:
    expected = {
        ErrorKind.POISON: 1, ErrorKind.TRANSIENT: limits.max_attempts, ErrorKind.DEVICE: limits.deaths_per_video,
    }
    for kind, tries in expected.items():
        failures = Failures()
        for number in range(1, tries + 1):
            charge = charge_failure(failures, kind, limits)
            failures = charge.failures
            assert charge.again == (number < tries)


@settings(deadline=None, max_examples=50)
@given(any_limits())
def test_one_poisonous_job_is_set_aside_before_its_worker_is_given_up(limits: Limits) -> None:
    failures, deaths, again = Failures(), 0, True
    while again:
        charge = charge_failure(failures, ErrorKind.DEVICE, limits)
        failures, again, deaths = charge.failures, charge.again, deaths + 1
        assert not is_spent(deaths, limits)
    assert is_spent(limits.deaths_per_worker, limits)


@settings(deadline=None, max_examples=50)
@given(any_limits(), st.sampled_from([ErrorKind.TRANSIENT, ErrorKind.DEVICE]))
def test_waits_double_and_stay_below_a_minute(limits: Limits, kind: ErrorKind) -> None:
    failures, waits = Failures(), []
    for _ in range(12):
        charge = charge_failure(failures, kind, limits)
        failures = charge.failures
        waits.append(charge.delay_s)
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
