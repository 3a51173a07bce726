"""The network works on the next frames in a thread of its own while this one's masks are coded, judged and written.

On a processor it has to be the only one that computes with torch: GNU's OpenMP gives every thread that does a team of its own,
and once all teams together are larger than the machine, each of them sleeps at every barrier where it would have spun. A small
network, whose operations are over in tens of microseconds, then takes twice as long.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TypeVar

T = TypeVar("T")

DEPTH = 2       # steps begun before they are asked for
_END = object()


def ahead(items: Iterator[T], *, depth: int = DEPTH) -> Generator[T, None, None]:
    """Yield what `items` yields, in its order, while a thread is up to `depth` items ahead.

    The thread works in the arithmetic (autocast, no gradients) of whoever asks first; an error comes where its item
    would have come. Closing waits for the step that is under way.
    """
    import torch

    arithmetic = [(kind, torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    gradients = torch.is_grad_enabled()

    def step() -> object:
        with ExitStack() as ambient:
            ambient.enter_context(torch.set_grad_enabled(gradients))
            for kind, dtype in arithmetic:
                ambient.enter_context(torch.autocast(kind, dtype))
            return next(items, _END)

    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tracking")
    try:
        coming = deque(worker.submit(step) for _ in range(depth))
        while (item := coming.popleft().result()) is not _END:
            coming.append(worker.submit(step))
            yield item      # type: ignore[misc]
    finally:
        worker.shutdown(wait=True, cancel_futures=True)


@contextmanager
def without_team() -> Iterator[None]:
    """Compute in this thread alone within the block, so that torch starts no team for it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
