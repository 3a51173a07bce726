"""What the pool runs: anything that is set up once on a device and then takes one job after another."""

from typing import Protocol, runtime_checkable

from labeling.types import Job, Receipt


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
