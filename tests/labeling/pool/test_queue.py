"""The queue's order, and the two budgets."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.config import ClusterConfig, RunConfig
from labeling.errors import BadConfiguration, ErrorKind
from labeling.jobs import Job
from labeling.pool.queue import (
    MAX_BACKOFF_S,
    Attempt,
    Failures,
    JobQueue,
    Limits,
    charge_failure,
    is_spent,
    limits_of,
)

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


MakeJobs = Callable[..., list[Job]]


def attempts(jobs: list[Job]) -> list[Attempt]:
    return [Attempt(job, timeout_s=1.0) for job in jobs]


def taken(queue: JobQueue, now: float = 0.0, *, alone: bool = True, proven: bool = True) -> str | None:
    attempt = queue.take(now, alone=alone, proven=proven)
    return attempt.job.video.key if attempt else None


def test_fresh_jobs_are_pulled_no_more_than_one_ahead(make_jobs: MakeJobs) -> None:
    pulled = []

    def stream() -> Iterator[Attempt]:
        for attempt in attempts(make_jobs("a", "b", "c", "d")):
            pulled.append(attempt.job.video.key)
            yield attempt

    queue = JobQueue(stream())
    assert pulled == []
    assert taken(queue) == "a"
    assert not queue.is_empty()
    assert pulled == ["a", "b"]
    assert [taken(queue) for _ in range(4)] == ["b", "c", "d", None]
    assert queue.is_empty()


def test_how_many_wait(make_jobs: MakeJobs) -> None:
    a, b, c = attempts(make_jobs("a", "b", "c"))
    queue = JobQueue(iter([a, b, c]), 3)
    assert queue.num_waiting() == 3
    assert taken(queue) == "a"
    assert queue.num_waiting() == 2
    queue.give_back([a])
    assert queue.num_waiting() == 3
    assert [taken(queue) for _ in range(3)] == ["a", "b", "c"]
    queue.retry(a, due_at=9.0)
    assert queue.num_waiting() == 1
    assert JobQueue(iter([a])).num_waiting() == float("inf")
    assert JobQueue(iter([])).num_waiting() == 0


def test_what_is_given_back_goes_first_in_its_order(make_jobs: MakeJobs) -> None:
    a, b, c = attempts(make_jobs("a", "b", "c"))
    queue = JobQueue([c])
    queue.give_back((a, b))
    assert [taken(queue) for _ in range(3)] == ["a", "b", "c"]


def test_a_retry_waits_for_its_time_and_then_goes_before_fresh_jobs(make_jobs: MakeJobs) -> None:
    a, b, c = attempts(make_jobs("a", "b", "c"))
    queue = JobQueue([b, c])
    queue.retry(a, due_at=10.0)
    assert taken(queue, 9.0) == "b"
    assert queue.next_due_at() == 10.0
    assert taken(queue, 10.0) == "a"
    assert queue.next_due_at() is None


def test_a_suspect_waits_for_a_worker_to_itself(make_jobs: MakeJobs) -> None:
    suspect, fresh = attempts(make_jobs("suspect", "fresh"))
    suspect.failures = Failures(deaths=1)
    queue = JobQueue([fresh])
    queue.retry(suspect, due_at=0.0)
    assert queue.suspect_is_due(0.0)
    assert taken(queue, alone=False) == "fresh"
    assert taken(queue, alone=False) is None
    assert not queue.is_empty()
    assert taken(queue, alone=True) == "suspect"


def test_a_worker_that_just_died_gets_a_suspect_last(make_jobs: MakeJobs) -> None:
    suspect, fresh = attempts(make_jobs("suspect", "fresh"))
    suspect.failures = Failures(deaths=1)
    queue = JobQueue([fresh])
    queue.retry(suspect, due_at=0.0)
    assert [taken(queue, proven=False), taken(queue, proven=False)] == ["fresh", "suspect"]


def test_what_is_left_is_named_with_or_without_the_rest_of_the_iterable(make_jobs: MakeJobs) -> None:
    a, b, c, d, e = attempts(make_jobs("a", "b", "c", "d", "e"))
    queue = JobQueue(iter([c, d, e]))
    assert not queue.is_empty()
    queue.give_back([a])
    queue.retry(b, due_at=99.0)
    assert [job.video.key for job in queue.left(pull_all=False)] == ["a", "b", "c"]
    assert [job.video.key for job in queue.left(pull_all=True)] == ["a", "b", "c", "d", "e"]


@settings(deadline=None, max_examples=50)
@given(data=st.data(), num_jobs=st.integers(1, 12))
def test_no_job_is_lost_or_doubled_whatever_happens_to_it(data: st.DataObject, num_jobs: int, make_jobs: MakeJobs) -> None:
    queue = JobQueue(attempts(make_jobs(*map(str, range(num_jobs)))))
    done: list[str] = []
    for now in range(num_jobs * 4):
        attempt = queue.take(float(now), alone=data.draw(st.booleans()), proven=data.draw(st.booleans()))
        if attempt is None:
            continue
        fate = data.draw(st.sampled_from(["done", "back", "retry", "death"]))
        if fate == "done":
            done.append(attempt.job.video.key)
        elif fate == "back":
            queue.give_back([attempt])
        else:
            attempt.failures = Failures(deaths=1) if fate == "death" else attempt.failures
            queue.retry(attempt, now + 2.0)
    left = [job.video.key for job in queue.left(pull_all=True)]
    assert sorted(done + left) == sorted(str(n) for n in range(num_jobs))
