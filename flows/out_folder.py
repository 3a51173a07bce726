"""The folder or file that a command writes its findings into, where one was asked for."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from labeling.errors import BadConfiguration
from labeling.export.replace import replaced_file, replaced_folder


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
        except (ValueError, OSError) as error:
            raise BadConfiguration(f"out: {error}") from error
        yield folder


@contextmanager
def written_over(out: Path, *, begins: str) -> Iterator[TextIO]:
    """Give a file that takes the place of `out` at the end; BadConfiguration for one that does not begin as ours do."""
    with ExitStack() as stack:
        try:
            writer = stack.enter_context(replaced_file(out.expanduser(), begins=begins))
        except (ValueError, OSError) as error:
            raise BadConfiguration(f"out: {error}") from error
        yield writer
