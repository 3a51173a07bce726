"""Who wrote something: this process, named so that others of this machine can tell when it is gone."""

import hashlib
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def machine() -> str:
    """Name this boot of this machine and the process namespace, "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks, so that a reused id is no match; "" when there is none.

    Where the system has no /proc it is "0" for every process that lives.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "0" if _takes_signals(pid) else ""
    return "" if fields[0] in "ZX" else fields[19]


def this_process() -> str:
    """Name this process in a file's name: machine, id and start."""
    return f"{_digest(machine())}~{os.getpid()}~{started(os.getpid())}"


def is_gone(name: str) -> bool | None:
    """Whether a process that `this_process` named has ended; None where that cannot be known from here."""
    where, _, rest = name.partition("~")
    pid, _, since = rest.partition("~")
    if not machine() or where != _digest(machine()) or not pid.isdigit():
        return None
    return started(int(pid)) != since


def identity() -> dict[str, Any]:
    """Describe this process for a JSON document: `machine`, `pid` and `started`."""
    return {"machine": machine(), "pid": os.getpid(), "started": started(os.getpid())}


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether a process that `identity` described has ended; False where that cannot be known from here."""
    here = machine()
    return bool(here) and process.get("machine") == here and started(int(process["pid"])) != str(process["started"])


def children_of(parent: int) -> list[int]:
    """Return the ids of the processes that a process started and that live, as far as /proc says."""
    children = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                children.append(int(path.parent.name))
    return children


def _takes_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
