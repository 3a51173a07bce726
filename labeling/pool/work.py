"""What the pool runs, anything that is set up once on a device and then takes job after job; and the events it shows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from labeling.jobs import Job, Receipt


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
