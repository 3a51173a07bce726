"""What a driver may show of a pool at work."""

from dataclasses import dataclass
from enum import StrEnum


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
