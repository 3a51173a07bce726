"""One worker's place in the pool: its actor, the actor's replacements, and the calls that wait in its queue."""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError

from labeling.config import ClusterConfig
from labeling.pool.actor import WorkerActor
from labeling.pool.backlog import Flight
from labeling.pool.call import CALL_S, Call, Haul
from labeling.pool.seats import Seat
from labeling.types import ErrorRecord


@dataclass(slots=True)
class Slot:
    """A place for one actor at a time; an actor runs its queue in order, so only the head of it can be running.

    `deaths` counts those in a row, with no job come back in between. `asked_at` and `placed_at` (monotonic seconds) are
    when Ray was asked for the present actor, and when it began on a node; the latter is written by another thread.
    `looks_ahead`: the work prepares the next job, so the head is sent with the name of the job behind it, which waits here.
    """

    number: int
    seat: Seat = Seat()
    generation: int = 0
    deaths: int = 0
    given_up: bool = False
    handle: Any = None
    setup_answer: "Future[ErrorRecord | str | None] | None" = None
    asked_at: float = 0.0
    placed_at: float | None = None
    calls: deque[Call] = field(default_factory=deque)
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
    def next_answer(self) -> "Future[Any] | None":
        """The answer that comes next: to `setup`, then to the head of the queue; None when nothing is asked."""
        if self.setup_answer is not None:
            return self.setup_answer
        return self.calls[0].answer if self.calls else None

    @property
    def num_in_flight(self) -> int:
        """How many jobs the actor holds."""
        return sum(len(call.flights) for call in self.calls)

    @property
    def spare(self) -> bool:
        """Whether there is an actor that holds no job: one that is idle, or not ready yet."""
        return self.handle is not None and not self.calls

    def late_at(self, cluster: ClusterConfig) -> float:
        """When the next answer is overdue and its actor is to be killed, in monotonic seconds."""
        if self.setup_answer is not None and self.placed_at is None:
            return self.asked_at + cluster.placement_timeout_s
        if self.setup_answer is not None and self.placed_at is not None:
            return self.placed_at + cluster.setup_timeout_s
        return self.calls[0].began_at + self.calls[0].longest_s + cluster.deadline_grace_s

    def staff(self, pickled_work: bytes, wake: Callable[[object], None]) -> None:
        """Start an actor and its set-up; returns at once, `wake` is called on another thread when that is over."""
        self.generation += 1
        self.asked_at, self.placed_at = time.monotonic(), None
        # No restarts and no retries by Ray: it would not know whom to charge, and would run poison again.
        actor_class = ray.remote(WorkerActor).options(
            num_cpus=self.seat.cpus, num_gpus=self.seat.gpus, accelerator_type=self.seat.accelerator,
            max_restarts=0, max_task_retries=0,
        )
        self.handle = actor_class.remote(self.name)
        here = self.handle.begin.remote().future()
        here.add_done_callback(partial(self._note_place, self.generation))
        self.setup_answer = self.handle.setup.remote(pickled_work, self.seat.device).future()
        self.setup_answer.add_done_callback(wake)

    def _note_place(self, generation: int, answer: "Future[None]") -> None:
        if generation == self.generation and answer.exception() is None:
            self.placed_at = time.monotonic()

    def submit(self, flights: tuple[Flight, ...], wake: Callable[[object], None]) -> None:
        """Put a call at the end of the queue, for `send`; `wake` is called on another thread when its answer is there."""
        call = Call(flights, Future(), time.monotonic(), sent=False)
        call.answer.add_done_callback(wake)
        self.calls.append(call)

    def send(self) -> None:
        """Send the actor what it is to have by now: the head and, where nobody looks ahead, all behind it."""
        for place, call in enumerate(self.calls):
            held_back = self.looks_ahead and place > 0 and call.lonely
            if not call.sent and not held_back:
                self._send(call, self.calls[place + 1] if place + 1 < len(self.calls) else None)

    def _send(self, call: Call, behind: Call | None) -> None:
        if self.looks_ahead and behind is not None and call.lonely and behind.lonely:
            call.ahead = behind.flights[0]
        asked = [(flight.job, flight.timeout_s) for flight in call.flights]
        call.sent = True
        answer = self.handle.run.remote(asked, CALL_S, call.ahead.job if call.ahead else None).future()
        answer.add_done_callback(lambda done: _pass_on(done, call.answer))

    def pop_head(self) -> Call:
        """Take the head out of the queue; the clock of the next one starts now."""
        head = self.calls.popleft()
        if self.calls:
            self.calls[0].began_at = time.monotonic()
        return head

    def dismiss(self) -> tuple[Flight, ...]:
        """Kill the actor, whatever it does, and return the flights that were in its queue."""
        if self.handle is not None:
            # The actor, or all of Ray, may be gone already.
            with contextlib.suppress(RayError, RuntimeError, ValueError):
                ray.kill(self.handle)
        left = tuple(flight for call in self.calls for flight in call.flights)
        self.handle = self.setup_answer = None
        self.calls.clear()
        return left


def _pass_on(done: "Future[Haul]", to: "Future[Haul]") -> None:
    error = done.exception()
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)
