"""A driver of its own process: says when its job runs, and then waits for a job that never ends."""

import sys
import time

import ray

from labeling.config import ClusterConfig, RunConfig
from labeling.jobs import Job, Receipt
from labeling.pool import cluster
from labeling.pool.pool import run_jobs
from labeling.pool.work import EventKind, PoolEvent
from labeling.types import Prompt, VideoRef


class Endless:
    """Never comes back."""

    def setup(self, device: str) -> None:
        pass

    def __call__(self, job: Job, *, deadline: float) -> Receipt:
        time.sleep(3600)
        raise AssertionError


def say(event: PoolEvent) -> None:
    if event.kind is EventKind.STARTED:
        print("running", flush=True)


if __name__ == "__main__":
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    cluster.usable_cpus = lambda: 1     # one actor is enough, and Ray starts a process for each CPU at once
    prompt = Prompt(1, 0, box_xyxy=(0.0, 0.0, 8.0, 8.0))
    job = Job("run-1", VideoRef("0" * 16, "a.mp4", "file:///a.mp4", "content", 1), (prompt,), {1: "k"}, {1: 1}, "0" * 16)
    for _ in run_jobs(Endless(), [job], cluster=ClusterConfig(), run=RunConfig(), on_event=say):
        print("a receipt", flush=True)
