"""What was measured on, and what a process took of it."""

import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

MIB = 2**20


def describe_machine(device: str) -> dict[str, Any]:
    """Return platform, processor, cores, versions and, for a GPU, its name."""
    import torch

    told = {
        "platform": platform.platform(), "cpu": cpu_model(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "python": platform.python_version(), "torch": torch.__version__, "device": device, "gpu": None,
    }
    if device.startswith("cuda"):
        told["gpu"] = torch.cuda.get_device_name(device)
    return told


def cpu_model() -> str:
    """Return the processor's name as the kernel gives it, or its kind where the kernel gives none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


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
