"""The driver's decisions with actors that follow a script, so that thousands of fates are tried without a process."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError

from labeling.config import ClusterConfig
from labeling.errors import ErrorKind, ErrorRecord, NoWorkersLeft
from labeling.jobs import Job, Receipt
from labeling.pool.driver import Driver
from labeling.pool.queue import Attempt, JobQueue, Limits
from labeling.pool.work import EventKind, PoolEvent, failed
from labeling.pool.worker import ActorResources, Request, Worker

MakeJobs = Callable[..., list[Job]]
LOST = ("death", "preempted")
FATES = ("ok", "poison", "transient", "device", *LOST)


class ScriptedWorker(Worker):
    """A place whose actor answers at once with what the script says; one that died answers nothing more."""

    def __init__(self, number: int, fates: Iterator[str], ran: Counter[str]) -> None:
        super().__init__(number)
        self.fates, self.ran, self.end = fates, ran, ""

    def start(self, pickled_work: bytes, wake: Callable[[object], None]) -> None:
        self.generation, self.handle, self.end = self.generation + 1, object(), ""
        self.placed_at = time.monotonic()
        self.setup_answer = Future()
        self.setup_answer.set_result(None)
        self.setup_answer.add_done_callback(wake)

    def submit(self, attempt: Attempt, wake: Callable[[object], None]) -> None:
        answer: Future[Receipt] = Future()
        self.requests.append(Request(attempt, answer, time.monotonic()))
        if not self.end:
            self._play(attempt, answer)
        elif self.end in LOST:
            answer.set_exception(died(preempted=self.end == "preempted"))
        answer.add_done_callback(wake)

    def _play(self, attempt: Attempt, answer: Future[Receipt]) -> None:
        """Do one job, or end the actor by it."""
        fate = self.fate_of(attempt)
        self.ran[attempt.job.name] += 1
        self.end = {"hung": "hung", "device": "sick", **{lost: lost for lost in LOST}}.get(fate, "")
        if fate in LOST:
            answer.set_exception(died(preempted=fate == "preempted"))
        elif fate != "hung":
            answer.set_result(self._receipt(attempt, fate))

    def fate_of(self, attempt: Attempt) -> str:
        return next(self.fates, "ok")

    def _receipt(self, attempt: Attempt, fate: str) -> Receipt:
        if fate == "ok":
            return Receipt(attempt.job.name, attempt.job.video.video_id)
        return failed(attempt.job, ErrorRecord(ErrorKind(fate), fate, fate), self.name)

    def stop(self) -> tuple[Attempt, ...]:
        self.handle = None
        return super().stop()


def died(*, preempted: bool = False) -> ActorDiedError:
    error = ActorDiedError()
    error._preempted = preempted
    return error


def driver_of(
    jobs: list[Job], fates: list[str], ran: Counter[str], *, num_workers: int, limits: Limits,
    on_event: Callable[[PoolEvent], None] | None = None,
    joined: Callable[[], tuple[ActorResources, ...]] = tuple, **cluster: Any,
) -> Driver:
    """A driver with scripted actors."""
    script = iter(fates)
    workers: list[Worker] = [ScriptedWorker(number, script, ran) for number in range(num_workers)]
    queue = JobQueue((Attempt(job, timeout_s=60.0) for job in jobs), len(jobs))
    return Driver(b"", workers, queue, limits, ClusterConfig(**cluster), on_event, None, joined)


@settings(deadline=None, max_examples=150)
@given(
    fates=st.lists(st.sampled_from(FATES), max_size=40),
    num_jobs=st.integers(0, 12),
    num_workers=st.integers(1, 4),
    depth=st.integers(1, 3),
    per_video=st.integers(1, 3),
    max_attempts=st.integers(1, 3),
)
def test_each_job_ends_once_whatever_its_fate(
    make_jobs: MakeJobs, fates: list[str], num_jobs: int, num_workers: int, depth: int, per_video: int, max_attempts: int,
) -> None:
    jobs, ran = make_jobs(*["job"] * num_jobs), Counter[str]()
    limits = Limits(max_attempts, per_video, per_video + 2, backoff_s=0.0)
    seen: dict[EventKind, list[PoolEvent]] = defaultdict(list)
    driver = driver_of(
        jobs, fates, ran, num_workers=num_workers, limits=limits, on_event=lambda e: seen[e.kind].append(e),
        in_flight_per_actor=depth,
    )
    receipts: list[Receipt] = []
    not_done: tuple[Job, ...] = ()
    try:
        receipts.extend(driver.receipts(pull_all=True))
    except NoWorkersLeft as error:
        not_done = error.not_done
        assert len(seen[EventKind.GIVEN_UP]) == num_workers
    ended = Counter([r.job_name for r in receipts] + [job.name for job in not_done])
    assert ended == Counter(job.name for job in jobs)
    for receipt in receipts:
        if receipt.error is None:
            continue
        expected = {"poison": range(1, 9), "transient": range(max_attempts, 9)}.get(receipt.error.reason, range(per_video, 9))
        assert receipt.error.attempts in expected
        assert receipt.error.attempts <= max_attempts + per_video
    # Nothing runs without a cause: as often as it was charged, came back or lost its machine.
    preempted = fates.count("preempted")
    assert all(count <= max_attempts + per_video + preempted for count in ran.values())
    assert (driver.num_finished, driver.num_failed) == (
        sum(r.ok for r in receipts), sum(not r.ok for r in receipts)
    )


def test_only_the_head_is_charged_with_a_death(make_jobs: MakeJobs) -> None:
    jobs, ran = make_jobs("a", "b", "c"), Counter[str]()
    events: list[PoolEvent] = []
    limits = Limits(3, 2, 4, backoff_s=0.0)
    driver = driver_of(jobs, ["ok", "death"], ran, num_workers=1, limits=limits, on_event=events.append, in_flight_per_actor=3)
    began = time.monotonic()
    assert all(receipt.ok for receipt in driver.receipts(pull_all=True))
    assert time.monotonic() - began < 2.0       # answers that came together are taken together, not one per wake
    assert ran == {jobs[0].name: 1, jobs[1].name: 2, jobs[2].name: 1}
    assert [(e.job_name, e.attempts) for e in events if e.kind is EventKind.RETRIED] == [(jobs[1].name, 1)]


def test_a_machine_taken_away_is_charged_to_nobody(make_jobs: MakeJobs) -> None:
    jobs, ran = make_jobs("a", "b"), Counter[str]()
    events: list[PoolEvent] = []
    limits = Limits(1, 1, 2, backoff_s=0.0)
    driver = driver_of(jobs, ["preempted"] * 5, ran, num_workers=1, limits=limits, on_event=events.append)
    assert all(receipt.ok for receipt in driver.receipts(pull_all=True))
    assert ran[jobs[0].name] == 6
    assert [e.message for e in events if e.kind is EventKind.DIED] == ["its machine was taken away"] * 5


def test_two_poisonous_jobs_among_good_ones_cost_no_worker_its_place(make_jobs: MakeJobs) -> None:
    """With a good job between them, deaths of two jobs are not in a row."""
    jobs, ran = make_jobs(*["job"] * 6), Counter[str]()
    limits = Limits(3, 2, 3, backoff_s=0.0)
    driver = driver_of(jobs, ["death", "death", "ok", "death", "ok", "death", "ok", "ok"], ran, num_workers=1, limits=limits)
    receipts = list(driver.receipts(pull_all=True))
    assert len(receipts) == 6
    assert sum(r.ok for r in receipts) == 4
    assert [r.error.attempts for r in receipts if r.error] == [2, 2]


def test_where_one_death_is_too_many_nobody_waits_behind(make_jobs: MakeJobs) -> None:
    limits = Limits(3, 1, 2, backoff_s=0.0)
    driver = driver_of(make_jobs("a", "b"), [], Counter(), num_workers=1, limits=limits, in_flight_per_actor=4)
    assert driver.depth == 1


def test_an_actor_past_its_grace_is_killed_and_those_behind_go_on(make_jobs: MakeJobs) -> None:
    jobs, ran = make_jobs("hang", "b", "c"), Counter[str]()
    events: list[PoolEvent] = []
    limits = Limits(3, 2, 4, backoff_s=0.0)
    # A script that is sick without saying so: the answer never comes.
    driver = driver_of(jobs, [], ran, num_workers=1, limits=limits, on_event=events.append, deadline_grace_s=0.05)
    (worker,) = driver.workers
    assert isinstance(worker, ScriptedWorker)
    worker.fate_of = lambda attempt: "hung" if attempt.job is jobs[0] else "ok"  # type: ignore[method-assign]
    driver.queue = JobQueue(Attempt(job, timeout_s=0.05) for job in jobs)
    receipts = {receipt.job_name: receipt for receipt in driver.receipts(pull_all=True)}
    late = receipts[jobs[0].name].error
    assert late is not None
    assert (late.reason, late.attempts) == ("deadline", 1)
    assert receipts[jobs[1].name].ok
    assert receipts[jobs[2].name].ok
    assert [e.job_name for e in events if e.kind is EventKind.KILLED] == [jobs[0].name]


@pytest.mark.parametrize("fate", ["death", "hung"])
def test_a_death_beside_a_preparation_is_charged_to_neither_job(make_jobs: MakeJobs, fate: str) -> None:
    """A hang is the doing of the job that runs; of a death nobody knows whether it was the one that was prepared."""
    jobs, ran = make_jobs(*"ab"), Counter[str]()
    events: list[PoolEvent] = []
    driver = driver_of(
        jobs, [fate], ran, num_workers=1, limits=Limits(3, 2, 4, backoff_s=0.0), on_event=events.append, deadline_grace_s=0.05
    )
    driver.queue = JobQueue(Attempt(job, timeout_s=0.05) for job in jobs)
    (worker,) = driver.workers
    driver._start_workers()
    driver._take_answer(worker)
    driver._fill()
    worker.requests[0].ahead = worker.requests[1].attempt
    running, prepared = (request.attempt for request in worker.requests)
    outcome = {receipt.job_name: receipt.error for receipt in driver.receipts(pull_all=True)}
    lost = fate == "death"
    assert [running.lost, prepared.lost] == [lost, lost]
    assert outcome[jobs[1].name] is None
    error = outcome[jobs[0].name]
    assert (error is None) if lost else (error is not None and error.reason == "deadline")
    assert [ran[job.name] for job in jobs] == ([2, 1] if lost else [1, 1])
    assert not [event for event in events if event.kind is EventKind.RETRIED]


def test_an_exception_of_the_listener_reaches_the_caller(make_jobs: MakeJobs) -> None:
    def refuse(event: PoolEvent) -> None:
        raise RuntimeError("the display broke")

    driver = driver_of(make_jobs("a"), [], Counter(), num_workers=1, limits=Limits(1, 1, 2, 0.0), on_event=refuse)
    with pytest.raises(RuntimeError, match="the display broke"):
        list(driver.receipts(pull_all=True))


def test_actors_follow_the_queue_up_and_down(make_jobs: MakeJobs) -> None:
    """One that hangs on the last job is not kept company: the others are let go, but for the fewest that are wanted."""
    jobs, ran = make_jobs(*["job"] * 4), Counter[str]()
    events: list[PoolEvent] = []
    limits = Limits(3, 2, 4, backoff_s=0.0)
    driver = driver_of(
        jobs, ["hung"], ran, num_workers=9, limits=limits, on_event=events.append, in_flight_per_actor=1, min_actors=2,
        deadline_grace_s=0.0,
    )
    driver.queue = JobQueue((Attempt(job, timeout_s=0.2) for job in jobs), len(jobs))
    receipts = driver.receipts(pull_all=True)
    for _ in range(3):
        assert next(receipts).ok
    assert not next(receipts).ok
    assert list(receipts) == []
    assert sum(worker.generation > 0 for worker in driver.workers) == 4, "no more actors than jobs"
    let_go = [event.worker for event in events if event.kind is EventKind.DISMISSED]
    assert len(let_go) == 2
    assert "worker-0.1" not in let_go


def test_a_place_that_was_closed_opens_again_with_a_node(make_jobs: MakeJobs) -> None:
    """The first of two workers dies of two jobs in a row, the other one hangs: who does the last job?"""
    bad, hangs, worse, good = jobs = make_jobs("bad", "hangs", "worse", "good")
    fates = {bad.name: "device", worse.name: "device", hangs.name: "hung"}
    nodes = iter([(ActorResources(),)])
    events: list[PoolEvent] = []
    driver = driver_of(
        jobs, [], Counter(), num_workers=2, limits=Limits(1, 1, 2, backoff_s=0.0), on_event=events.append,
        joined=lambda: next(nodes, ()) if driver.workers[0].given_up else (),
    )
    for worker in driver.workers:
        assert isinstance(worker, ScriptedWorker)
        worker.fate_of = lambda attempt: fates.get(attempt.job.name, "ok")  # type: ignore[method-assign]
    receipts = driver.receipts(pull_all=True)
    assert [(r.job_name, r.ok) for r in (next(receipts), next(receipts), next(receipts))] == [
        (bad.name, False), (worse.name, False), (good.name, True)
    ]
    receipts.close()
    assert [(e.kind, e.worker) for e in events if e.kind in (EventKind.GIVEN_UP, EventKind.JOINED)] == [
        (EventKind.GIVEN_UP, "worker-0.2"), (EventKind.JOINED, "")
    ]
    assert [e.worker for e in events if e.kind is EventKind.FINISHED] == ["worker-0.3"]


def test_the_last_jobs_wait_behind_nobody(make_jobs: MakeJobs) -> None:
    """One worker is ready long before the other one: it leaves that a job, and nobody is let go too early."""
    jobs = make_jobs("a", "b")
    driver = driver_of(jobs, ["hung"], Counter(), num_workers=2, limits=Limits(3, 2, 4, 0.0), min_actors=0)
    early, late = driver.workers
    driver._start_workers()
    early.setup_answer = None
    driver._feed()
    driver._stop_idle()
    assert (len(early.requests), len(late.requests)) == (1, 0)
    assert late.handle is not None
    late.setup_answer = None
    driver._feed()
    assert (len(early.requests), len(late.requests)) == (1, 1)
