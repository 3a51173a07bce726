"""The folder or file that a command writes its findings into, where one was asked for."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from labeling.errors import BadConfiguration
from labeling.export.outputs import replaced_file, replaced_folder


@contextmanager
def out_folder(out: str | None) -> Iterator[Path | None]:
    """Give a folder that takes the place of `out` at the end; refused before anything is measured if it cannot.

    BadConfiguration for an `out` that holds what no earlier output did.
    """
    if out is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(replaced_folder(Path(out).expanduser()))
        except ValueError as error:
            raise BadConfiguration(f"out: {error}") from error
        except OSError as error:
            raise BadConfiguration(f"out: {error.filename}: {error.strerror}; give a path that can be written") from error
        yield folder


@contextmanager
def written_over(out: Path, *, begins: str) -> Iterator[TextIO]:
    """Give a file that takes the place of `out` at the end; BadConfiguration for one that does not begin as ours do."""
    with ExitStack() as stack:
        try:
            writer = stack.enter_context(replaced_file(out.expanduser(), begins=begins))
        except ValueError as error:
            raise BadConfiguration(f"out: {error}") from error
        except OSError as error:
            raise BadConfiguration(f"out: {error.filename}: {error.strerror}; give a path that can be written") from error
        yield writer


def check_folder(out: Path, name: str = "--out") -> None:
    """Refuse a place where no folder can be made or written to, before the work for it is done."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written to" if there.is_dir() else "is no folder"
        raise BadConfiguration(f"{name} is {str(out)!r}, but {there} {what}; expected a folder, or where one can be made")
