"""Hands jobs to Ray actors and yields receipts as they come; survives errors, deaths and hangs within two budgets."""

import math
import threading
from collections.abc import Callable, Generator, Iterable, Sized

import ray

from labeling.config import ClusterConfig, RunConfig
from labeling.errors import ClusterGone
from labeling.jobs import Job, Receipt
from labeling.pool.capacity import NodeWatch, capacity_of
from labeling.pool.cluster import open_cluster
from labeling.pool.driver import Driver
from labeling.pool.pulse import pulse_of_ray
from labeling.pool.queue import Attempt, JobQueue, limits_of
from labeling.pool.work import EventKind, LooksAhead, PoolEvent, Proves, Work
from labeling.pool.worker import Worker


def run_jobs(
    work: Work,
    jobs: Iterable[Job],
    *,
    cluster: ClusterConfig,
    run: RunConfig,
    on_event: Callable[[PoolEvent], None] | None = None,
    timeout_of: Callable[[Job], float] | None = None,
    stop: threading.Event | None = None,
) -> Generator[Receipt, None, None]:
    """Run every job on a pool of actors and yield one receipt for each, in the order that they come.

    Jobs are pulled as workers have room for them. A job may take `run.timeout_s`, or what `timeout_of` says where that
    is less. Closing the generator, an exception in the caller, SIGINT, SIGTERM and `stop` kill the actors.

    Raises:
        BadConfiguration: budgets or resources that contradict each other.
        ClusterFailed: Ray does not start or answer, or no actor fits into it.
        NoWorkersLeft: every worker's place was given up, for deaths in a row or because none could be set up.
        PoolStopped: `stop` was set.
    """
    limits = limits_of(cluster, run)
    if isinstance(jobs, Sized) and not len(jobs):
        return
    attempts = (Attempt(job, _timeout_s(job, run, timeout_of)) for job in jobs)
    with open_cluster(cluster):
        num_jobs = len(jobs) if isinstance(jobs, Sized) else None
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        capacity, watch = capacity_of(cluster, nodes, num_jobs), NodeWatch(cluster, num_jobs, ray.nodes)
        looks_ahead = isinstance(work, LooksAhead)
        workers = [Worker(number, resources, looks_ahead=looks_ahead) for number, resources in enumerate(capacity.actors)]
        pickled: bytes = ray.cloudpickle.dumps(work)  # type: ignore[no-untyped-call]
        driver = Driver(pickled, workers, JobQueue(attempts, num_jobs), limits, cluster, on_event, stop, watch.joined)
        # From a Ray that is gone no answer comes, so nothing else would end the wait for one.
        driver.checks.append(pulse_of_ray().check)
        if isinstance(work, Proves):
            driver.accept = work.accept
        if capacity.shortfall:
            driver.emit(EventKind.CAPPED, message=capacity.shortfall)
        try:
            yield from driver.receipts(pull_all=isinstance(jobs, Sized))
        except ClusterGone:
            driver.workers.clear()     # nobody is there to kill them
            raise
        finally:
            for worker in driver.workers:
                worker.stop()


def _timeout_s(job: Job, run: RunConfig, timeout_of: Callable[[Job], float] | None) -> float:
    timeout_s = timeout_of(job) if timeout_of else run.timeout_s
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        raise ValueError(f"timeout of job {job.name} is {timeout_s} s; expected a finite number above 0")
    return min(timeout_s, run.timeout_s)
