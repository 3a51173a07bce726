"""`labeling bench`, put together: every pair measured in a child, the peer beside it, a table, numbers and a picture."""

import dataclasses
import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.bench.child import measured_apart
from flows.bench.compare import PeerRow, compare
from flows.bench.config import BenchConfig
from flows.bench.machine import describe_machine
from flows.bench.measure import Asked, Row
from flows.bench.peer_process import check_checkout
from flows.configure import as_dict
from flows.run.out_folder import out_folder
from flows.stack.local_s3 import local_s3
from labeling.errors import BadConfiguration
from labeling.track.predictor import UNTRAINED, default_device, recipe_of

log = logging.getLogger(__name__)

BUCKET = "bench"
NUMBERS, PICTURE = "bench.json", "bench.png"


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured, with what it was measured on and of."""

    date: str
    command: str
    machine: dict[str, Any]
    config: dict[str, Any]
    checkpoint_sha256: str
    rows: list[Row]
    peer: list[PeerRow]


def run_bench(config: BenchConfig, console: Console, *, command: str = "labeling bench") -> Bench:
    """Measure what a configuration names, print it, and write it into `out` where that is given.

    Raises:
        BadConfiguration: what cannot be measured here, a peer that cannot run, an `out` that holds other files.
    """
    from flows.bench.output import print_bench
    from flows.bench.plot import write_plot

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
        asked = [
            Asked(
                recipe, config.model.checkpoint, device, objects, length, size_hw, config.repeats, bucket,
                config.peer_precision, config.peer_from, config.encode_batch,
            )
            for objects, length in product(config.objects, config.lengths)
        ]
        for one in asked:
            log.info("measuring objects=%d, length=%d", one.objects, one.length)
            rows.append(measured_apart(one, threads=threads))
    if checkout is not None:
        log.info("measuring beside %s", checkout)
    peer = [] if checkout is None else compare(checkout, asked, threads=threads)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Bench(now, command, describe_machine(device), as_dict(config), recipe.checkpoint_sha256, rows, peer)


def checked_device(asked: str | None) -> str:
    """Return the device to measure on; BadConfiguration where torch has none of that name here."""
    import torch

    if asked is None:
        return default_device()
    try:
        torch.empty(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        told = (str(error).splitlines() or [""])[0]
        raise BadConfiguration(f"device is {asked!r}; expected cpu, or a GPU that torch can use here ({told})") from error
    return asked


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


def write_bench(path: Path, bench: Bench) -> None:
    """Write all numbers as JSON, those that follow from others too."""
    values = dataclasses.asdict(bench)
    for row, measured_row in zip(values["rows"], bench.rows, strict=True):
        row["video_hours_per_day"] = measured_row.video_hours_per_day
        row["end_to_end_share"] = measured_row.end_to_end_share
    for row, compared in zip(values["peer"], bench.peer, strict=True):
        row["speed_ratio"], row["whole_speed_ratio"] = compared.speed_ratio, compared.whole_speed_ratio
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="ascii")


def read_bench(path: Path) -> Bench:
    """Read back what `write_bench` wrote."""
    values = json.loads(path.read_text(encoding="ascii"))
    rows = [Row(**_fields(Row, row)) for row in values["rows"]]
    return Bench(**{**values, "rows": rows, "peer": [PeerRow(**_fields(PeerRow, row)) for row in values["peer"]]})


def _fields(kind: type[Row] | type[PeerRow], values: dict[str, Any]) -> dict[str, Any]:
    return {f.name: values[f.name] for f in dataclasses.fields(kind)}


def is_untrained(bench: Bench) -> bool:
    """Return whether the network ran with random weights: speeds hold, masks mean nothing."""
    return bench.checkpoint_sha256 == UNTRAINED
