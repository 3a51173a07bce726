"""The console that commands print to; without a terminal, tables get the room that they need.

What it is given to show may hold names that somebody else chose: no control character of theirs reaches the terminal. In
texts with markup they are put by `escape`.
"""

import errno
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from labeling.errors import BadConfiguration, ClusterFailed, DamagedStore, LabelingError, StoreBusy, Unavailable
from labeling.logs import VISIBLE, redact

__all__ = ["console", "escape", "plain_console"]


class PlainConsole(Console):
    """A console that shows control characters as signs of one column, and `:words:` as they are."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what the renderable comes to, text made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(VISIBLE), segment.style)

    def on_broken_pipe(self) -> None:
        """End quietly: whoever reads has seen enough."""
        self.quiet = True
        raise SystemExit(0)


def plain_console(**options: Any) -> PlainConsole:
    """Make a console; `options` are those of rich's `Console`."""
    return PlainConsole(emoji=False, **options)


console = plain_console(width=None if sys.stdout.isatty() else 160)


OK, DEAD_LETTERS, BAD_CONFIGURATION, INTERRUPTED, FAILED = range(5)

log = logging.getLogger(__name__)

# What is wrong with a path that was given, and not with the disk below it.
_OF_A_PATH = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENAMETOOLONG,
    errno.ELOOP, errno.ENOTEMPTY, errno.EINVAL, errno.ENXIO,
}


def exit_code_of(error: BaseException) -> int:
    """Say an error on standard error and return the exit code that it means."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return interrupted()
    if isinstance(error, BadConfiguration | typer.TyperException):
        say("bad configuration", error.format_message() if isinstance(error, typer.BadParameter) else str(error))
        return BAD_CONFIGURATION
    if isinstance(error, _out_of_reach()):
        say("failed", str(error))
        return FAILED
    if isinstance(error, LabelingError):
        say("refused", str(error))
        return BAD_CONFIGURATION
    if isinstance(error, OSError) and error.filename is not None:
        of_a_path = error.errno in _OF_A_PATH
        advice = "give a path that can be read and written" if of_a_path else "free or mount the disk and try again"
        say("refused" if of_a_path else "failed", f"{_named(error.filename)}: {error.strerror}; {advice}")
        return BAD_CONFIGURATION if of_a_path else FAILED
    return _unforeseen(error)


def interrupted() -> int:
    """Say that the command was stopped."""
    say("interrupted", "what is done stays done")
    return INTERRUPTED


def say(what: str, message: str) -> None:
    """Write one message for a person to standard error."""
    console = plain_console(stderr=True)
    console.print(f"[bold red]{what}:[/] ", end="")
    console.print(redact(message).rstrip(), soft_wrap=True, markup=False, highlight=False)


def _named(filename: object) -> str:
    return filename if isinstance(filename, str) else os.fsdecode(filename) if isinstance(filename, bytes) else str(filename)


def _out_of_reach() -> tuple[type[BaseException], ...]:
    """Return what says that store, server or cluster failed; Ray only where a command loaded it, which takes a second."""
    errors = (Unavailable, DamagedStore, StoreBusy, ClusterFailed, ConnectionError)
    if "ray" not in sys.modules:
        return errors
    from ray.exceptions import RayError

    return *errors, RayError


def _unforeseen(error: BaseException) -> int:
    lines = str(error).strip().splitlines()
    told = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    path = _keep_trace(error)
    say("failed", f"{told}\nThis should have been foreseen: please report it with " + (
        f"the traceback in {path}" if path else "what was typed; no traceback could be written"
    ))
    return FAILED


def _keep_trace(error: BaseException) -> Path | None:
    """Write the traceback without secrets into a file of this user's alone; None where that is not possible."""
    from flows.run.review_queue import data_folder

    text = redact("".join(traceback.format_exception(error)))
    name = f"labeling-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
    for folder in (data_folder() / "errors", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(text, errors="backslashreplace")
        except OSError:
            continue
        return path
    return None
