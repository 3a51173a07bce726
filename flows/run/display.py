"""How far a command is: a bar where a person looks at a terminal, else a log line now and then."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOG_EVERY_S = 30.0
ESTIMATE_S = 600.0      # of the last so many seconds the remaining time is reckoned


class Display:
    """One bar or one log; `bar` is None where lines are logged, `log` None where nothing is said at all."""

    def __init__(self, unit: str, total: int, bar: Progress | None, log: logging.Logger | None) -> None:
        self.unit, self.bar, self.log, self.logged = unit, bar, log, time.monotonic()
        self.task = bar.add_task(unit, total=total, figures="") if bar else None

    def show(self, completed: int, figures: str, line: str, *, unit: str | None = None, last: bool = False) -> None:
        """Show that so much is done, with `figures` beside the bar, or log the `line` if it is time or the last one."""
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=completed, figures=figures, description=unit or self.unit)
        elif self.log is not None and (last or time.monotonic() - self.logged > LOG_EVERY_S):
            self.logged = time.monotonic()
            self.log.info(line)


@contextmanager
def display(unit: str, total: int, log: logging.Logger, *, bar: bool, lines: bool) -> Iterator[Display]:
    """Give a display while the block runs: a bar on a terminal where `bar` allows it, else log lines where `lines` does."""
    console = Console(stderr=True)
    if not (bar and console.is_terminal and log.isEnabledFor(logging.INFO)):
        yield Display(unit, total, None, log if lines else None)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=ESTIMATE_S) as progress:
        yield Display(unit, total, progress, None)
