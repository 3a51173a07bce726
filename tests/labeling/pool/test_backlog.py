from collections.abc import Callable, Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.pool.backlog import Backlog, Flight
from labeling.pool.budget import Tally
from labeling.types import Job

MakeJobs = Callable[..., list[Job]]


def flights(jobs: list[Job]) -> list[Flight]:
    return [Flight(job, timeout_s=1.0) for job in jobs]


def taken(backlog: Backlog, now: float = 0.0, *, alone: bool = True, proven: bool = True) -> str | None:
    flight = backlog.take(now, alone=alone, proven=proven)
    return flight.job.video.key if flight else None


def test_fresh_jobs_are_pulled_no_more_than_one_ahead(make_jobs: MakeJobs) -> None:
    pulled = []

    def stream() -> Iterator[Flight]:
        for flight in flights(make_jobs("a", "b", "c", "d")):
            pulled.append(flight.job.video.key)
            yield flight

    backlog = Backlog(stream())
    assert pulled == []
    assert taken(backlog) == "a"
    assert not backlog.is_empty()
    assert pulled == ["a", "b"]
    assert [taken(backlog) for _ in range(4)] == ["b", "c", "d", None]
    assert backlog.is_empty()


def test_how_many_wait(make_jobs: MakeJobs) -> None:
    a, b, c = flights(make_jobs("a", "b", "c"))
    backlog = Backlog(iter([a, b, c]), 3)
    assert backlog.num_waiting() == 3
    assert taken(backlog) == "a"
    assert backlog.num_waiting() == 2
    backlog.give_back([a])
    assert backlog.num_waiting() == 3
    assert [taken(backlog) for _ in range(3)] == ["a", "b", "c"]
    backlog.retry(a, due_at=9.0)
    assert backlog.num_waiting() == 1
    assert Backlog(iter([a])).num_waiting() == float("inf")
    assert Backlog(iter([])).num_waiting() == 0


def test_what_is_given_back_goes_first_in_its_order(make_jobs: MakeJobs) -> None:
    a, b, c = flights(make_jobs("a", "b", "c"))
    backlog = Backlog([c])
    backlog.give_back((a, b))
    assert [taken(backlog) for _ in range(3)] == ["a", "b", "c"]


def test_a_retry_waits_for_its_time_and_then_goes_before_fresh_jobs(make_jobs: MakeJobs) -> None:
    a, b, c = flights(make_jobs("a", "b", "c"))
    backlog = Backlog([b, c])
    backlog.retry(a, due_at=10.0)
    assert taken(backlog, 9.0) == "b"
    assert backlog.next_due_at() == 10.0
    assert taken(backlog, 10.0) == "a"
    assert backlog.next_due_at() is None


def test_a_suspect_waits_for_a_worker_to_itself(make_jobs: MakeJobs) -> None:
    suspect, fresh = flights(make_jobs("suspect", "fresh"))
    suspect.tally = Tally(deaths=1)
    backlog = Backlog([fresh])
    backlog.retry(suspect, due_at=0.0)
    assert backlog.suspect_is_due(0.0)
    assert taken(backlog, alone=False) == "fresh"
    assert taken(backlog, alone=False) is None
    assert not backlog.is_empty()
    assert taken(backlog, alone=True) == "suspect"


def test_a_worker_that_just_died_gets_a_suspect_last(make_jobs: MakeJobs) -> None:
    suspect, fresh = flights(make_jobs("suspect", "fresh"))
    suspect.tally = Tally(deaths=1)
    backlog = Backlog([fresh])
    backlog.retry(suspect, due_at=0.0)
    assert [taken(backlog, proven=False), taken(backlog, proven=False)] == ["fresh", "suspect"]


def test_company_is_what_comes_next_and_fits(make_jobs: MakeJobs) -> None:
    a, b, c, d, e = flights(make_jobs("a", "b", "c", "d", "e"))
    d.cost = 50.0
    backlog = Backlog(iter([c, d, e]))
    backlog.give_back([a, b])
    assert backlog.take(0.0, alone=True) is a
    assert backlog.take_with(a, room=0.0, most=9) == (a,)
    assert backlog.take(0.0, alone=True) is b
    assert backlog.take_with(b, room=10.0, most=9) == (b, c)
    assert backlog.take(0.0, alone=True) is d
    assert backlog.take_with(d, room=51.0, most=1) == (d,)
    assert backlog.take_with(d, room=51.0, most=2) == (d, e)
    assert backlog.is_empty()


def test_a_job_with_a_past_goes_without_company(make_jobs: MakeJobs) -> None:
    tried, lost, plain = flights(make_jobs("tried", "lost", "plain"))
    tried.tally, lost.lost = Tally(errors=1), True
    backlog = Backlog([plain])
    backlog.give_back([lost])
    assert backlog.take_with(tried, room=9.0, most=9) == (tried,)
    assert backlog.take(0.0, alone=True) is lost
    assert backlog.take_with(lost, room=9.0, most=9) == (lost,)
    backlog.give_back([lost])
    assert backlog.take_with(plain, room=9.0, most=9) == (plain,)


def test_what_is_left_is_named_with_or_without_the_rest_of_the_iterable(make_jobs: MakeJobs) -> None:
    a, b, c, d, e = flights(make_jobs("a", "b", "c", "d", "e"))
    backlog = Backlog(iter([c, d, e]))
    assert not backlog.is_empty()
    backlog.give_back([a])
    backlog.retry(b, due_at=99.0)
    assert [job.video.key for job in backlog.left(pull_all=False)] == ["a", "b", "c"]
    assert [job.video.key for job in backlog.left(pull_all=True)] == ["a", "b", "c", "d", "e"]


@settings(deadline=None, max_examples=50)
@given(data=st.data(), num_jobs=st.integers(1, 12))
def test_no_job_is_lost_or_doubled_whatever_happens_to_it(data: st.DataObject, num_jobs: int, make_jobs: MakeJobs) -> None:
    backlog = Backlog(flights(make_jobs(*map(str, range(num_jobs)))))
    done: list[str] = []
    for now in range(num_jobs * 4):
        flight = backlog.take(float(now), alone=data.draw(st.booleans()), proven=data.draw(st.booleans()))
        if flight is None:
            continue
        fate = data.draw(st.sampled_from(["done", "back", "retry", "death"]))
        if fate == "done":
            done.append(flight.job.video.key)
        elif fate == "back":
            backlog.give_back([flight])
        else:
            flight.tally = Tally(deaths=1) if fate == "death" else flight.tally
            backlog.retry(flight, now + 2.0)
    left = [job.video.key for job in backlog.left(pull_all=True)]
    assert sorted(done + left) == sorted(str(n) for n in range(num_jobs))
