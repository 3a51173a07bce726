"""Work in portions that the device has memory for: what does not fit is tried again with less, and that is said."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from sam2.modeling.config import ModelConfig

T = TypeVar("T")

log = logging.getLogger(__name__)

CACHE_BYTES = 8 * 2**20     # of the widest map in the memory attention: beyond it a processor waits for its memory
FEWEST = 2                  # objects, which still share the frame's first self-attention


@dataclass(slots=True)
class Portion:
    """How many of a kind are worked on at once, at most; smaller once the device has run out of memory."""

    what: str
    most: int

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"{self.what} at once: {self.most}; expected at least 1")


def objects_at_once(config: ModelConfig, device: torch.device) -> int:
    """Return how many objects to track at once: on a processor those whose maps fit its cache, elsewhere all."""
    if device.type != "cpu":
        return sys.maxsize
    bytes_each = 4 * config.feature_side**2 * config.memory_attention_ffn_dim
    return max(FEWEST, CACHE_BYTES // bytes_each)


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
