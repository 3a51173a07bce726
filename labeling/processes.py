"""Who wrote something: this process, named so that others of this machine can tell when it is gone."""

import hashlib
import os
import socket
from pathlib import Path


def machine() -> str:
    """Name this boot of this machine and the process namespace, "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks, so that a reused id is no match; "" when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def this_process() -> str:
    """Name this process in a file's name: machine, id and start."""
    return f"{_digest(machine())}~{os.getpid()}~{started(os.getpid())}"


def is_gone(process: str) -> bool | None:
    """Whether a process that `this_process` named has ended; None where that cannot be known from here."""
    where, _, rest = process.partition("~")
    pid, _, since = rest.partition("~")
    if not machine() or where != _digest(machine()) or not pid.isdigit():
        return None
    return started(int(pid)) != since


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
