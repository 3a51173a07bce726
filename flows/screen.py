"""The console that commands print to; without a terminal, tables get the room that they need."""

import sys

from rich.console import Console

console = Console(width=None if sys.stdout.isatty() else 160)
