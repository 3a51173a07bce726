"""How a running run is doing: live counters, and the bars or log lines that a person sees of them."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from flows.run.display import display
from labeling.jobs import Job, Receipt
from labeling.pool.work import EventKind, PoolEvent
from labeling.store.runs import RunSummary

log = logging.getLogger(__name__)

RESTARTS = (EventKind.DIED, EventKind.KILLED)
# Of the first few videos none says much about the rest: the share of dead letters is taken of so many at least.
SHARE_OF_AT_LEAST = 20


@dataclass(slots=True)
class RunProgress:
    """A running run in counters, from its receipts and its pool's events; each of them is counted once, here.

    The bar, the metrics, the stored state and summary, and the report render these. `labelled` keeps of each job that is done
    its masks and frames, to compare with the store. Bytes are those of video files: `labelled_bytes` of the labelled ones,
    `handled_bytes` of all that are over. `most_workers` is how many the pool had at most.
    """

    num_due: int
    since: float = field(default_factory=time.monotonic)
    num_labelled: int = 0
    num_objects: int = 0
    num_masks: int = 0
    num_frames: int = 0
    video_seconds: float = 0.0
    labelled_bytes: int = 0
    handled_bytes: int = 0
    failures_by_reason: Counter[str] = field(default_factory=Counter)
    dead_objects_by_reason: Counter[str] = field(default_factory=Counter)
    seconds_by_stage: Counter[str] = field(default_factory=Counter)
    labelled: dict[str, tuple[int, int]] = field(default_factory=dict)
    frames_by_worker: Counter[str] = field(default_factory=Counter)
    gpu_bytes_by_worker: dict[str, float] = field(default_factory=dict)
    num_workers: int = 0
    most_workers: int = 0
    num_in_flight: int = 0
    restarts: Counter[str] = field(default_factory=lambda: Counter({str(kind): 0 for kind in RESTARTS}))
    num_retries: int = 0

    def add(self, job: Job, receipt: Receipt) -> None:
        """Count one job that is over."""
        worker = receipt.worker.partition(".")[0] or "none"         # the place in the pool, whoever sits there
        self.frames_by_worker[worker] += receipt.num_frames
        self.gpu_bytes_by_worker[worker] = receipt.peak_gpu_bytes
        self.handled_bytes += job.video.num_bytes
        if receipt.error is not None:
            self.failures_by_reason[receipt.error.reason] += 1
            return
        self.labelled[job.name] = receipt.num_masks, receipt.num_frames
        self.dead_objects_by_reason.update(error.reason for error in receipt.dead_objects.values())
        self.num_labelled += 1
        self.num_objects += receipt.num_objects
        self.num_masks += receipt.num_masks
        self.num_frames += receipt.num_frames
        self.video_seconds += receipt.video_seconds
        self.labelled_bytes += job.video.num_bytes
        self.seconds_by_stage.update(receipt.seconds_by_stage)

    def lose(self, job: Job, reason: str) -> None:
        """Count a job as failed that was reported as done: its results are not in the store."""
        num_masks, num_frames = self.labelled.pop(job.name)
        self.failures_by_reason[reason] += 1
        self.num_labelled -= 1
        self.num_objects -= len(job.keys)
        self.num_masks -= num_masks
        self.num_frames -= num_frames
        self.labelled_bytes -= job.video.num_bytes

    def note(self, event: PoolEvent) -> None:
        """Take one event of the pool; what a person should know goes to the log."""
        self.num_workers, self.num_in_flight = event.num_workers, event.num_in_flight
        self.most_workers = max(self.most_workers, event.num_workers)
        if event.kind in RESTARTS:
            self.restarts[str(event.kind)] += 1
        self.num_retries += event.kind is EventKind.RETRIED
        if event.message and event.kind is not EventKind.FAILED:   # a failed job's dead letter says it
            log.warning("%s %s: %s", event.kind, event.job_name or event.worker or "pool", event.message)

    @property
    def num_failed(self) -> int:
        """Jobs that failed so far."""
        return self.failures_by_reason.total()

    @property
    def num_over(self) -> int:
        """Jobs that are over, labelled or failed."""
        return self.num_labelled + self.num_failed

    @property
    def num_letters(self) -> int:
        """Dead letters so far: of whole videos and of objects."""
        return self.num_failed + self.dead_objects_by_reason.total()

    @property
    def frames_per_second(self) -> float:
        """Frames tracked per second of the run so far."""
        return self.num_frames / max(time.monotonic() - self.since, 1e-9)

    def line(self) -> str:
        """Return one line for a log."""
        dead = f", {self.num_letters} dead letters" if self.num_letters else ""
        return f"{self.num_labelled} of {self.num_due} videos, {self.frames_per_second:.1f} frames/s{dead}"

    def summary(self, run_id: str, *, wall_seconds: float) -> RunSummary:
        """Return what is stored of these counters when the labelling is over."""
        return RunSummary(
            run_id=run_id,
            num_jobs=self.num_over,
            num_failed=self.num_failed,
            num_objects=self.num_objects,
            num_masks=self.num_masks,
            num_frames=self.num_frames,
            num_workers=self.most_workers,
            video_seconds=self.video_seconds,
            labelled_bytes=self.labelled_bytes,
            worker_seconds=sum(self.seconds_by_stage.values()),
            wall_seconds=wall_seconds,
            seconds_by_stage=dict(self.seconds_by_stage),
            failures_by_reason=dict(self.failures_by_reason),
            dead_objects_by_reason=dict(self.dead_objects_by_reason),
        )


def overspent(num_over: int, dead: Mapping[str, int], share: float) -> str:
    """Say in a sentence that too many of `num_over` videos are `dead` (counted by reason), and of what; else ""."""
    total = sum(dead.values())
    if total <= share * max(num_over, SHARE_OF_AT_LEAST):
        return ""
    reason, most = Counter(dead).most_common(1)[0]
    return (
        f"{total} of {num_over} videos ({total / max(num_over, 1):.0%}) became dead letters, more than "
        f"run.max_dead_letter_share={share:g} allows; {most} of them for {reason}"
    )


@contextmanager
def shown(progress: RunProgress, *, enabled: bool) -> Iterator[Callable[[], None]]:
    """Give what shows the counters as they are then; bars where a person looks at a terminal, the last line in the log."""
    with display("videos", progress.num_due, log, bar=enabled, lines=True) as line:
        def redraw() -> None:
            dead = f"  [red]{progress.num_letters} dead[/]" if progress.num_letters else ""
            line.show(progress.num_over, f"{progress.frames_per_second:.1f} frames/s{dead}", progress.line())

        yield redraw
        line.show(progress.num_over, "", progress.line(), last=True)
