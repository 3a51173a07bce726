"""Work in portions that the device has memory for: what does not fit is tried again with less, and that is said."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Portion:
    """How many of a kind are worked on at once, at most; smaller once the device has run out of memory."""

    what: str
    most: int

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"{self.what} at once: {self.most}; expected at least 1")


def in_portions(portion: Portion, count: int, work: Callable[[slice], T], *, make_room: Callable[[], bool]) -> list[T]:
    """Return `work` of consecutive slices of `count` rows, in order.

    Out of memory, the device is first relieved by `make_room` (which says whether it could), then portions are halved.
    Raises torch.OutOfMemoryError where a single row does not fit.
    """
    done: list[T] = []
    first = 0
    while first < count:
        rows = slice(first, min(first + portion.most, count))
        try:
            done.append(work(rows))
            first = rows.stop
            continue
        except torch.OutOfMemoryError:
            if not (relieved := make_room()) and rows.stop - rows.start == 1:
                raise
        # out here the failed attempt's tensors are free again: the error that held them is gone
        if not relieved:
            portion.most = (rows.stop - rows.start) // 2
            log.warning("the device is out of memory: going on with %d %s at once", portion.most, portion.what)
    return done
