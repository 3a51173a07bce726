"""The folder that a command writes its findings into, where one was asked for."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from labeling.errors import BadConfiguration
from labeling.export.replace import replaced_folder


@contextmanager
def out_folder(out: str | None, *, marker: str) -> Iterator[Path | None]:
    """Give a folder that takes the place of `out` at the end; refused before anything is measured if it cannot.

    `marker` is a file that every earlier output of the command holds. BadConfiguration for an `out` with other files.
    """
    if out is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(replaced_folder(Path(out).expanduser(), marker=marker))
        except (ValueError, OSError) as error:
            raise BadConfiguration(f"out: {error}") from error
        yield folder
