"""Files that are whole or not there: written beside their place, then renamed into it.

The name of a file that is being written says which process writes it, so that what a killed one left can be told from what
is in work and swept.
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labeling.process import is_gone, this_process

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
