"""One worker's place in the pool: its actor, the actor's replacements, and the requests that wait in its queue."""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError

from labeling.config import ClusterConfig
from labeling.errors import ErrorKind, ErrorRecord, NoWorkersLeft
from labeling.jobs import Job, Receipt
from labeling.pool.queue import Attempt
from labeling.pool.work import WorkerActor


@dataclass(frozen=True, slots=True)
class ActorResources:
    """What one actor asks Ray for; `accelerator` is a kind of GPU by Ray's name, None for any."""

    cpus: float = 1.0
    gpus: float = 0.0
    accelerator: str | None = None

    @property
    def device(self) -> str:
        """Where the work is set up; Ray shows an actor only the GPUs that it was given."""
        return "cuda" if self.gpus > 0 else "cpu"


@dataclass(slots=True, eq=False)
class Request:
    """One attempt at a job by an actor, and the receipt to come.

    `began_at` (monotonic seconds) is when the request came to the head of its worker's queue, as the driver saw it. A request
    that is not `sent` waits here until the one before it is over, to be sent with the name of the attempt behind it: `ahead`,
    which the actor prepares meanwhile.
    """

    attempt: Attempt
    answer: "Future[Receipt]"
    began_at: float
    sent: bool = True
    ahead: Attempt | None = None


@dataclass(slots=True)
class Worker:
    """A place for one actor at a time; an actor runs its queue in order, so only the head of it can be running.

    `deaths` counts those in a row, with no job come back in between. `asked_at` and `placed_at` (monotonic seconds) are
    when Ray was asked for the present actor, and when it began on a node; the latter is written by another thread.
    `looks_ahead`: the work prepares the next job, so the head is sent with the name of the job behind it, which waits here.
    """

    number: int
    resources: ActorResources = ActorResources()
    generation: int = 0
    deaths: int = 0
    given_up: bool = False
    handle: Any = None
    setup_answer: "Future[ErrorRecord | str | None] | None" = None
    asked_at: float = 0.0
    placed_at: float | None = None
    requests: deque[Request] = field(default_factory=deque)
    looks_ahead: bool = False

    @property
    def name(self) -> str:
        """What logs and events call the present actor of this place."""
        return f"worker-{self.number}.{self.generation}"

    @property
    def ready(self) -> bool:
        """Whether the actor is set up."""
        return self.handle is not None and self.setup_answer is None

    @property
    def next_answer(self) -> "Future[Receipt] | Future[ErrorRecord | str | None] | None":
        """The answer that comes next: to `setup`, then to the head of the queue; None when nothing is asked."""
        if self.setup_answer is not None:
            return self.setup_answer
        return self.requests[0].answer if self.requests else None

    @property
    def num_in_flight(self) -> int:
        """How many jobs the actor holds."""
        return len(self.requests)

    @property
    def spare(self) -> bool:
        """Whether there is an actor that holds no job: one that is idle, or not ready yet."""
        return self.handle is not None and not self.requests

    def late_at(self, cluster: ClusterConfig) -> float:
        """When the next answer is overdue and its actor is to be killed, in monotonic seconds."""
        if self.setup_answer is not None and self.placed_at is None:
            return self.asked_at + cluster.placement_timeout_s
        if self.setup_answer is not None and self.placed_at is not None:
            return self.placed_at + cluster.setup_timeout_s
        return self.requests[0].began_at + self.requests[0].attempt.timeout_s + cluster.deadline_grace_s

    def start(self, pickled_work: bytes, wake: Callable[[object], None]) -> None:
        """Start an actor and its set-up; returns at once, `wake` is called on another thread when that is over."""
        self.generation += 1
        self.asked_at, self.placed_at = time.monotonic(), None
        # No restarts and no retries by Ray: it would not know whom to charge, and would run poison again.
        actor_class = ray.remote(WorkerActor).options(
            num_cpus=self.resources.cpus, num_gpus=self.resources.gpus, accelerator_type=self.resources.accelerator,
            max_restarts=0, max_task_retries=0,
        )
        self.handle = actor_class.remote(self.name)
        here = self.handle.begin.remote().future()
        here.add_done_callback(partial(self._note_placed, self.generation))
        self.setup_answer = self.handle.setup.remote(pickled_work, self.resources.device).future()
        self.setup_answer.add_done_callback(wake)

    def _note_placed(self, generation: int, answer: "Future[None]") -> None:
        if generation == self.generation and answer.exception() is None:
            self.placed_at = time.monotonic()

    def submit(self, attempt: Attempt, wake: Callable[[object], None]) -> None:
        """Put an attempt at the end of the queue, for `send`; `wake` is called on another thread when its answer is there."""
        request = Request(attempt, Future(), time.monotonic(), sent=False)
        request.answer.add_done_callback(wake)
        self.requests.append(request)

    def send(self) -> None:
        """Send the actor what it is to have by now: the head and, where nobody looks ahead, all behind it."""
        for position, request in enumerate(self.requests):
            held_back = self.looks_ahead and position > 0 and not request.attempt.apart
            if not request.sent and not held_back:
                self._send(request, self.requests[position + 1] if position + 1 < len(self.requests) else None)

    def _send(self, request: Request, behind: Request | None) -> None:
        attempt = request.attempt
        # A job with a past is prepared by nobody and prepares nobody: a death beside it would have two causes.
        if self.looks_ahead and behind is not None and not attempt.apart and not behind.attempt.apart:
            request.ahead = behind.attempt
        request.sent = True
        answer = self.handle.run.remote(attempt.job, attempt.timeout_s, request.ahead.job if request.ahead else None).future()
        answer.add_done_callback(lambda done: _pass_on(done, request.answer))

    def pop_head(self) -> Request:
        """Take the head out of the queue; the clock of the next one starts now."""
        head = self.requests.popleft()
        if self.requests:
            self.requests[0].began_at = time.monotonic()
        return head

    def stop(self) -> tuple[Attempt, ...]:
        """Kill the actor, whatever it does, and return the attempts that were in its queue."""
        if self.handle is not None:
            # The actor, or all of Ray, may be gone already.
            with contextlib.suppress(RayError, RuntimeError, ValueError):
                ray.kill(self.handle)
        left = tuple(request.attempt for request in self.requests)
        self.handle = self.setup_answer = None
        self.requests.clear()
        return left


def _pass_on(done: "Future[Receipt]", to: "Future[Receipt]") -> None:
    error = done.exception()
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)


def record_of_death(error: RayError, worker: Worker) -> ErrorRecord:
    """Return the record of an actor's death, with the line of Ray's report that says of what."""
    text = str(error)
    # Ray's last line says of what it died; those before it are about the actor.
    cause = next((line for line in reversed(text.splitlines()) if line.strip()), type(error).__name__)
    reason = "out_of_memory" if isinstance(error, OutOfMemoryError) or "memory monitor" in text else "worker_died"
    unstarted = isinstance(error, ActorDiedError) and error.actor_init_failed
    brief = text if unstarted else cause.split(" Some common causes")[0].strip()
    return ErrorRecord(ErrorKind.DEVICE, reason, f"{worker.name} died {_doing(worker)}: {brief}", text[-8000:])


def record_of_lateness(worker: Worker, cluster: ClusterConfig) -> ErrorRecord:
    """Return the record of an actor that was killed because it did not answer in time."""
    if worker.setup_answer is not None and worker.placed_at is None:
        message = f"no node had room for it within cluster.placement_timeout_s={cluster.placement_timeout_s:g}"
        return ErrorRecord(ErrorKind.DEVICE, "deadline", message)
    if worker.setup_answer is not None:
        message = f"set-up took longer than cluster.setup_timeout_s={cluster.setup_timeout_s:g}"
        return ErrorRecord(ErrorKind.DEVICE, "deadline", message)
    message = (
        f"still running {cluster.deadline_grace_s:g} s after its time limit of {worker.requests[0].attempt.timeout_s:g} s; "
        f"{worker.name} was killed {_doing(worker)}"
    )
    return ErrorRecord(ErrorKind.POISON, "deadline", message)


def _doing(worker: Worker) -> str:
    if worker.setup_answer is not None:
        return "in its set-up"
    return f"while it held job {worker.requests[0].attempt.job.name}"


def no_workers_left(num_workers: int, record: ErrorRecord | None, not_done: tuple[Job, ...]) -> NoWorkersLeft:
    """Return the error of a pool whose places were all given up; `record` says why the last was."""
    why = record.message if record else "unknown"
    return NoWorkersLeft(
        f"all {num_workers} workers were given up, {len(not_done)} jobs are not done; the last failed with: {why}",
        record, not_done,
    )
