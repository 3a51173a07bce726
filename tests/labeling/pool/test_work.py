"""What an actor does with a request, without a process."""

import time
from collections.abc import Callable

import pytest
from ray import cloudpickle

from labeling.errors import BadInput
from labeling.jobs import Job, Receipt
from labeling.pool import work
from labeling.pool.work import WorkerActor

MakeJobs = Callable[..., list[Job]]


class Worded:
    """Does what a job's key says, and keeps the time limits it was given."""

    def __init__(self) -> None:
        self.left_s: list[float] = []

    def setup(self, device: str) -> None:
        pass

    def __call__(self, job: Job, *, deadline: float) -> Receipt:
        self.left_s.append(deadline - time.time())
        if job.video.key == "bad":
            raise BadInput("no frame in it", "decode_error")
        if job.video.key == "sick":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return Receipt(job.name, job.video.video_id)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> WorkerActor:
    monkeypatch.setattr(work, "log_with", lambda names: None)
    made = WorkerActor("worker-0.1")
    assert made.setup(cloudpickle.dumps(Worded()), "cpu") is None
    return made


def outcomes(worker: WorkerActor, jobs: list[Job]) -> list[str]:
    receipts = [worker.run(job, 60.0) for job in jobs]
    assert [receipt.job_name for receipt in receipts] == [job.name for job in jobs]
    assert {receipt.worker for receipt in receipts} == {"worker-0.1"}
    return [receipt.error.reason if receipt.error else "ok" for receipt in receipts]


def test_a_bad_job_costs_nobody_else(worker: WorkerActor, make_jobs: MakeJobs) -> None:
    assert outcomes(worker, make_jobs("a", "bad", "b")) == ["ok", "decode_error", "ok"]


def test_no_job_begins_on_a_sick_device(worker: WorkerActor, make_jobs: MakeJobs) -> None:
    assert outcomes(worker, make_jobs("a", "sick", "b")) == ["ok", "device_error", "unexpected"]
    assert isinstance(worker.work, Worded)
    assert len(worker.work.left_s) == 2


def test_each_job_has_its_own_time_limit_from_its_own_beginning(worker: WorkerActor, make_jobs: MakeJobs) -> None:
    a, b = make_jobs("a", "b")
    worker.run(a, 60.0)
    worker.run(b, 600.0)
    assert isinstance(worker.work, Worded)
    first_s, second_s = worker.work.left_s
    assert 50 < first_s <= 60
    assert 590 < second_s <= 600
