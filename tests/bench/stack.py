"""`python -m tests.bench.stack`: a night's life on a real stack, disturbed on purpose; no test looks at it, it takes minutes.

A deployment scheduled every minute labels the clips that are there. More clips come; while the next run labels them, one of
Ray's nodes is killed, Prefect's server is restarted and another node joins. In the end the dataset must equal one that was
labelled in peace, and the first clips' files must be what they were.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console

from flows.commands.stack import begin, raise_up
from flows.stack import Stack, environment, open_stack
from flows.stack_parts import parts_of
from flows.stack_process import stop
from labeling.objects import Objects, open_objects
from labeling.store.reader import read_masklets
from labeling.store.runs import list_runs, read_plan, read_summary
from tests.fixtures_clips import write_clip
from tests.flows.conftest import prompt_row

LIMIT_S = 3600.0
ROOT = "s3://labels/main"


@contextmanager
def working_with(stack: Stack) -> Iterator[None]:
    """Have the stack's environment for the block."""
    before = dict(os.environ)
    os.environ.update(environment(stack))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def wait_for(what: str, ready: Callable[[], bool], console: Console) -> float:
    """Wait until something has happened; returns seconds."""
    started = time.monotonic()
    while not ready():
        if time.monotonic() - started > LIMIT_S:
            raise TimeoutError(f"waited {LIMIT_S:.0f} s for: {what}")
        time.sleep(1)
    console.print(f"{time.monotonic() - started:6.0f} s  {what}")
    return time.monotonic() - started


def add_clips(names: list[str], num_frames: int, rows: list[dict[str, object]]) -> None:
    """Put clips and their prompts into the stack's bucket."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            clip = write_clip(Path(folder) / name, num_frames=num_frames)
            open_objects("s3://videos/raw").put_file(name, clip)
            rows += [prompt_row(name, 1), prompt_row(name, 2, box_xyxy=[8.0, 8.0, 44.0, 40.0])]
    open_objects("s3://videos").put("prompts.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


def finished(objects: Objects) -> list[str]:
    """The runs that came to their end."""
    return [run for run in list_runs(objects) if objects.stat(f"runs/{run}/summary.json") is not None]


def labels(root: str) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """Every current mask of a dataset."""
    return {
        (found.video.ref.key, found.track_id): [(frame.frame_idx, str(frame.rle)) for frame in found.frames]
        for found in read_masklets(root)
    }


def files(objects: Objects) -> dict[str, str]:
    """The ETag of every file of masks and tracks."""
    return {stat.key: stat.etag for table in ("masks/", "tracks/") for stat in objects.list(table)}


def kill_node(stack: Stack, name: str) -> None:
    """End a node of Ray at once, with all that it runs."""
    process = stack.running.pop(name).process()
    assert process is not None
    for one in [*process.children(recursive=True), process]:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    stack.save()


def disturb(stack: Stack, console: Console) -> None:
    """Kill a node, restart Prefect's server, let another node join."""
    parts = {part.name: part for part in parts_of(stack)[0]}
    kill_node(stack, "ray-node-1")
    console.print("          ray-node-1 was killed")
    stop(stack.running.pop("prefect"))
    console.print("          prefect's server is down")
    begin(stack, parts["prefect"])
    console.print("          prefect's server is up again")
    begin(stack, parts["ray-node-1"])
    console.print("          another node has joined")


def night(stack: Stack, console: Console, *, clips: int, num_frames: int) -> None:
    """Live through it, and say how it went; AssertionError where it went wrong."""
    rows: list[dict[str, object]] = []
    raise_up(stack, only=["postgres", "s3"], console=console)
    with working_with(stack):
        objects = open_objects(ROOT)
        add_clips([f"{n}.mp4" for n in range(clips)], num_frames, rows)
        raise_up(stack, console=console)
        wait_for("the first scheduled run has labelled what was there", lambda: len(finished(objects)) >= 1, console)
        wait_for("and is published", lambda: objects.stat("snapshots/v000001.json") is not None, console)
        before, first_runs = files(objects), set(list_runs(objects))

        add_clips([f"{n}.mp4" for n in range(clips, 2 * clips)], num_frames, rows)

        def second() -> str:
            """The run that has the new clips to label."""
            planned = (run for run in list_runs(objects) if run not in first_runs and objects.stat(f"runs/{run}/plan.json"))
            return next((run for run in planned if read_plan(objects, run)["will_run"]), "")

        wait_for("the next scheduled run has found the new clips", lambda: bool(second()), console)
        run = second()
        wait_for("and labelled one of them", lambda: any(objects.list(f"ledger/pending/{run}/")), console)
        disturb(stack, console)
        wait_for("all clips are labelled", lambda: len(labels(ROOT)) == 4 * clips, console)

        due = {entry["key"] for entry in read_plan(objects, run)["will_run"]}
        assert due == {f"{n}.mp4" for n in range(clips, 2 * clips)}, due
        assert before.items() <= files(objects).items(), "a file of the first run was touched"
        done = [read_summary(objects, one) for one in finished(objects)]
        console.print(f"          runs: {[(one.run_id, one.num_jobs, one.num_failed) for one in done]}")
        compare_with_peace(console)


def compare_with_peace(console: Console) -> None:
    """Label the same clips into another root, undisturbed, and compare mask for mask."""
    from flows.configure import load_config
    from flows.label_dataset import label_dataset

    places = ["source.uri=s3://videos/raw", "prompts.uri=s3://videos/prompts.jsonl", "store.root=s3://labels/peace"]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        queue = f"run.review_url={folder}/review.sqlite"
        label_dataset(load_config([*places, queue, "cluster=ray", "cluster.cpus_per_actor=1", "cluster.gpus_per_actor=0",
                                   "run.progress=false"]))
    console.print(f"{time.monotonic() - started:6.0f} s  the same clips, labelled in peace")
    disturbed, peaceful = labels(ROOT), labels("s3://labels/peace")
    assert disturbed == peaceful, "the disturbed dataset differs"
    masks = sum(map(len, peaceful.values()))
    console.print(f"          equal: {len(peaceful)} masklets, {masks} masks")


def main() -> None:
    """Put a stack up, live through the night and take it down."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--folder", type=Path, default=Path("outputs/stack-night"))
    asked.add_argument("--clips", type=int, default=6)
    asked.add_argument("--frames", type=int, default=48)
    given, console = asked.parse_args(), Console(width=140)
    stack = open_stack(given.folder)
    stack.cron = "* * * * *"
    try:
        night(stack, console, clips=given.clips, num_frames=given.frames)
    finally:
        for name in reversed(list(stack.running)):
            stop(stack.running.pop(name))
            stack.save()


if __name__ == "__main__":
    main()
