"""Jobs that no worker holds, in the order in which they are handed out; and what a failure costs a job and a worker.

Fresh jobs are pulled one by one, others wait for a retry. There are two budgets: a job
that costs a worker its life (a death, or a device error, after which the worker is replaced) may do so `deaths_per_video`
times; a worker's place in the pool is given up after `deaths_per_worker` deaths in a row, with no job back in between. The
first is strictly smaller, so that one poisonous video is set aside before the place that it was tried in is closed.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from labeling.config import ClusterConfig, RunConfig
from labeling.errors import BadConfiguration, ErrorKind
from labeling.jobs import Job

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
    # The same input would fail in the same way.
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


@dataclass(slots=True, eq=False)
class Attempt:
    """A job on its way, and what it has used up.

    `lost` says that an actor died while it ran this job and prepared another, or the reverse.
    """

    job: Job
    timeout_s: float
    failures: Failures = Failures()
    lost: bool = False

    @property
    def apart(self) -> bool:
        """Whether nothing is prepared beside it, nor it beside another: what happens then is its own doing."""
        return self.lost or self.failures.total > 0

    @property
    def suspect(self) -> bool:
        """Whether a worker has died of it, perhaps: it then runs alone, so that the next death has one cause."""
        return self.failures.deaths > 0


@dataclass(slots=True)
class _Waiting:
    """Attempts by the time that they may start again."""

    heap: list[tuple[float, int, Attempt]] = field(default_factory=list)
    serial: "count[int]" = field(default_factory=count)

    def push(self, due_at: float, attempt: Attempt) -> None:
        heapq.heappush(self.heap, (due_at, next(self.serial), attempt))

    def is_due(self, now: float) -> bool:
        return bool(self.heap) and self.heap[0][0] <= now

    def pop(self) -> Attempt:
        return heapq.heappop(self.heap)[2]


class JobQueue:
    """Hands out attempts: those given back first, then retries that are due, then fresh ones from the iterable.

    The iterable is pulled at most one attempt ahead of what is taken; `num_fresh` says how many it has, None that nobody knows.
    """

    def __init__(self, fresh: Iterable[Attempt], num_fresh: int | None = None) -> None:
        self._fresh = iter(fresh)
        self._num_fresh = math.inf if num_fresh is None else num_fresh
        self._ahead: deque[Attempt] = deque()
        self._returned: deque[Attempt] = deque()
        self._retries, self._suspects = _Waiting(), _Waiting()

    def take(self, now: float, *, alone: bool, proven: bool = True) -> Attempt | None:
        """Return the next attempt, or None when nothing may start now.

        A suspect goes only to a worker with nothing else to do (`alone`). A worker whose last job killed it (not
        `proven`) gets a suspect only when there is nothing else: a job that comes back shows that the worker is well.
        """
        suspect_is_due = alone and self._suspects.is_due(now)
        if suspect_is_due and proven:
            return self._suspects.pop()
        if self._returned:
            return self._returned.popleft()
        if self._retries.is_due(now):
            return self._retries.pop()
        if self._has_fresh():
            return self._ahead.popleft()
        return self._suspects.pop() if suspect_is_due else None

    def give_back(self, attempts: Iterable[Attempt]) -> None:
        """Take back attempts that never ran, ahead of all that wait; their order stays."""
        for attempt in reversed(tuple(attempts)):
            if attempt.suspect:
                self._suspects.push(float("-inf"), attempt)
            else:
                self._returned.appendleft(attempt)

    def retry(self, attempt: Attempt, due_at: float) -> None:
        """Keep an attempt until it may be tried again."""
        (self._suspects if attempt.suspect else self._retries).push(due_at, attempt)

    def suspect_is_due(self, now: float) -> bool:
        """Whether a suspect waits for a worker to itself."""
        return self._suspects.is_due(now)

    def next_due_at(self) -> float | None:
        """Return when the first retry may start (monotonic seconds), or None when nothing waits."""
        return min((waiting.heap[0][0] for waiting in (self._retries, self._suspects) if waiting.heap), default=None)

    def is_empty(self) -> bool:
        """Whether nothing is left to hand out, now or later."""
        return not (self._returned or self._retries.heap or self._suspects.heap or self._has_fresh())

    def num_waiting(self) -> float:
        """Return how many are left to hand out, now or later; infinity when the iterable has more and nobody knows how many."""
        fresh = self._num_fresh + len(self._ahead) if self._has_fresh() else 0
        return fresh + len(self._returned) + len(self._retries.heap) + len(self._suspects.heap)

    def left(self, *, pull_all: bool) -> tuple[Job, ...]:
        """Return the jobs that were not handed out; with `pull_all` those still in the iterable too."""
        known = [*self._returned, *(w[2] for w in sorted([*self._retries.heap, *self._suspects.heap])), *self._ahead]
        return tuple(f.job for f in [*known, *(self._fresh if pull_all else ())])

    def _has_fresh(self) -> bool:
        if not self._ahead:
            self._ahead.extend(attempt for attempt in [next(self._fresh, None)] if attempt is not None)
            self._num_fresh -= len(self._ahead)
        return bool(self._ahead)
