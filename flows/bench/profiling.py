"""Where time and memory go: seconds by stage of one predictor, peaks of a process, and the machine that it ran on."""

import os
import platform
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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
MIB = 2**20


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


def describe_machine(device: str) -> dict[str, Any]:
    """Return platform, processor, cores, versions and, for a GPU, its name."""
    import torch

    description = {
        "platform": platform.platform(), "cpu": cpu_model(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "python": platform.python_version(), "torch": torch.__version__, "device": device, "gpu": None,
    }
    if device.startswith("cuda"):
        description["gpu"] = torch.cuda.get_device_name(device)
    return description


def cpu_model() -> str:
    """Return the processor's name as the kernel gives it, or its kind where the kernel gives none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def peak_rss_mib() -> float:
    """Return the most memory that this process has held, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / MIB for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        # Unlike VmHWM this may count what the parent held before it started this program.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def peak_gpu_mib(device: str) -> float | None:
    """Return the most GPU memory that tensors of this process have held, in MiB; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device) / MIB
