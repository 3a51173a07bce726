"""Outputs that are whole or not there: written beside, then renamed into place."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{what}")


@contextmanager
def replaced_file(out: Path) -> Iterator[TextIO]:
    """Open a text file that takes the place of `out` when the block ends well; on an error `out` stays as it was.

    Raises ValueError when `out` is a folder.
    """
    if out.is_dir():
        raise ValueError(f"out is {str(out)!r}, a folder; expected the path of a file to write")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(out, "partial")
    try:
        with partial.open("w", encoding="ascii", newline="\n") as writer:
            yield writer
            writer.flush()
            os.fsync(writer.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _require_ours(out: Path, marker: str) -> None:
    """What is replaced must be an earlier export, so that a mistyped path costs nothing."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"out is {str(out)!r}, a file; expected a folder to write")
    if any(out.iterdir()) and not (out / marker).is_file():
        raise ValueError(f"out is {str(out)!r}, a folder with other files in it (no {marker}); expected a new or empty folder")


@contextmanager
def replaced_folder(out: Path, *, marker: str) -> Iterator[Path]:
    """Give an empty folder that takes the place of `out` when the block ends well; on an error `out` stays as it was.

    `marker` is the file by which an earlier export is known. Raises ValueError when `out` holds anything else.
    """
    _require_ours(out, marker)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, old = _beside(out, "partial"), _beside(out, "old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
