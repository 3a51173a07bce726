"""`labeling bench`, put together: every pair measured in a child, the peer beside it, a table, numbers and a picture."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from rich.console import Console

from flows.bench.compare import compare
from flows.bench.config import BenchConfig
from flows.bench.measure import measured_apart
from flows.bench.peer_process import check_checkout
from flows.bench.profiling import describe_machine
from flows.bench.results import Bench, BenchCase, write_bench
from flows.configure import as_dict
from flows.run.out_folder import out_folder
from flows.stack.local_s3 import local_s3
from labeling.errors import BadConfiguration
from labeling.track.predictor import default_device, recipe_of

log = logging.getLogger(__name__)

BUCKET = "bench"
NUMBERS, PICTURE = "bench.json", "bench.png"


def run_bench(config: BenchConfig, console: Console, *, command: str = "labeling bench") -> Bench:
    """Measure what a configuration names, print it, and write it into `out` where that is given.

    Raises:
        BadConfiguration: what cannot be measured here, a peer that cannot run, an `out` that holds other files.
    """
    from flows.bench.report import print_bench, write_plot

    with out_folder(config.out) as folder:
        bench = measured(config, command=command)
        if folder is not None:
            write_bench(folder / NUMBERS, bench)
            write_plot(folder / PICTURE, bench)
    print_bench(bench, console)
    if config.out is not None:
        console.print(f"{config.out}: {NUMBERS}, {PICTURE}", markup=False, soft_wrap=True)
    return bench


def measured(config: BenchConfig, *, command: str) -> Bench:
    """Measure every pair of `objects` and `lengths`."""
    import torch

    recipe, device = recipe_of(config.model, config.precision, config.tracker), checked_device(config.device)
    checkout = None if config.peer is None else check_checkout(Path(config.peer))
    threads, size_hw = torch.get_num_threads(), (config.size_hw[0], config.size_hw[1])
    rows = []
    with _served(config.end_to_end) as bucket:
        cases = [
            BenchCase(
                recipe, config.model.checkpoint, device, objects, length, size_hw, config.repeats, bucket,
                config.peer_precision, config.peer_from, config.encode_batch,
            )
            for objects, length in product(config.objects, config.lengths)
        ]
        for case in cases:
            log.info("measuring objects=%d, length=%d", case.objects, case.length)
            rows.append(measured_apart(case, threads=threads))
    if checkout is not None:
        log.info("measuring beside %s", checkout)
    peer = [] if checkout is None else compare(checkout, cases, threads=threads)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Bench(now, command, describe_machine(device), as_dict(config), recipe.checkpoint_sha256, rows, peer)


def checked_device(device: str | None) -> str:
    """Return the device to measure on; BadConfiguration where torch has none of that name here."""
    import torch

    if device is None:
        return default_device()
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise BadConfiguration(f"device is {device!r}; expected cpu, or a GPU that torch can use here ({reason})") from error
    return device


@contextmanager
def _served(end_to_end: bool) -> Iterator[str | None]:
    """Serve a bucket from memory while the block runs, where passes end to end are asked for."""
    if not end_to_end:
        yield None
        return
    if importlib.util.find_spec("moto") is None:
        raise BadConfiguration(
            "end_to_end=true needs moto's server: pip install 'samurai-labeling[demo]', or give end_to_end=false"
        )
    import boto3

    with local_s3():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"
