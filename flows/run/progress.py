"""What a person sees while a run goes on: bars on a terminal, a log line now and then elsewhere."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from labeling.types import Receipt

log = logging.getLogger(__name__)

LOG_EVERY_S = 30.0


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    videos_due: int
    started: float = field(default_factory=time.monotonic)
    videos: int = 0
    frames: int = 0
    masks: int = 0
    video_seconds: float = 0.0
    dead: Counter[str] = field(default_factory=Counter)
    dead_objects: Counter[str] = field(default_factory=Counter)
    seconds_by_stage: Counter[str] = field(default_factory=Counter)

    def add(self, receipt: Receipt) -> None:
        """Count one job's outcome."""
        if receipt.error is not None:
            self.dead[receipt.error.reason] += 1
            return
        self.dead_objects.update(error.reason for error in receipt.dead_objects.values())
        self.videos += 1
        self.frames += receipt.num_frames
        self.masks += receipt.num_masks
        self.video_seconds += receipt.video_seconds
        self.seconds_by_stage.update(receipt.seconds_by_stage)

    @property
    def frames_per_second(self) -> float:
        """Frames tracked per second of the run so far."""
        return self.frames / max(time.monotonic() - self.started, 1e-9)

    @property
    def letters(self) -> int:
        """Dead letters so far: of whole videos and of objects."""
        return self.dead.total() + self.dead_objects.total()

    def line(self) -> str:
        """One line for a log."""
        dead = f", {self.letters} dead letters" if self.letters else ""
        return f"{self.videos} of {self.videos_due} videos, {self.frames_per_second:.1f} frames/s{dead}"


class Display:
    """Shows a tally as it grows."""

    def __init__(self, tally: Tally, bar: Progress | None, task: TaskID | None) -> None:
        self.tally, self.bar, self.task, self.logged = tally, bar, task, time.monotonic()

    def show(self, receipt: Receipt) -> None:
        """Count one receipt and redraw, or log if it is time."""
        self.tally.add(receipt)
        if self.bar is not None and self.task is not None:
            dead = f"[red]{self.tally.letters} dead[/]" if self.tally.letters else ""
            rate = f"{self.tally.frames_per_second:.1f} frames/s"
            self.bar.update(self.task, advance=1, rate=rate, dead=dead)
        elif time.monotonic() - self.logged > LOG_EVERY_S:
            self.logged = time.monotonic()
            log.info(self.tally.line())


@contextmanager
def display(tally: Tally, *, enabled: bool) -> Iterator[Display]:
    """Show progress while the block runs; bars where a person looks at a terminal."""
    console = Console(stderr=True)
    if not (enabled and console.is_terminal and log.isEnabledFor(logging.INFO)):
        yield Display(tally, None, None)
        log.info(tally.line())
        return
    columns = (
        TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[dead]}"),
    )
    with Progress(*columns, console=console) as bar:
        yield Display(tally, bar, bar.add_task("videos", total=tally.videos_due, rate="", dead=""))
