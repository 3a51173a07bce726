"""A clock for stages: seconds by name, put around the methods of one predictor and the functions beside it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from labeling import rle

P = ParamSpec("P")
R = TypeVar("R")

# the predictor's methods that are a stage each; none calls another
NETWORK = {
    "encode_image": "encode image", "condition_on_memory": "memory attention",
    "decode": "decoder", "encode_memory": "memory encoder",
}
DECODE, RUNS = "decode video", "RLE"


class Clock:
    """Adds up seconds by stage; on a GPU it waits for what was begun, before and after, so that each stage pays its own."""

    def __init__(self, device: str) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._device = device

    def wrapped(self, function: Callable[P, R], stage: str) -> Callable[P, R]:
        """Return the function with its time added to a stage."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            settle(self._device)
            started = time.perf_counter()
            answer = function(*args, **kwargs)
            settle(self._device)
            self.seconds[stage] += time.perf_counter() - started
            return answer

        return timed


class _ClockedFrames:
    """Frames by index whose reading is a stage."""

    def __init__(self, frames: Any, clock: Clock) -> None:
        self._frames, self._read = frames, clock.wrapped(frames.__getitem__, DECODE)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, position: int) -> Any:
        return self._read(position)


@contextmanager
def clocked(predictor: Any, clock: Clock) -> Iterator[None]:
    """Time the stages of this predictor, the reading of its frames and run-length coding while the block runs."""
    methods = {name: clock.wrapped(getattr(predictor, name), stage) for name, stage in NETWORK.items()}
    start, encode = predictor.init_state, rle.encode

    def init_state(frames: Any, **kwargs: Any) -> Any:
        return start(_ClockedFrames(frames, clock), **kwargs)

    methods["init_state"] = init_state
    for name, method in methods.items():
        setattr(predictor, name, method)
    rle.encode = clock.wrapped(encode, RUNS)
    try:
        yield
    finally:
        rle.encode = encode
        for name in methods:
            delattr(predictor, name)


def settle(device: str) -> None:
    """Wait until the GPU has done what it was given; nothing on a CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
