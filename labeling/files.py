"""Files that are whole or not there, and the processes that write them.

A file is written beside its place, then renamed into it. Its name says which process writes it, so that what a killed one left
can be told from what is in work and swept.
"""

import hashlib
import os
import re
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_BESIDE = re.compile(r"\.~[0-9a-f]{32}(?:~([0-9a-f]{8}~\d+~\d*))?\.beside")
_LEFT_AFTER_S = 86_400.0  # for writers that cannot be asked after: on other machines, or of releases that did not name them


@contextmanager
def written_beside(path: Path, *, synced: bool = False, mode: int = 0o666) -> Iterator[Path]:
    """Give an empty file beside `path` to write to; it takes the place of `path` when the block ends well.

    On an error it is removed and `path` stays as it was. `synced` waits until the disk has it, so that a machine that stops
    leaves the old file or the new one. `mode` is what the file may be at most; the umask takes from it as usual.
    """
    beside = path.with_name(beside_name())
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield beside
        if synced:
            _sync(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def beside_name() -> str:
    """Name a file that is written before it takes another's place; it says whose it is."""
    return f".~{uuid.uuid4().hex}~{this_process()}.beside"


def is_left(name: str, age_s: float) -> bool:
    """Return whether a file of such a name was left by a writer that is gone."""
    match = _BESIDE.fullmatch(name)
    if match is None:
        return False
    gone = is_gone(match[1]) if match[1] else None
    return age_s > _LEFT_AFTER_S if gone is None else gone


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def machine_name() -> str:
    """Name this boot of this machine and the process namespace, "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def process_start(pid: int) -> str:
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
    return f"{_digest(machine_name())}~{os.getpid()}~{process_start(os.getpid())}"


def is_gone(name: str) -> bool | None:
    """Whether a process that `this_process` named has ended; None where that cannot be known from here."""
    where, _, rest = name.partition("~")
    pid, _, since = rest.partition("~")
    if not machine_name() or where != _digest(machine_name()) or not pid.isdigit():
        return None
    return process_start(int(pid)) != since


def process_identity() -> dict[str, str | int]:
    """Describe this process for a JSON document: `machine`, `pid` and `started`."""
    return {"machine": machine_name(), "pid": os.getpid(), "started": process_start(os.getpid())}


def process_has_ended(process: Mapping[str, str | int]) -> bool:
    """Whether a process that `identity` described has ended; False where that cannot be known from here."""
    here = machine_name()
    return bool(here) and process.get("machine") == here and process_start(int(process["pid"])) != str(process["started"])


def child_processes(parent: int) -> list[int]:
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
