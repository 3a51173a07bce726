"""Processes that outlive the command that started them: each with a log, known again by its id and its start."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from labeling.errors import BadConfiguration

STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started; `started` is in seconds since the epoch, so that a reused id is no match.

    `settled` says that it answered and that what comes after its start was done; `end_by` is the signal that ends it.
    """

    pid: int
    started: float
    settled: bool = False
    end_by: int = signal.SIGTERM

    def process(self) -> psutil.Process | None:
        """The process, None where it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if same else None


def start(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, user: str | None = None, end_by: int = signal.SIGTERM
) -> Running:
    """Start a process in a session of its own, with its output appended to `log`.

    Raises:
        BadConfiguration: the program is not there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as out:
            child = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                user=user, group=user, extra_groups=[] if user else None, cwd="/" if user else None,
            )
    except FileNotFoundError as error:
        raise BadConfiguration(f"{command[0]} is not on this machine; install it, or see `labeling doctor`") from error
    started = psutil.Process(child.pid).create_time()
    child.returncode = 0     # it is meant to go on: nobody here waits for it
    return Running(child.pid, started, end_by=end_by)


def stop(running: Running, *, patience_s: float = STOP_S) -> None:
    """End a process with its signal, and what it and its children do not end by themselves with SIGKILL."""
    process = running.process()
    if process is None:
        return
    family = [process]
    with contextlib.suppress(psutil.Error):
        family += process.children(recursive=True)
        process.send_signal(running.end_by)
    with contextlib.suppress(psutil.Error):
        process.wait(timeout=patience_s)
    _, left = psutil.wait_procs(family, timeout=2)
    for survivor in left:
        with contextlib.suppress(psutil.Error):
            survivor.kill()
    psutil.wait_procs(left, timeout=5)


def wait_until(ready: Callable[[], bool], running: Running, *, log: Path, limit_s: float) -> None:
    """Wait until `ready()` is true.

    Raises:
        BadConfiguration: the process ended or the time ran out; the message has the log's last lines.
    """
    give_up_at = time.monotonic() + limit_s
    while not ready():
        ended = running.process() is None
        if ended or time.monotonic() > give_up_at:
            why = "ended" if ended else f"did not answer within {limit_s:.0f} s"
            raise BadConfiguration(f"{log.stem} {why}; the end of {log}:\n{tail(log)}")
        time.sleep(0.25)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"
