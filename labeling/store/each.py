"""Calls on many objects: at once where each waits for a server, one after another in a folder, where threads only cost."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from labeling.objects import Objects

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_THREADS = 16
_AT_ONCE = 1024  # answers held at a time


def each(objects: Objects, call: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """Yield `call(item)` in the order of the items."""
    if not objects.root.startswith("s3://"):
        yield from map(call, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := list(islice(rest, _AT_ONCE)):
            yield from threads.map(call, some)
