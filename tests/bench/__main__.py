"""`make bench`: a few figures of this machine, printed as a table; see BENCHMARKS.md. No test looks at them."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from flows.bench.bench import measured
from flows.configure import load_bench
from labeling import rle
from labeling.ingest.prompts import PromptTable
from labeling.qc.signals import SignalMeter
from labeling.store.keys import LabelRecipe
from labeling.store.ledger import Ledger
from labeling.store.plan import make_plan
from labeling.types import FrameMask, Prompt, VideoRef

TOP = Path(__file__).resolve().parents[2]
HD_HW = (1080, 1920)
NUM_VIDEOS = 100_000


def best_ms(work: Callable[[], object], *, repeats: int = 20) -> float:
    """The shortest of several runs, in milliseconds: what the work costs when nothing else is in the way."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return 1000 * min(seconds)


def ellipse_HW() -> np.ndarray:
    """A 1080p mask of about 200,000 pixels."""
    y, x = np.mgrid[: HD_HW[0], : HD_HW[1]]
    return ((y - 540) / 200) ** 2 + ((x - 960) / 330) ** 2 < 1


def mask_rows() -> list[tuple[str, str]]:
    """Run-length coding and signals of one 1080p mask."""
    from pycocotools import mask as coco

    mask_HW = ellipse_HW()
    runs = rle.encode(mask_HW)
    one = FrameMask(0, 0.0, runs, rle.area(runs), rle.box_xywh(runs), 0.9, 5.0)
    frames = [FrameMask(i, i / 30, runs, one.area, one.box_xywh, 0.9, 5.0) for i in range(50)]

    def measure() -> None:
        meter = SignalMeter(HD_HW, Fraction(30), 0.0)
        for frame in frames:
            meter.add(frame)

    return [
        ("RLE of a 1080p mask, ours", f"{best_ms(lambda: rle.encode(mask_HW)):.2f} ms"),
        ("RLE of a 1080p mask, pycocotools", f"{best_ms(lambda: coco.encode(np.asfortranarray(mask_HW, np.uint8))):.2f} ms"),
        ("all QC signals of a 1080p mask", f"{best_ms(measure, repeats=5) / len(frames):.2f} ms"),
    ]


def plan_rows() -> list[tuple[str, str]]:
    """Planning over many videos, all of them new."""
    refs = [VideoRef(f"{i:016x}", f"{i}.mp4", f"/v/{i}.mp4", str(i), 1) for i in range(NUM_VIDEOS)]
    table = PromptTable({ref.key: (Prompt(1, 0, box_xyxy=(0, 0, 9, 9)),) for ref in refs})
    from labeling.store.ledger import ledger_of
    from labeling.store.schemas import LEDGER

    empty: Ledger = ledger_of(LEDGER.empty_table())
    seconds = best_ms(lambda: make_plan(refs, table, empty, LabelRecipe({}, {}), "bench"), repeats=2) / 1000
    return [(f"plan over {NUM_VIDEOS:,} new videos, listing and tables in memory", f"{seconds:.1f} s")]


def step_rows() -> list[tuple[str, str]]:
    """The model step alone: frames in memory, masks at video size counted, one object and eight."""
    overrides = ["model=nano", "objects=[1,8]", "lengths=[40]", "size_hw=[270,480]"]
    bench = measured(load_bench([*overrides, "repeats=1", "device=cpu", "end_to_end=false"]), command="make bench")
    threads = bench.machine["threads"]
    return [
        (f"nano, {row.objects} object(s), fp32, {threads} threads, model step", f"{row.frames_per_second:.1f} frames/s")
        for row in bench.rows
    ]


def memory_rows() -> list[tuple[str, str]]:
    """Peak RSS of a predictor with a window, in processes of their own."""
    command = [sys.executable, "-m", "tests.bench.window_rss"]
    told = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True, check=False)
    return [("window, nano, 2 objects", line) for line in told.stdout.splitlines()]


def main() -> None:
    """Measure and print."""
    console = Console(width=140)
    table = Table("what", "measured", box=None)
    for rows in (mask_rows, plan_rows, step_rows, memory_rows):
        for row in rows():
            table.add_row(*row)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    console.print(f"{time.strftime('%Y-%m-%d')}, {machine}")
    console.print(table)
    console.print(f"peak RSS of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
