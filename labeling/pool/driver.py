"""The driver's side of a pool at work: feeds queues, waits for answers, and settles what errors, deaths and hangs cost.

An actor's queue holds few jobs and runs them in order, so the driver waits for the head of each queue only: what is
behind the head has not begun, and when the actor dies the head alone is charged. A job that was charged runs alone.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError

from labeling.config import ClusterConfig
from labeling.errors import record_of
from labeling.pool.actor import failed
from labeling.pool.backlog import Backlog, Flight
from labeling.pool.budget import Limits, is_spent, rule_on
from labeling.pool.cluster import NoWorkersLeft, PoolStopped
from labeling.pool.events import EventKind, PoolEvent
from labeling.pool.slot import ActorRecipe, Slot
from labeling.types import ErrorKind, ErrorRecord, Receipt

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 5.0
STOP_POLL_S = 0.25
LOUD = frozenset({EventKind.CAPPED, EventKind.RETRIED, EventKind.DIED, EventKind.KILLED, EventKind.GIVEN_UP})


class Driver:
    """The driver's side of one run: the crew, the backlog, and what happens when an answer or none comes."""

    def __init__(
        self,
        recipe: ActorRecipe,
        crew: list[Slot],
        backlog: Backlog,
        limits: Limits,
        cluster: ClusterConfig,
        on_event: Callable[[PoolEvent], None] | None,
        stop: threading.Event | None,
    ) -> None:
        self.recipe, self.crew, self.backlog, self.limits = recipe, crew, backlog, limits
        self.cluster, self.on_event, self.stop = cluster, on_event, stop
        # A death is charged to the head of the queue, and its answer may have died with the actor: where one death is
        # one too many, nobody else may be in the queue.
        self.depth = max(1, cluster.in_flight_per_actor) if limits.deaths_per_video > 1 else 1
        self.answered = threading.Event()
        self.num_finished = self.num_failed = 0
        self.last_failure: ErrorRecord | None = None

    def receipts(self, *, pull_all: bool) -> Iterator[Receipt]:
        """Yield a receipt for each job; workers are fed before the caller gets its turn."""
        landed: list[Receipt] = []
        while True:
            self._staff()
            self._feed()
            yield from landed
            if not any(slot.flights for slot in self.crew) and self.backlog.is_empty():
                return
            if all(slot.given_up for slot in self.crew):
                raise self._no_workers_left(pull_all)
            landed = self._land_ready()

    def tell(self, kind: EventKind, slot: Slot | None = None, flight: Flight | None = None, message: str = "") -> None:
        """Hand an event to the caller; where nobody listens, log what needs attention."""
        job_name, worker = flight.job.name if flight else "", slot.name if slot else ""
        if self.on_event is None:
            if kind in LOUD:
                log.warning("%s %s %s %s", kind, worker, job_name, message)
            return
        self.on_event(
            PoolEvent(
                kind, job_name, worker, message,
                attempts=flight.tally.attempts if flight else 0,
                num_finished=self.num_finished,
                num_failed=self.num_failed,
                num_in_flight=sum(len(s.flights) for s in self.crew),
                num_workers=sum(s.ready for s in self.crew),
            )
        )

    def _wake(self, _: object) -> None:
        self.answered.set()

    def _staff(self) -> None:
        """Start an actor in every empty place, while there is something to do."""
        empty = [slot for slot in self.crew if slot.handle is None and not slot.given_up]
        if empty and not self.backlog.is_empty():
            for slot in empty:
                slot.staff(self.recipe, self._wake)

    def _feed(self) -> None:
        """Fill the queues level by level, so that no actor has two jobs while another has none."""
        for level in range(self.depth):
            for slot in self.crew:
                if slot.ready and len(slot.flights) == level and not self._feed_one(slot):
                    return

    def _feed_one(self, slot: Slot) -> bool:
        """Give a slot one more flight if it may have one; False when nobody can have any."""
        now, alone = time.monotonic(), not slot.flights
        if not alone and (self.backlog.suspect_is_due(now) or slot.flights[0].suspect):
            return True
        flight = self.backlog.take(now, alone=alone, proven=slot.deaths == 0)
        if flight is None:
            return False
        slot.submit(flight, self._wake)
        if alone:
            self.tell(EventKind.STARTED, slot, flight)
        return True

    def _land_ready(self) -> list[Receipt]:
        """Wait for what comes first (an answer, a deadline, a retry's time) and return the receipts of jobs now over."""
        # Not `ray.wait`: an exception that a signal's handler raises inside it is lost, or turned into another.
        self.answered.wait(self._patience_s())
        self.answered.clear()
        if self.stop is not None and self.stop.is_set():
            raise PoolStopped("the pool was told to stop; its actors are killed")
        return [receipt for slot in self.crew for receipt in self._land_slot(slot) if receipt is not None]

    def _land_slot(self, slot: Slot) -> Iterator[Receipt | None]:
        """Take every answer that is there, because nothing wakes the driver for it again; then look at the clock."""
        while (answer := slot.next_answer) is not None:
            if not answer.done():
                yield self._end_if_late(slot)
                return
            yield self._land(slot)

    def _patience_s(self) -> float:
        now = time.monotonic()
        due = [self._late_at(slot) for slot in self.crew if slot.next_answer is not None]
        if any(slot.ready and not slot.flights for slot in self.crew):
            retry_at = self.backlog.next_due_at()
            due += [retry_at] if retry_at is not None else []
        longest = STOP_POLL_S if self.stop is not None else LONGEST_WAIT_S
        return max(0.0, min([longest, *(at - now for at in due)]))

    def _late_at(self, slot: Slot) -> float:
        if slot.setup_answer is not None:
            return slot.setup_began_at + self.cluster.setup_timeout_s
        return slot.flights[0].began_at + slot.flights[0].timeout_s + self.cluster.deadline_grace_s

    def _land(self, slot: Slot) -> Receipt | None:
        """Take the answer at the head of a slot; a receipt when a job is over."""
        if slot.setup_answer is not None:
            self._land_setup(slot, slot.setup_answer)
            return None
        flight = slot.flights[0]
        assert flight.answer is not None
        try:
            receipt = flight.answer.result()
        except RayTaskError as error:
            receipt = failed(flight.job, record_of(error), slot.name)
        except RayError as error:
            return self._bury(slot, error)
        slot.pop_head()
        if receipt.error is not None and receipt.error.kind is ErrorKind.DEVICE:
            self._replace(slot, EventKind.DIED, receipt.error, flight)
            return self._settle(slot, flight, receipt)
        slot.deaths = 0
        if slot.flights:
            self.tell(EventKind.STARTED, slot, slot.flights[0])
        return self._settle(slot, flight, receipt)

    def _land_setup(self, slot: Slot, answer: Future[ErrorRecord | None]) -> None:
        try:
            record = answer.result()
        except RayTaskError as error:
            record = record_of(error)
        except RayError as error:
            record = _record_of_death(error, slot, "in its set-up")
        if record is None:
            slot.setup_answer = None
            self.tell(EventKind.READY, slot)
            return
        # What poisons one set-up poisons each: the next would only take the time again.
        self._replace(slot, EventKind.DIED, record, give_up=record.kind is ErrorKind.POISON)

    def _bury(self, slot: Slot, error: RayError) -> Receipt | None:
        """The actor died: charge the head of its queue, or nobody when the machine was taken away."""
        if getattr(error, "preempted", False):
            self.tell(EventKind.DIED, slot, message="its machine was taken away")
            self.backlog.give_back(slot.dismiss())
            return None
        flight = slot.pop_head()
        record = _record_of_death(error, slot, f"while it held job {flight.job.name}")
        self._replace(slot, EventKind.DIED, record, flight)
        return self._settle(slot, flight, failed(flight.job, record, slot.name))

    def _end_if_late(self, slot: Slot) -> Receipt | None:
        """Kill an actor that should have answered long ago; its job is over, those behind it are given back."""
        if time.monotonic() < self._late_at(slot):
            return None
        if slot.setup_answer is not None:
            message = f"set-up took longer than cluster.setup_timeout_s={self.cluster.setup_timeout_s:g}; is its place free?"
            self._replace(slot, EventKind.KILLED, ErrorRecord(ErrorKind.DEVICE, "deadline", message), give_up=True)
            return None
        flight = slot.pop_head()
        record = ErrorRecord(
            ErrorKind.POISON, "deadline",
            f"still running {self.cluster.deadline_grace_s:g} s after its time limit of {flight.timeout_s:g} s; "
            f"{slot.name} was killed",
        )
        self._replace(slot, EventKind.KILLED, record, flight)
        return self._settle(slot, flight, failed(flight.job, record, slot.name))

    def _replace(
        self, slot: Slot, kind: EventKind, record: ErrorRecord, flight: Flight | None = None, *, give_up: bool = False
    ) -> None:
        """Kill a slot's actor and count the death; the next `_staff` starts another, unless the place is given up."""
        self.last_failure = record
        self.backlog.give_back(slot.dismiss())
        slot.deaths += 1
        self.tell(kind, slot, flight, record.message)
        if give_up or is_spent(slot.deaths, self.limits):
            slot.given_up = True
            self.tell(EventKind.GIVEN_UP, slot, message=f"after {slot.deaths} deaths in a row: {record.message}")

    def _settle(self, slot: Slot, flight: Flight, receipt: Receipt) -> Receipt | None:
        """Decide what a job's outcome means: over, or to be tried again."""
        if receipt.error is None:
            self.num_finished += 1
            self.tell(EventKind.FINISHED, slot, flight)
            return receipt
        ruling = rule_on(flight.tally, receipt.error.kind, self.limits)
        flight.tally = ruling.tally
        if ruling.again:
            self.backlog.retry(flight, time.monotonic() + ruling.delay_s)
            self.tell(EventKind.RETRIED, slot, flight, receipt.error.message)
            return None
        self.num_failed += 1
        self.tell(EventKind.FAILED, slot, flight, receipt.error.message)
        return dataclasses.replace(receipt, error=dataclasses.replace(receipt.error, attempts=flight.tally.attempts))

    def _no_workers_left(self, pull_all: bool) -> NoWorkersLeft:
        not_done = self.backlog.left(pull_all=pull_all)
        record = self.last_failure
        why = f"{record.message}\n{record.traceback}".rstrip() if record else "unknown"
        return NoWorkersLeft(
            f"all {len(self.crew)} workers were given up, {len(not_done)} jobs are not done; the last failed with: {why}",
            record, not_done,
        )


def _record_of_death(error: RayError, slot: Slot, when: str) -> ErrorRecord:
    """Return the record of an actor's death, with the line of Ray's report that says of what."""
    text = str(error)
    cause = next((line for line in reversed(text.splitlines()) if line.strip()), type(error).__name__)
    reason = "out_of_memory" if isinstance(error, OutOfMemoryError) or "memory monitor" in text else "worker_died"
    unstarted = isinstance(error, ActorDiedError) and error.actor_init_failed
    brief = text if unstarted else cause.split(" Some common causes")[0].strip()
    return ErrorRecord(ErrorKind.DEVICE, reason, f"{slot.name} died {when}: {brief}", text[-8000:])
