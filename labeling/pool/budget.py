"""How often a job and a worker may fail: two budgets, as pure functions.

A job that costs a worker its life (a death, or a device error, after which the worker is replaced) may do so
`deaths_per_video` times; a worker's place in the pool is given up after `deaths_per_worker` deaths in a row, that is
with no job coming back in between. The first is strictly smaller, so that one poisonous video is set aside before the
place that it was tried in is closed.
"""

from dataclasses import dataclass

from labeling.config import ClusterConfig, RunConfig
from labeling.errors import BadConfiguration, ErrorKind

MAX_BACKOFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent on one job and on one worker, and how long to wait before the next try."""

    max_attempts: int
    deaths_per_video: int
    deaths_per_worker: int
    backoff_s: float

    def __post_init__(self) -> None:
        _require(self.max_attempts >= 1, "run.max_attempts", self.max_attempts, "1 or more")
        _require(self.deaths_per_video >= 1, "cluster.deaths_per_video", self.deaths_per_video, "1 or more")
        _require(
            self.deaths_per_video < self.deaths_per_worker,
            "cluster.deaths_per_worker", self.deaths_per_worker,
            f"more than cluster.deaths_per_video ({self.deaths_per_video}), so that a video that kills workers is set "
            "aside before a worker is given up",
        )
        _require(self.backoff_s >= 0, "run.retry_backoff_s", self.backoff_s, "seconds, 0 or more")


@dataclass(frozen=True, slots=True)
class Failures:
    """What one job has used up: errors that might have passed, and workers."""

    errors: int = 0
    deaths: int = 0

    @property
    def total(self) -> int:
        """How often the job was tried and failed."""
        return self.errors + self.deaths


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be done about a failure: the new failures, whether to try again, and after how long."""

    failures: Failures
    again: bool
    delay_s: float = 0.0


def limits_of(cluster: ClusterConfig, run: RunConfig) -> Limits:
    """Read the budgets from the configuration; BadConfiguration where they contradict each other."""
    return Limits(run.max_attempts, cluster.deaths_per_video, cluster.deaths_per_worker, run.retry_backoff_s)


def charge_failure(failures: Failures, kind: ErrorKind, limits: Limits) -> Charge:
    """Charge one failure to a job and say whether it is tried again.

    A death counts as `device`: both cost a worker. Poison is never tried again.
    """
    if kind is ErrorKind.POISON:
        return Charge(Failures(failures.errors + 1, failures.deaths), again=False)
    if kind is ErrorKind.DEVICE:
        charged = Failures(failures.errors, failures.deaths + 1)
        return Charge(charged, charged.deaths < limits.deaths_per_video, _delay_s(charged.deaths, limits))
    charged = Failures(failures.errors + 1, failures.deaths)
    return Charge(charged, charged.errors < limits.max_attempts, _delay_s(charged.errors, limits))


def is_spent(deaths_in_a_row: int, limits: Limits) -> bool:
    """Whether a worker's place is to be given up."""
    return deaths_in_a_row >= limits.deaths_per_worker


def _delay_s(failures: int, limits: Limits) -> float:
    return float(min(MAX_BACKOFF_S, limits.backoff_s * 2.0 ** min(failures - 1, 32)))


def _require(condition: bool, name: str, value: object, expectation: str) -> None:
    if not condition:
        raise BadConfiguration(f"{name} is {value!r}; expected {expectation}")
