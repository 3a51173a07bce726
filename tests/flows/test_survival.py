"""Real processes that die: a worker, the driver, a second run on the same root, a stop by SIGTERM. Nothing is lost or twice."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from labeling.store.reader import read_masklets
from tests.flows.conftest import Dataset

NUM_CLIPS, NUM_FRAMES = 4, 60
PATIENCE_S = 240.0


@dataclass
class LabelingRun:
    """A `labeling` command in processes of its own, which are known by a mark in their environment."""

    arguments: list[str]
    folder: Path
    server: str | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        environment = {
            **os.environ, "LABELING_TEST_MARK": self.mark, "PREFECT_HOME": str(self.folder / "prefect"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        environment.pop("PREFECT_API_URL", None)
        if self.server:
            environment["PREFECT_API_URL"] = self.server
        self.log = (self.folder / f"{self.mark}.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from flows.cli.app import main; main()", *self.arguments],
            env=environment, stdout=self.log, stderr=subprocess.STDOUT,
        )

    def wait(self) -> int:
        return self.process.wait(timeout=PATIENCE_S)

    def said(self) -> str:
        return Path(self.log.name).read_text(errors="replace")

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Every live process that this command started, itself included."""
        found = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get("LABELING_TEST_MARK") == self.mark
                if marked and process.status() != psutil.STATUS_ZOMBIE and name in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def start(tmp_path: Path, prefect_server: None) -> Iterator[Callable[..., LabelingRun]]:
    """Starts commands, and leaves none of their processes behind; with `own_server` they start Prefect's as well."""
    from prefect.settings import PREFECT_API_URL

    shared = PREFECT_API_URL.value()
    started: list[LabelingRun] = []

    def begin(*arguments: str, own_server: bool = False) -> LabelingRun:
        started.append(LabelingRun(list(arguments), tmp_path, None if own_server else shared))
        return started[-1]

    yield begin
    for run in started:
        for process in run.processes():
            process.kill()
        run.process.wait()
        run.log.close()


@pytest.fixture
def clips(dataset: Dataset) -> Dataset:
    for number in range(NUM_CLIPS):
        dataset.add(f"{number}.mp4", 1, num_frames=NUM_FRAMES)
    return dataset


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.05)


def markers(dataset: Dataset) -> list[Path]:
    return sorted((dataset.root / "ledger" / "pending").rglob("*.json"))


def check_whole(dataset: Dataset) -> None:
    """Every object has a row for every frame, once, in files that each belong to one batch."""
    masklets = list(read_masklets(str(dataset.root)))
    assert [len(m.frames) for m in masklets] == [NUM_FRAMES] * NUM_CLIPS
    assert {m.masklet.label_version for m in masklets} == {1}
    files = list((dataset.root / "masks").rglob("*.parquet"))
    assert len(files) == NUM_CLIPS
    assert sum(pq.read_metadata(path).num_rows for path in files) == NUM_CLIPS * NUM_FRAMES


def test_a_killed_worker_costs_nothing_and_a_second_run_is_turned_away(
    clips: Dataset, start: Callable[..., LabelingRun]
) -> None:
    run = start("run", *clips.overrides(), own_server=True)
    until(lambda: run.processes("ray::WorkerActor.run") or run.process.poll() is not None, "a worker at work")
    second = start("run", *clips.overrides())
    victim = run.processes("ray::WorkerActor.run")[0]
    victim.send_signal(signal.SIGKILL)
    assert second.wait() == 4, second.said()
    assert "the next run takes over" in second.said()
    assert run.wait() == 0, run.said()
    assert "died" in run.said()
    check_whole(clips)


def test_stopped_and_killed_runs_are_finished_by_the_next(clips: Dataset, start: Callable[..., LabelingRun]) -> None:
    stopped = start("run", *clips.overrides())
    until(lambda: stopped.processes("ray::WorkerActor.run") or stopped.process.poll() is not None, "a worker at work")
    asked = time.monotonic()
    stopped.process.send_signal(signal.SIGTERM)
    until(lambda: not stopped.processes("ray::WorkerActor"), "the workers' end")
    assert time.monotonic() - asked < 5.0
    assert stopped.wait() == 3, stopped.said()
    until(lambda: not stopped.processes(), "the end of every process")

    killed = start("run", *clips.overrides("run.lock_stale_s=6"))
    until(lambda: markers(clips) or killed.process.poll() is not None, "a first video")
    killed.process.kill()
    until(lambda: not killed.processes("ray::WorkerActor"), "the workers' end")
    # What a worker finished before it found its driver gone counts as done.
    done = markers(clips)
    assert done, killed.said()

    last = start("run", *clips.overrides("run.lock_stale_s=6"))
    assert last.wait() == 0, last.said()
    check_whole(clips)
    assert f"{NUM_CLIPS - len(done)} of {NUM_CLIPS} videos are due" in last.said()
    assert not list((clips.folder / "scratch").rglob("*.parquet")), "scratch of the killed run was left"
