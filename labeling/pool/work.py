"""What the pool runs, anything that is set up once on a device and then takes job after job; its actor; and the pool's events.

An exception never leaves an actor: it comes back as a record, in the answer to set-up or in a receipt.
"""

import dataclasses
import logging
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from labeling.errors import ErrorKind, ErrorRecord, record_of
from labeling.jobs import Job, Receipt
from labeling.logs import Lines

log = logging.getLogger(__name__)


class Work(Protocol):
    """A job's maker of receipts; it travels to an actor by pickle, so what is heavy is loaded in `setup`."""

    def setup(self, device: str) -> None:
        """Load what all jobs share onto `device` (`cpu` or `cuda`); called once in each actor, before any job."""

    def __call__(self, job: Job, *, deadline: float) -> Receipt:
        """Do one job and say what came of it.

        `deadline` is in seconds since the epoch; raise `labeling.errors.DeadlineExceeded` when it has passed, and look
        often: an actor that goes on past it is killed. A job may be run again after a death, so writes are repeatable.
        """
        ...


@runtime_checkable
class LooksAhead(Protocol):
    """A work that can begin with the job after this one; a work without `prepare` is never told of it."""

    def prepare(self, job: Job) -> None:
        """Begin with a job that comes next, in a thread, and return at once; what fails there is tried again in its turn.

        Called before another job runs. Jobs come in the order in which they were told of, but one may never come.
        """
        ...


@runtime_checkable
class Proves(Protocol):
    """A work that shows, before a worker takes a job, that worker and driver see the same; both ends may refuse."""

    def prove(self) -> str:
        """Look at what the driver laid out, in the actor, after `setup`; what is returned goes to the driver's `accept`."""
        ...

    def accept(self, proof: str) -> None:
        """Look at what an actor's `prove` answered, in the driver; an exception ends the run."""
        ...


class EventKind(StrEnum):
    """What happened: to the pool (`capped`, `joined`: a node), to a worker, or to a job (`started` to `retried`)."""

    CAPPED = "capped"
    JOINED = "joined"
    READY = "ready"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    RETRIED = "retried"
    DIED = "died"
    KILLED = "killed"
    GIVEN_UP = "given_up"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """One thing that happened, with names where there are any, and how the pool stands after it.

    `num_finished` and `num_failed` count jobs that are over, `num_in_flight` those that workers hold, `num_workers`
    the workers that are set up. `attempts` counts what the job has used up so far.
    """

    kind: EventKind
    job_name: str = ""
    worker: str = ""
    message: str = ""
    attempts: int = 0
    num_finished: int = 0
    num_failed: int = 0
    num_in_flight: int = 0
    num_workers: int = 0


class JobNames(logging.Filter):
    """Adds the names of worker, run and job to each line that this process logs, whoever logs it."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self.worker, self.run, self.job = worker, "-", "-"

    def filter(self, record: logging.LogRecord) -> bool:
        """Write the names into the record; let every record pass."""
        record.worker, record.run, record.job = self.worker, self.run, self.job
        return True


class WorkerActor:
    """Holds one `Work`; its constructor does nothing, because Ray gives a slow one up and starts it over."""

    def __init__(self, worker: str) -> None:
        self.names = JobNames(worker)
        self.work: Work | None = None
        self.sick = False

    def begin(self) -> None:
        """Answer; whoever asked knows that the actor has its place and its process."""

    def setup(self, pickled_work: bytes, device: str) -> ErrorRecord | str | None:
        """Unpickle the work and load it onto `device`; the proof that it gives or None, or the record of what went wrong."""
        from ray import cloudpickle  # whoever only reads events does without Ray

        log_with(self.names)
        try:
            work: Work = cloudpickle.loads(pickled_work)
            work.setup(device)
            proof = work.prove() if isinstance(work, Proves) else None
        except Exception as error:
            log.exception("set-up failed")
            return record_of(error)
        self.work = work
        return proof

    def run(self, job: Job, timeout_s: float, ahead: Job | None = None) -> Receipt:
        """Do one job within `timeout_s` from now; an exception comes back as the receipt's error record.

        `ahead` is the job of the next request, to be prepared meanwhile.
        """
        if ahead is not None:
            self._prepare(ahead)
        self.names.run, self.names.job = job.run_id, job.name
        receipt = self._receipt(job, timeout_s)
        # A device error leaves the accelerator in an unknown state: the jobs queued behind must not start on it.
        self.sick = self.sick or (receipt.error is not None and receipt.error.kind is ErrorKind.DEVICE)
        return receipt

    def _prepare(self, job: Job) -> None:
        try:
            if isinstance(self.work, LooksAhead) and not self.sick:
                self.work.prepare(job)
        except Exception:
            log.warning("the next job could not be prepared; it begins in its turn", exc_info=True)

    def _receipt(self, job: Job, timeout_s: float) -> Receipt:
        try:
            if self.work is None or self.sick:
                raise RuntimeError("the worker takes no jobs: " + ("its device failed" if self.sick else "it is not set up"))
            receipt = self.work(job, deadline=time.time() + timeout_s)
            if not isinstance(receipt, Receipt):
                raise TypeError(f"the work returned {type(receipt).__name__}; expected a Receipt")
        except Exception as error:
            log.warning("job failed", exc_info=True)
            return failed(job, record_of(error), self.names.worker)
        return receipt if receipt.worker else dataclasses.replace(receipt, worker=self.names.worker)


def failed(job: Job, record: ErrorRecord, worker: str) -> Receipt:
    """Return the receipt of a job that came to nothing."""
    return Receipt(job_name=job.name, video_id=job.video.video_id, error=record, worker=worker)


def log_with(names: JobNames) -> None:
    """Send this process's log to standard error, which Ray keeps in a file per worker, with names on each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    handler.addFilter(names)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
