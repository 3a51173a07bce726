"""The driver's side of a pool at work: feeds queues, waits for answers, and settles what errors, deaths and hangs cost.

An actor's queue holds few requests and runs them in order, so the driver waits for the head of each queue only: what is
behind the head has not begun, and when the actor dies the head alone is charged. A job that was charged runs alone.
A call to an actor is one job; the job behind it may be prepared meanwhile. When an actor dies of one or the other, nobody
knows of which: none is charged, and from then on each runs with nothing prepared beside it.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future

from ray.exceptions import RayError, RayTaskError

from labeling.config import ClusterConfig
from labeling.errors import ENDS_THE_RUN, ClusterFailed, ErrorKind, ErrorRecord, PoolStopped, record_of
from labeling.jobs import Receipt
from labeling.pool.capacity import refit, to_start, to_stop
from labeling.pool.queue import Attempt, JobQueue, Limits, charge_failure, is_spent
from labeling.pool.work import EventKind, PoolEvent, failed
from labeling.pool.worker import ActorResources, Worker, no_workers_left, record_of_death, record_of_lateness

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 2.0
STOP_POLL_S = 0.25
LOUD = frozenset({EventKind.CAPPED, EventKind.JOINED, EventKind.RETRIED, EventKind.DIED, EventKind.KILLED, EventKind.GIVEN_UP})


class Driver:
    """The driver's side of one run: the workers, the queue, and what happens when an answer or none comes."""

    def __init__(
        self,
        pickled_work: bytes,
        workers: list[Worker],
        queue: JobQueue,
        limits: Limits,
        cluster: ClusterConfig,
        on_event: Callable[[PoolEvent], None] | None,
        stop: threading.Event | None,
        joined: Callable[[], Sequence[ActorResources]] = tuple,
    ) -> None:
        self.pickled_work, self.workers, self.queue, self.limits = pickled_work, workers, queue, limits
        self.cluster, self.on_event, self.stop, self.joined = cluster, on_event, stop, joined
        # A death is charged to the head of the queue, and its answer may have died with the actor: where one death is
        # one too many, nobody else may be in the queue.
        self.depth = max(1, cluster.in_flight_per_actor) if limits.deaths_per_video > 1 else 1
        self.answered = threading.Event()
        self.checks: list[Callable[[], None]] = []      # made between answers; what they raise ends the run
        self.accept: Callable[[str], None] = lambda proof: None
        self.num_finished = self.num_failed = 0
        self.last_failure: ErrorRecord | None = None

    def receipts(self, *, pull_all: bool) -> Generator[Receipt, None, None]:
        """Yield a receipt for each job; workers are fed before the caller gets its turn."""
        receipts: list[Receipt] = []
        while True:
            self._start_workers()
            self._feed()
            self._stop_idle()
            # The workers have what they need before the caller, who may be slow, gets its turn.
            yield from receipts
            if not any(worker.requests for worker in self.workers) and self.queue.is_empty():
                return
            if all(worker.given_up for worker in self.workers):
                raise no_workers_left(len(self.workers), self.last_failure, self.queue.left(pull_all=pull_all))
            receipts = self._wait_for_receipts()

    def emit(self, kind: EventKind, worker: Worker | None = None, attempt: Attempt | None = None, message: str = "") -> None:
        """Hand an event to the caller; where nobody listens, log what needs attention."""
        job_name, worker_name = attempt.job.name if attempt else "", worker.name if worker else ""
        if self.on_event is None:
            if kind in LOUD:
                log.warning("%s %s %s %s", kind, worker_name, job_name, message)
            return
        self.on_event(
            PoolEvent(
                kind, job_name, worker_name, message, attempts=attempt.failures.total if attempt else 0,
                num_finished=self.num_finished, num_failed=self.num_failed,
                num_in_flight=sum(w.num_in_flight for w in self.workers), num_workers=sum(w.ready for w in self.workers),
            )
        )

    def _wake(self, _: object) -> None:
        self.answered.set()

    def _start_workers(self) -> None:
        """Start actors in empty places while there is something for them to do; a node that joined brings places."""
        if actors := self.joined():
            for worker in refit(self.workers, actors):
                worker.stop()
            self.emit(EventKind.JOINED, message=f"a node has joined; there are {len(self.workers)} places for workers")
        for worker in to_start(self.workers, self.queue.num_waiting()):
            worker.start(self.pickled_work, self._wake)

    def _stop_idle(self) -> None:
        """When nothing waits, dismiss those with nothing to do: their CPUs and GPUs are for others, their nodes can go."""
        if self.queue.is_empty():
            for worker in to_stop(self.workers, self.cluster.min_actors):
                worker.stop()
                self.emit(EventKind.DISMISSED, worker)

    def _feed(self) -> None:
        """Fill the queues and have them sent, once it is known which job is behind which."""
        self._fill()
        for worker in self.workers:
            worker.send()

    def _fill(self) -> None:
        """Fill the queues level by level, so that no actor has two requests while another has none.

        Where fewer jobs wait than there are actors, they wait behind nobody: whoever is free or set up first takes them.
        """
        staffed = sum(worker.handle is not None for worker in self.workers)
        for level in range(self.depth):
            for worker in self.workers:
                if level and self.queue.num_waiting() < staffed:
                    return
                if worker.ready and len(worker.requests) == level and not self._feed_worker(worker):
                    return

    def _feed_worker(self, worker: Worker) -> bool:
        """Give a worker one more request if it may have one; False when nobody can have any."""
        now, alone = time.monotonic(), not worker.requests
        # Nothing is put behind a suspect, nor behind anything else while one is due: it needs a worker to itself.
        if not alone and (self.queue.suspect_is_due(now) or worker.requests[0].attempt.suspect):
            return True
        attempt = self.queue.take(now, alone=alone, proven=worker.deaths == 0)
        if attempt is None:
            return False
        worker.submit(attempt, self._wake)
        if alone:
            self._emit_started(worker)
        return True

    def _emit_started(self, worker: Worker) -> None:
        if worker.requests:
            self.emit(EventKind.STARTED, worker, worker.requests[0].attempt)

    def _wait_for_receipts(self) -> list[Receipt]:
        """Wait for what comes first (an answer, a deadline, a retry's time) and return the receipts of jobs now over."""
        # Not `ray.wait`: an exception that a signal's handler raises inside it is lost, or turned into another.
        self.answered.wait(self._patience_s())
        self.answered.clear()
        for check in self.checks:
            check()
        if self.stop is not None and self.stop.is_set():
            raise PoolStopped("the pool was told to stop; its actors are killed")
        return [receipt for worker in self.workers for receipt in self._take_answers(worker)]

    def _take_answers(self, worker: Worker) -> Iterator[Receipt]:
        """Take every answer that is there, because nothing wakes the driver for it again; then look at the clock."""
        while (answer := worker.next_answer) is not None:
            if not answer.done():
                yield from self._kill_if_late(worker)
                return
            yield from self._take_answer(worker)

    def _patience_s(self) -> float:
        now = time.monotonic()
        due = [worker.late_at(self.cluster) for worker in self.workers if worker.next_answer is not None]
        if any(worker.ready and not worker.requests for worker in self.workers):
            retry_at = self.queue.next_due_at()
            due += [retry_at] if retry_at is not None else []
        longest = STOP_POLL_S if self.stop is not None else LONGEST_WAIT_S
        return max(0.0, min([longest, *(at - now for at in due)]))

    def _take_answer(self, worker: Worker) -> list[Receipt]:
        """Take the answer at the head of a worker; receipts of the jobs that are over."""
        if worker.setup_answer is not None:
            self._take_setup(worker, worker.setup_answer)
            return []
        attempt = worker.requests[0].attempt
        try:
            receipt: Receipt = worker.requests[0].answer.result()
        except RayTaskError as error:       # the actor lives, but its answer could not be made
            receipt = failed(attempt.job, record_of(error), worker.name)
        except RayError as error:
            return self._handle_death(worker, error)
        worker.pop_head()
        if receipt.error is not None and receipt.error.kind is ErrorKind.DEVICE:
            self._replace(worker, EventKind.DIED, receipt.error, attempt)
        else:
            worker.deaths = 0       # a job came back, so the place itself is sound
        ended = self._settle(worker, attempt, receipt)
        self._emit_started(worker)
        return ended

    def _take_setup(self, worker: Worker, answer: Future[ErrorRecord | str | None]) -> None:
        try:
            record = answer.result()
        except RayTaskError as error:
            record = record_of(error)
        except RayError as error:
            record = record_of_death(error, worker)
        # What is wrong here is wrong for every worker: another set-up would only say so again.
        if isinstance(record, ErrorRecord) and record.reason in ENDS_THE_RUN:
            raise ClusterFailed(record.message)
        if not isinstance(record, ErrorRecord):
            if record is not None:
                self.accept(record)
            worker.setup_answer = None
            self.emit(EventKind.READY, worker)
            return
        # What poisons one set-up poisons each: the next would only take the time again.
        self._replace(worker, EventKind.DIED, record, give_up=record.kind is ErrorKind.POISON)

    def _handle_death(self, worker: Worker, error: RayError) -> list[Receipt]:
        """The actor died: charge the head of its queue, or nobody when the machine was taken away."""
        if getattr(error, "preempted", False):
            self.emit(EventKind.DIED, worker, message="its machine was taken away")
            self.queue.give_back(worker.stop())
            return []
        return self._charge(worker, EventKind.DIED, record_of_death(error, worker))

    def _kill_if_late(self, worker: Worker) -> list[Receipt]:
        """Kill an actor that should have answered long ago; its job is over, those behind it are given back."""
        if time.monotonic() < worker.late_at(self.cluster):
            return []
        record = record_of_lateness(worker, self.cluster)
        if worker.setup_answer is not None:
            self._replace(worker, EventKind.KILLED, record, give_up=True)
            return []
        return self._charge(worker, EventKind.KILLED, record)

    def _charge(self, worker: Worker, kind: EventKind, record: ErrorRecord) -> list[Receipt]:
        """Replace an actor at the cost of the job that it held; where it prepared another when it died, at nobody's."""
        request = worker.pop_head()
        attempt, ahead = request.attempt, request.ahead
        # The job that ran, or the one that was being prepared: nobody knows which the actor died of. Both run again apart.
        if ahead is not None and kind is EventKind.DIED:
            self._replace(worker, kind, record)
            attempt.lost = ahead.lost = True
            self.queue.give_back([attempt])
            return []
        self._replace(worker, kind, record, attempt)
        return self._settle(worker, attempt, failed(attempt.job, record, worker.name))

    def _replace(
        self, worker: Worker, kind: EventKind, record: ErrorRecord, attempt: Attempt | None = None, *, give_up: bool = False
    ) -> None:
        """Kill a worker's actor and count the death; the next `_start_workers` starts another, unless the place is given up."""
        self.last_failure = record
        # What was behind the head never began, so it goes to others at no cost.
        self.queue.give_back(worker.stop())
        worker.deaths += 1
        self.emit(kind, worker, attempt, record.message)
        if give_up or is_spent(worker.deaths, self.limits):
            worker.given_up = True
            self.emit(EventKind.GIVEN_UP, worker, message=f"after {worker.deaths} deaths in a row: {record.message}")

    def _settle(self, worker: Worker, attempt: Attempt, receipt: Receipt) -> list[Receipt]:
        """Decide what a job's outcome means: over (its receipt), or to be tried again (nothing)."""
        if receipt.error is None:
            # Only now is the job over: until its receipt is here, a death would have it done again.
            self.num_finished += 1
            self.emit(EventKind.FINISHED, worker, attempt)
            return [receipt]
        # The error's kind alone decides: what was charged before is in the attempt, not in the worker.
        charge = charge_failure(attempt.failures, receipt.error.kind, self.limits)
        attempt.failures = charge.failures
        if charge.again:
            # Not at once: what may pass needs time, and a poisonous job must not take every worker in a row.
            self.queue.retry(attempt, time.monotonic() + charge.delay_s)
            self.emit(EventKind.RETRIED, worker, attempt, receipt.error.message)
            return []
        self.num_failed += 1
        self.emit(EventKind.FAILED, worker, attempt, receipt.error.message)
        return [dataclasses.replace(receipt, error=dataclasses.replace(receipt.error, attempts=attempt.failures.total))]
