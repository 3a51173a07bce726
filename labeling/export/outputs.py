"""Outputs of an export, files and folders: whole or not there, written beside and renamed into place.

What they replace must be an earlier output of ours, so that a mistyped path costs nothing: a file is known by how it begins,
a folder by the list of its files in `MADE`.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

MADE = ".labeling-made"  # the names of all files that an output's folder was made with, one a line
_LEFT_AFTER_S = 3600.0
_ELSEWHERE = "give another path, or move it away"


@contextmanager
def replaced_file(out: Path, *, begins: str) -> Iterator[TextIO]:
    """Open a text file that takes the place of `out` when the block ends well; on an error `out` stays as it was.

    Raises ValueError when `out` is a folder, or a file that does not begin as ours do.
    """
    require_ours(out, begins)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(out, "partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as writer:
            yield writer
            writer.flush()
            os.fsync(writer.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def require_ours(out: Path, begins: str) -> None:
    """Refuse to write over what is no earlier output: a ValueError for a folder, or for a file that begins otherwise."""
    if out.is_dir():
        raise ValueError(f"out is {str(out)!r}, a folder; expected the path of a file to write")
    if not os.path.lexists(out):
        return
    beginning = begins.encode()
    head = b""
    if out.is_file():
        with out.open("rb") as reader:
            head = reader.read(len(beginning))
    # An empty file is what a shell's redirection or `touch` left: nothing is lost with it.
    if not out.is_file() or head not in (beginning, b""):
        raise ValueError(f"out is {str(out)!r}, which is there and was not written by this command; {_ELSEWHERE}")


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `out` when the block ends well; on an error `out` stays as it was.

    Raises ValueError when `out` holds anything that an earlier output did not.
    """
    out = out.resolve()
    require_made(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, old = _beside(out, "partial"), _beside(out, "old")
    partial.mkdir()
    try:
        yield partial
        (partial / MADE).write_text("".join(f"{name}\n" for name in _names_in(partial)))
        # Again: what came into the folder while the export was written is not ours to remove.
        require_made(out)
        if out.exists():
            out.rename(old)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _beside(out: Path, suffix: str) -> Path:
    """Return a name that nobody else has, after removing what killed writers left under such names an hour ago."""
    for name in os.listdir(out.parent):
        left = out.parent / name
        if re.fullmatch(rf"\.{re.escape(out.name)}\.[0-9a-f]{{32}}\.{suffix}", name) and _age_s(left) > _LEFT_AFTER_S:
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return out.with_name(f".{out.name}.{uuid.uuid4().hex}.{suffix}")


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def require_made(out: Path) -> None:
    """Refuse to put a folder in the place of what is no earlier output: a ValueError for a file, or for other files in it."""
    if not os.path.lexists(out):
        return
    if Path.cwd().is_relative_to(out.resolve()):
        raise ValueError(f"out is {str(out)!r}, the folder of this command, or one above it; expected another")
    if not out.is_dir():
        raise ValueError(f"out is {str(out)!r}, a file; expected a folder to write")
    written = set((out / MADE).read_text().splitlines()) if (out / MADE).is_file() else set()
    strange = next((name for name in _names_in(out) if name not in written), None)
    if strange is not None:
        raise ValueError(f"out is {str(out)!r}, a folder with other files in it ({strange!r}); {_ELSEWHERE}")


def _names_in(folder: Path) -> list[str]:
    """The files and links under a folder, without the list itself, escaped so that each is one line."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(str(name).encode("unicode_escape", "surrogateescape").decode() for name in names if str(name) != MADE)
