"""A driver that is told to end, or is killed, leaves no process behind: real processes, real signals."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

PROGRAM = Path(__file__).with_name("driver_program.py")
TOP = PROGRAM.parents[3]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)


@pytest.fixture(scope="module")
def drivers() -> Iterator[dict[signal.Signals, "subprocess.Popen[str]"]]:
    """One driver per signal, started together because most of a start is waiting."""
    started = {
        number: subprocess.Popen([sys.executable, str(PROGRAM)], stdout=subprocess.PIPE, text=True, cwd=TOP)
        for number in SIGNALS
    }
    yield started
    for driver in started.values():
        driver.kill()
        driver.wait()
        assert driver.stdout is not None
        driver.stdout.close()


def alive(processes: list[psutil.Process]) -> list[str]:
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:80]}")
        except psutil.NoSuchProcess:
            continue
    return found


def wait_for_end(processes: list[psutil.Process], within_s: float) -> None:
    until = time.monotonic() + within_s
    while alive(processes) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(processes), f"after {within_s} s"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_no_process_stays_behind(number: signal.Signals, drivers: dict[signal.Signals, "subprocess.Popen[str]"]) -> None:
    driver = drivers[number]
    assert driver.stdout is not None
    assert driver.stdout.readline() == "running\n"
    descendants = psutil.Process(driver.pid).children(recursive=True)
    actors = [process for process in descendants if "WorkerActor" in " ".join(process.cmdline())]
    assert len(actors) == 1
    agents = [process for process in descendants if "Agent" in " ".join(process.cmdline())]
    driver.send_signal(number)
    wait_for_end(actors, within_s=5.0)
    # After a hard kill Ray's two agents, which hold no work, try for a minute to tell a server that is gone.
    lingering = agents if number is signal.SIGKILL else []
    wait_for_end([process for process in descendants if process not in lingering], within_s=10.0)
    assert driver.wait(timeout=10) == {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT, signal.SIGKILL: -9}[number]
    for process in lingering:
        process.kill()
    assert driver.stdout.read() == ""
