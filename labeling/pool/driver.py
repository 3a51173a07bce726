"""The driver's side of a pool at work: feeds queues, waits for answers, and settles what errors, deaths and hangs cost.

An actor's queue holds few calls and runs them in order, so the driver waits for the head of each queue only: what is
behind the head has not begun, and when the actor dies the head alone is charged. A job that was charged runs alone.
A call holds one job, or several that last milliseconds; of one job, the one behind it may be prepared meanwhile. When
several are lost with their actor, nobody knows which it died of: none is charged, and each goes in a call of its own from
then on, with nothing prepared beside it.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future

from ray.exceptions import RayError, RayTaskError

from labeling.config import ClusterConfig
from labeling.errors import ENDS_THE_RUN, record_of
from labeling.pool.actor import failed
from labeling.pool.backlog import Backlog, Flight
from labeling.pool.budget import Limits, is_spent, rule_on
from labeling.pool.call import MAX_JOBS, Call, Haul, Pace
from labeling.pool.cluster import ClusterFailed, PoolStopped
from labeling.pool.death import no_workers_left, record_of_death, record_of_lateness
from labeling.pool.events import EventKind, PoolEvent
from labeling.pool.seats import Seat
from labeling.pool.slot import Slot
from labeling.pool.staffing import seat_again, to_dismiss, to_staff
from labeling.types import ErrorKind, ErrorRecord, Receipt

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 2.0
STOP_POLL_S = 0.25
LOUD = frozenset({EventKind.CAPPED, EventKind.JOINED, EventKind.RETRIED, EventKind.DIED, EventKind.KILLED, EventKind.GIVEN_UP})


class Driver:
    """The driver's side of one run: the crew, the backlog, and what happens when an answer or none comes."""

    def __init__(
        self,
        pickled_work: bytes,
        crew: list[Slot],
        backlog: Backlog,
        limits: Limits,
        cluster: ClusterConfig,
        on_event: Callable[[PoolEvent], None] | None,
        stop: threading.Event | None,
        joined: Callable[[], Sequence[Seat]] = tuple,
    ) -> None:
        self.pickled_work, self.crew, self.backlog, self.limits = pickled_work, crew, backlog, limits
        self.cluster, self.on_event, self.stop, self.joined = cluster, on_event, stop, joined
        # A death is charged to the head of the queue, and its answer may have died with the actor: where one death is
        # one too many, nobody else may be in the queue.
        several = limits.deaths_per_video > 1
        self.depth, self.most_per_call = (max(1, cluster.in_flight_per_actor), MAX_JOBS) if several else (1, 1)
        self.pace, self.answered = Pace(), threading.Event()
        self.checks: list[Callable[[], None]] = []      # made between answers; what they raise ends the run
        self.accept: Callable[[str], None] = lambda proof: None
        self.num_finished = self.num_failed = 0
        self.last_failure: ErrorRecord | None = None

    def receipts(self, *, pull_all: bool) -> Generator[Receipt, None, None]:
        """Yield a receipt for each job; workers are fed before the caller gets its turn."""
        landed: list[Receipt] = []
        while True:
            self._staff()
            self._feed()
            self._let_go()
            yield from landed
            if not any(slot.calls for slot in self.crew) and self.backlog.is_empty():
                return
            if all(slot.given_up for slot in self.crew):
                raise no_workers_left(len(self.crew), self.last_failure, self.backlog.left(pull_all=pull_all))
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
                num_in_flight=sum(s.num_in_flight for s in self.crew),
                num_workers=sum(s.ready for s in self.crew),
            )
        )

    def _wake(self, _: object) -> None:
        self.answered.set()

    def _staff(self) -> None:
        """Start actors in empty places while there is something for them to do; a node that joined brings places."""
        if seats := self.joined():
            for slot in seat_again(self.crew, seats):
                slot.dismiss()
            self.tell(EventKind.JOINED, message=f"a node has joined; there are {len(self.crew)} places for workers")
        for slot in to_staff(self.crew, self.backlog.num_waiting()):
            slot.staff(self.pickled_work, self._wake)

    def _let_go(self) -> None:
        """When nothing waits, dismiss those with nothing to do: their CPUs and GPUs are for others, their nodes can go."""
        if self.backlog.is_empty():
            for slot in to_dismiss(self.crew, self.cluster.min_actors):
                slot.dismiss()
                self.tell(EventKind.DISMISSED, slot)

    def _feed(self) -> None:
        """Fill the queues and have them sent, once it is known which job is behind which."""
        self._fill()
        for slot in self.crew:
            slot.send()

    def _fill(self) -> None:
        """Fill the queues level by level, so that no actor has two calls while another has none.

        Where fewer jobs wait than there are actors, they wait behind nobody: whoever is free or set up first takes them.
        """
        staffed = sum(slot.handle is not None for slot in self.crew)
        for level in range(self.depth):
            for slot in self.crew:
                if level and self.backlog.num_waiting() < staffed:
                    return
                if slot.ready and len(slot.calls) == level and not self._feed_one(slot):
                    return

    def _feed_one(self, slot: Slot) -> bool:
        """Give a slot one more call if it may have one; False when nobody can have any."""
        now, alone = time.monotonic(), not slot.calls
        if not alone and (self.backlog.suspect_is_due(now) or slot.calls[0].flights[0].suspect):
            return True
        flight = self.backlog.take(now, alone=alone, proven=slot.deaths == 0)
        if flight is None:
            return False
        slot.submit(self.backlog.take_with(flight, self.pace.room, self.most_per_call), self._wake)
        if alone:
            self._tell_started(slot)
        return True

    def _tell_started(self, slot: Slot) -> None:
        for flight in slot.calls[0].flights if slot.calls else ():
            self.tell(EventKind.STARTED, slot, flight)

    def _land_ready(self) -> list[Receipt]:
        """Wait for what comes first (an answer, a deadline, a retry's time) and return the receipts of jobs now over."""
        # Not `ray.wait`: an exception that a signal's handler raises inside it is lost, or turned into another.
        self.answered.wait(self._patience_s())
        self.answered.clear()
        for check in self.checks:
            check()
        if self.stop is not None and self.stop.is_set():
            raise PoolStopped("the pool was told to stop; its actors are killed")
        return [receipt for slot in self.crew for receipt in self._land_slot(slot)]

    def _land_slot(self, slot: Slot) -> Iterator[Receipt]:
        """Take every answer that is there, because nothing wakes the driver for it again; then look at the clock."""
        while (answer := slot.next_answer) is not None:
            if not answer.done():
                yield from self._end_if_late(slot)
                return
            yield from self._land(slot)

    def _patience_s(self) -> float:
        now = time.monotonic()
        due = [slot.late_at(self.cluster) for slot in self.crew if slot.next_answer is not None]
        if any(slot.ready and not slot.calls for slot in self.crew):
            retry_at = self.backlog.next_due_at()
            due += [retry_at] if retry_at is not None else []
        longest = STOP_POLL_S if self.stop is not None else LONGEST_WAIT_S
        return max(0.0, min([longest, *(at - now for at in due)]))

    def _land(self, slot: Slot) -> list[Receipt]:
        """Take the answer at the head of a slot; receipts of the jobs that are over."""
        if slot.setup_answer is not None:
            self._land_setup(slot, slot.setup_answer)
            return []
        call = slot.calls[0]
        try:
            haul = call.answer.result()
        except RayTaskError as error:
            if len(call.flights) > 1:
                self._lose(slot.pop_head())
                self._tell_started(slot)
                return []
            haul = Haul((failed(call.flights[0].job, record_of(error), slot.name),), 0.0)
        except RayError as error:
            return self._bury(slot, error)
        slot.pop_head()
        return self._share_out(slot, call, haul)

    def _share_out(self, slot: Slot, call: Call, haul: Haul) -> list[Receipt]:
        """Settle each job of a call that was done; the others go back, they did not begin."""
        done = call.flights[: len(haul.receipts)]
        self.backlog.give_back(call.flights[len(done):])
        if all(receipt.error is None for receipt in haul.receipts):
            self.pace.learn(sum(flight.cost for flight in done), haul.seconds)
        ended: list[Receipt] = []
        for flight, receipt in zip(done, haul.receipts, strict=True):
            if receipt.error is not None and receipt.error.kind is ErrorKind.DEVICE:
                self._replace(slot, EventKind.DIED, receipt.error, flight)
            else:
                slot.deaths = 0
            ended += self._settle(slot, flight, receipt)
        self._tell_started(slot)
        return ended

    def _land_setup(self, slot: Slot, answer: Future[ErrorRecord | str | None]) -> None:
        try:
            record = answer.result()
        except RayTaskError as error:
            record = record_of(error)
        except RayError as error:
            record = record_of_death(error, slot)
        if isinstance(record, ErrorRecord) and record.reason in ENDS_THE_RUN:
            raise ClusterFailed(record.message)
        if not isinstance(record, ErrorRecord):
            if record is not None:
                self.accept(record)
            slot.setup_answer = None
            self.tell(EventKind.READY, slot)
            return
        # What poisons one set-up poisons each: the next would only take the time again.
        self._replace(slot, EventKind.DIED, record, give_up=record.kind is ErrorKind.POISON)

    def _bury(self, slot: Slot, error: RayError) -> list[Receipt]:
        """The actor died: charge the head of its queue, or nobody when the machine was taken away."""
        if getattr(error, "preempted", False):
            self.tell(EventKind.DIED, slot, message="its machine was taken away")
            self.backlog.give_back(slot.dismiss())
            return []
        return self._charge(slot, EventKind.DIED, record_of_death(error, slot))

    def _end_if_late(self, slot: Slot) -> list[Receipt]:
        """Kill an actor that should have answered long ago; its job is over, those behind it are given back."""
        if time.monotonic() < slot.late_at(self.cluster):
            return []
        record = record_of_lateness(slot, self.cluster)
        if slot.setup_answer is not None:
            self._replace(slot, EventKind.KILLED, record, give_up=True)
            return []
        return self._charge(slot, EventKind.KILLED, record)

    def _charge(self, slot: Slot, kind: EventKind, record: ErrorRecord) -> list[Receipt]:
        """Replace an actor at the cost of the job that it held; where it held or prepared others, none is charged."""
        call = slot.pop_head()
        if len(call.flights) > 1 or (call.ahead and kind is EventKind.DIED):
            self._replace(slot, kind, record)
            self._lose(call)
            return []
        self._replace(slot, kind, record, call.flights[0])
        return self._settle(slot, call.flights[0], failed(call.flights[0].job, record, slot.name))

    def _lose(self, call: Call) -> None:
        """Have the jobs of a call that was not answered tried again, one by one; so goes the one that it prepared."""
        for flight in (*call.flights, *([call.ahead] if call.ahead else [])):
            flight.lost = True
        self.backlog.give_back(call.flights)

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

    def _settle(self, slot: Slot, flight: Flight, receipt: Receipt) -> list[Receipt]:
        """Decide what a job's outcome means: over (its receipt), or to be tried again (nothing)."""
        if receipt.error is None:
            self.num_finished += 1
            self.tell(EventKind.FINISHED, slot, flight)
            return [receipt]
        ruling = rule_on(flight.tally, receipt.error.kind, self.limits)
        flight.tally = ruling.tally
        if ruling.again:
            self.backlog.retry(flight, time.monotonic() + ruling.delay_s)
            self.tell(EventKind.RETRIED, slot, flight, receipt.error.message)
            return []
        self.num_failed += 1
        self.tell(EventKind.FAILED, slot, flight, receipt.error.message)
        return [dataclasses.replace(receipt, error=dataclasses.replace(receipt.error, attempts=flight.tally.attempts))]
