"""The console that commands print to; without a terminal, tables get the room that they need.

What it is given to show may hold names that somebody else chose: no control character of theirs reaches the terminal. In
texts with markup they are put by `escape`.
"""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from labeling.logs import VISIBLE

__all__ = ["console", "escape", "plain_console"]


class PlainConsole(Console):
    """A console that shows control characters as signs of one column, and `:words:` as they are."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what the renderable comes to, text made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(VISIBLE), segment.style)

    def on_broken_pipe(self) -> None:
        """End quietly: whoever reads has seen enough."""
        self.quiet = True
        raise SystemExit(0)


def plain_console(**options: Any) -> PlainConsole:
    """Make a console; `options` are those of rich's `Console`."""
    return PlainConsole(emoji=False, **options)


console = plain_console(width=None if sys.stdout.isatty() else 160)
