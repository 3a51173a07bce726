"""The pool against real Ray processes: a work that does what each job's key says."""

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray

from labeling.config import ClusterConfig, RunConfig
from labeling.errors import BadInput, DeadlineExceeded, NoWorkersLeft, PoolStopped, Unavailable
from labeling.jobs import Job, Receipt
from labeling.pool.cluster import open_cluster
from labeling.pool.pool import run_jobs
from labeling.pool.work import EventKind, PoolEvent

MakeJobs = Callable[..., list[Job]]

# Actors cannot import this module by name.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Obedient:
    """Does what a job's key says (the word before a dash) and notes each start in a folder."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def setup(self, device: str) -> None:
        (self.notes / f"setup-{os.getpid()}").write_text(device)

    def __call__(self, job: Job, *, deadline: float) -> Receipt:
        tries = self._note(job)
        word = job.video.key.partition("-")[0]
        if word == "bad":
            raise BadInput("no frame in it", "decode_error")
        if word == "bug":
            raise KeyError("not ours to mend")
        if word == "flaky" and tries < 3:
            raise Unavailable("come back later", "source_unavailable")
        if word == "down":
            raise Unavailable("never up", "source_unavailable")
        if word == "sick" and tries == 1:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if word == "deadly" or (word == "once" and tries == 1):
            time.sleep(0.5)     # an answer of the job before dies with the actor if it has not left yet
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "polite":
            while time.time() < deadline:
                time.sleep(0.01)
            raise DeadlineExceeded("out of time")
        if word == "hang":
            time.sleep(600)
        if word == "wrong":
            return "not a receipt"  # type: ignore[return-value]
        return Receipt(job.name, job.video.video_id, num_frames=tries)

    def _note(self, job: Job) -> int:
        """Note a start; return how many there were of this job, this one counted."""
        with (self.notes / job.video.key).open("a") as file:
            file.write(f"{os.getpid()}\n")
        return len((self.notes / job.video.key).read_text().split())


class Foresighted(Obedient):
    """Notes which jobs it is to prepare; of some it fails then, of others it dies."""

    def prepare(self, job: Job) -> None:
        with (self.notes / f"prepared-{job.video.key}").open("a") as file:
            file.write(f"{job.name}\n")
        word = job.video.key.partition("-")[0]
        if word == "clumsy":
            raise RuntimeError("not yet")
        if word == "trap":
            os.kill(os.getpid(), signal.SIGKILL)


class Unready(Obedient):
    """Cannot be set up."""

    def setup(self, device: str) -> None:
        super().setup(device)
        raise BadInput("weights.pt is no checkpoint", "bad_checkpoint")


class Slow(Obedient):
    """Takes longer to set up than anyone waits."""

    def setup(self, device: str) -> None:
        time.sleep(600)


class Unpicklable:
    """Cannot be unpickled in an actor."""

    def __reduce__(self) -> tuple[object, ...]:
        return (int, ("not a number",))


@pytest.fixture(scope="module", autouse=True)
def two_cpus() -> Iterator[None]:
    """Ray with 2 CPUs, started on a thread that ends at once, as a task's may: Ray has to outlive it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labeling.pool.cluster.usable_cpus", lambda: 2)
        # Another room's tests may hold a Ray for the whole session: what is not ours stays.
        held_before = ray.is_initialized()
        cluster = open_cluster(ClusterConfig())
        starter = threading.Thread(target=cluster.__enter__)
        starter.start()
        starter.join()
        yield
        cluster.__exit__(None, None, None)
    assert ray.is_initialized() is held_before


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path


def settings(**changes: object) -> ClusterConfig:
    return ClusterConfig(**{"deadline_grace_s": 1.0, "setup_timeout_s": 120.0, **changes})  # type: ignore[arg-type]


QUICK = RunConfig(retry_backoff_s=0.05, timeout_s=120.0)


def starts(notes: Path, key: str) -> int:
    path = notes / key
    return len(path.read_text().split()) if path.exists() else 0


def actor_pids() -> set[int]:
    """The processes of pool actors among this process's descendants."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if "WorkerActor" in " ".join(process.cmdline()):
                found.add(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def assert_no_actors(within_s: float = 5.0) -> None:
    until = time.monotonic() + within_s
    while actor_pids():
        assert time.monotonic() < until, f"actors still there: {actor_pids()}"
        time.sleep(0.05)


def test_each_outcome_in_one_run(notes: Path, make_jobs: MakeJobs) -> None:
    """Errors come back as records, what may pass is tried again, deaths are survived; no job is lost or doubled."""
    good = [f"good-{n}" for n in range(30)]
    words = [*good[:10], "bad", "bug", "flaky", "down", "wrong", *good[10:20], "once", "sick", "deadly", *good[20:]]
    events: list[PoolEvent] = []
    jobs = make_jobs(*words)
    receipts = list(run_jobs(Obedient(notes), iter(jobs), cluster=settings(actors=5), run=QUICK, on_event=events.append))

    assert Counter(r.job_name for r in receipts) == Counter(job.name for job in jobs)
    of_job = {receipt.job_name: receipt for receipt in receipts}
    by_word = {word: of_job[job.name] for word, job in zip(words, jobs, strict=True)}
    failed = {word: receipt.error for word, receipt in by_word.items() if receipt.error is not None}
    assert {word: (e.reason, e.attempts) for word, e in failed.items()} == {
        "bad": ("decode_error", 1), "bug": ("unexpected", 1), "down": ("source_unavailable", 3), "wrong": ("unexpected", 1),
        "deadly": ("worker_died", 2),
    }
    assert "no frame in it" in failed["bad"].message
    assert "KeyError" in failed["bug"].traceback
    assert "expected a Receipt" in failed["wrong"].message
    assert "SYSTEM_ERROR" in failed["deadly"].message
    assert {word: starts(notes, word) for word in ("bad", "flaky", "down", "once", "sick", "deadly")} == {
        "bad": 1, "flaky": 3, "down": 3, "once": 2, "sick": 2, "deadly": 2,
    }
    assert by_word["flaky"].num_frames == 3
    # The jobs behind those that cost a worker never began there, and were charged nothing.
    assert all(by_word[word].ok and starts(notes, word) == 1 for word in good)
    # A device error is tried again in another process.
    assert len(set((notes / "sick").read_text().split())) == 2
    assert all(r.worker.startswith("worker-") for r in receipts)
    assert {path.read_text() for path in notes.glob("setup-*")} == {"cpu"}
    check_events(events, jobs)
    assert_no_actors()


def check_events(events: list[PoolEvent], jobs: list[Job]) -> None:
    """The events of the run above tell the same story, with counts."""
    assert events[0].kind is EventKind.CAPPED
    assert "5 actors asked for, 2 fit" in events[0].message
    kinds = Counter(e.kind for e in events)
    assert kinds[EventKind.FINISHED] == 33
    assert kinds[EventKind.FAILED] == 5
    assert kinds[EventKind.DIED] == 4        # once, sick, deadly twice
    assert kinds[EventKind.RETRIED] == 7     # flaky and down twice each; once, sick and deadly once each
    assert kinds[EventKind.GIVEN_UP] == 0
    assert {e.job_name for e in events if e.kind is EventKind.STARTED} == {job.name for job in jobs}
    assert max(e.num_workers for e in events) <= 2
    last = [e for e in events if e.kind in (EventKind.FINISHED, EventKind.FAILED)][-1]
    assert (last.num_finished, last.num_failed, last.num_in_flight) == (33, 5, 0)


def test_the_next_job_alone_is_prepared_and_what_happens_there_is_charged_to_nobody(notes: Path, make_jobs: MakeJobs) -> None:
    jobs, events = make_jobs("ok-0", "ok-1", "clumsy-2", "trap-3", "ok-4"), list[PoolEvent]()
    receipts = list(run_jobs(Foresighted(notes), jobs, cluster=settings(actors=1), run=QUICK, on_event=events.append))
    assert [r.error for r in receipts] == [None] * 5
    # Nobody knows what the worker died of: the trap, or the job that ran; both then go alone, with nothing prepared beside.
    assert sorted(path.name for path in notes.glob("prepared-*")) == ["prepared-clumsy-2", "prepared-ok-1", "prepared-trap-3"]
    assert Counter(e.kind for e in events)[EventKind.DIED] == 1
    assert not [e for e in events if e.kind is EventKind.RETRIED or e.attempts]


def test_a_hang_is_killed_at_its_deadline_and_not_tried_again(notes: Path, make_jobs: MakeJobs) -> None:
    events: list[PoolEvent] = []
    jobs = make_jobs("hang", "good-1", "polite", "good-2", "good-3")
    limit_s = {jobs[0].name: 1.0, jobs[2].name: 0.3}
    began = time.monotonic()
    receipts = list(
        run_jobs(
            Obedient(notes), jobs, cluster=settings(actors=1), run=QUICK, on_event=events.append,
            timeout_of=lambda job: limit_s.get(job.name, 60.0),
        )
    )
    assert time.monotonic() - began < 60
    failed = {r.job_name: r.error for r in receipts if r.error is not None}
    assert {name: e.reason for name, e in failed.items()} == {jobs[0].name: "deadline", jobs[2].name: "deadline"}
    assert "time limit of 1 s" in failed[jobs[0].name].message
    assert failed[jobs[2].name].message == "out of time"
    assert starts(notes, "hang") == 1
    assert [e.job_name for e in events if e.kind is EventKind.KILLED] == [jobs[0].name]
    assert len(receipts) == 5


def test_closing_early_kills_the_actors_and_pulls_no_more(notes: Path, make_jobs: MakeJobs) -> None:
    pulled = []

    def stream() -> Iterator[Job]:
        for job in make_jobs("good-0", *[f"hang-{n}" for n in range(50)]):
            pulled.append(job)
            yield job

    receipts = run_jobs(Obedient(notes), stream(), cluster=settings(), run=QUICK)
    assert next(receipts).ok
    assert actor_pids()
    receipts.close()
    assert_no_actors()
    assert len(pulled) <= 6      # the one that came back, two for each of two actors, one ahead


def test_stop_from_another_thread_ends_a_hang(notes: Path, make_jobs: MakeJobs) -> None:
    stop = threading.Event()
    receipts = run_jobs(Obedient(notes), make_jobs("good", "hang"), cluster=settings(actors=1), run=QUICK, stop=stop)
    assert next(receipts).ok
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(PoolStopped):
        next(receipts)
    assert time.monotonic() - began < 3
    assert_no_actors()


@pytest.mark.parametrize(
    ("work", "actors", "expected"),
    [(Unready, 2, "weights.pt is no checkpoint"), (lambda notes: Unpicklable(), 1, "not a number")],
)
def test_a_setup_that_fails_everywhere_is_one_error(
    work: Callable[[Path], Obedient], actors: int, expected: str, notes: Path, make_jobs: MakeJobs
) -> None:
    jobs = make_jobs(*[f"good-{n}" for n in range(5)])
    with pytest.raises(NoWorkersLeft, match=expected) as caught:
        list(run_jobs(work(notes), jobs, cluster=settings(actors=actors), run=QUICK))
    assert f"all {actors} workers were given up, 5 jobs are not done" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert caught.value.record is not None
    assert "Traceback" in caught.value.record.traceback
    assert caught.value.not_done == tuple(jobs)
    assert len(list(notes.glob("setup-*"))) <= 2     # once in each actor, not again
    assert_no_actors()


def test_a_setup_that_takes_too_long_is_killed(notes: Path, make_jobs: MakeJobs) -> None:
    with pytest.raises(NoWorkersLeft, match="setup_timeout_s=2"):
        list(run_jobs(Slow(notes), make_jobs("good"), cluster=settings(setup_timeout_s=2.0), run=QUICK))
    assert_no_actors()


def test_a_worker_that_dies_of_everything_is_given_up(notes: Path, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(*[f"deadly-{n}" for n in range(5)])
    budgets = settings(actors=1, deaths_per_video=1, deaths_per_worker=2)
    receipts: list[Receipt] = []
    with pytest.raises(NoWorkersLeft, match="died while it held job") as caught:
        receipts.extend(run_jobs(Obedient(notes), jobs, cluster=budgets, run=QUICK))
    assert [r.error.reason for r in receipts if r.error] == ["worker_died"] * 2
    assert {r.job_name for r in receipts} | {job.name for job in caught.value.not_done} == {job.name for job in jobs}
    assert len(caught.value.not_done) == 3


def test_a_timeout_that_is_none_is_refused(notes: Path, make_jobs: MakeJobs) -> None:
    with pytest.raises(ValueError, match="timeout of job .* is nan s"):
        list(run_jobs(Obedient(notes), make_jobs("good"), cluster=settings(), run=QUICK, timeout_of=lambda job: float("nan")))
