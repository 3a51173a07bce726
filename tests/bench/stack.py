"""`python -m tests.bench.stack`: a night's life on a real stack, disturbed on purpose; no test looks at it, it takes minutes.

A deployment scheduled every minute labels the clips that are there. More clips come; while the next run labels them, one of
Ray's nodes is killed, another joins, and Prefect's server is restarted. In the end the dataset must equal one that was
labelled in peace, the first clips' files must be what they were, and Prometheus must answer every query of the dashboards.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console

from flows.cli.stack import begin, raise_up, take_down
from flows.stack.parts import parts_of
from flows.stack.process import stop
from flows.stack.stack import Stack, binary, environment, open_stack
from labeling.objects import Objects, open_objects
from labeling.store.reader import read_masklets
from labeling.store.run_state import Doing, read_state
from labeling.store.runs import list_runs, read_plan
from tests.bench.queries import Prometheus, queries
from tests.fixtures_clips import write_clip
from tests.flows.conftest import prompt_row

LIMIT_S = 1800.0
ROOT, PEACE = "s3://labels/main", "s3://labels/peace"
BROKEN = "broken.mp4"


class Clock:
    """Says what happened and how many seconds after the last thing."""

    def __init__(self, console: Console) -> None:
        self.console, self.last = console, time.monotonic()

    def say(self, what: str) -> None:
        """Print a line."""
        now = time.monotonic()
        self.console.print(f"{now - self.last:6.0f} s  {what}", soft_wrap=True, highlight=False)
        self.last = now

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until something has happened, and say so."""
        give_up_at = time.monotonic() + LIMIT_S
        while not ready():
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"waited {LIMIT_S:.0f} s for: {what}")
            time.sleep(1)
        self.say(what)


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


def add_clips(names: list[str], num_frames: int, rows: list[dict[str, object]]) -> None:
    """Put clips and their prompts into the stack's bucket."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            clip = write_clip(Path(folder) / name, num_frames=num_frames)
            open_objects("s3://videos/raw").put_file(name, clip)
            rows += [prompt_row(name, 1), prompt_row(name, 2, box_xyxy=[8.0, 8.0, 44.0, 40.0])]
    open_objects("s3://videos").put("prompts.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


def is_doing(objects: Objects, run: str) -> Doing | None:
    """What a run is at, None before it says so."""
    state = read_state(objects, run)
    return state.doing if state else None


def run_with(objects: Objects, due: set[str]) -> str:
    """The first run whose plan has exactly these videos, or an empty string."""
    for run in list_runs(objects):
        planned = objects.stat(f"runs/{run}/plan.json") is not None and read_plan(objects, run)["will_run"]
        if planned and {entry["key"] for entry in planned} == due:
            return run
    return ""


def labels(root: str) -> dict[tuple[str, str], tuple[object, ...]]:
    """Every masklet of a dataset: verdict and, for each frame, the mask with all its scores."""
    return {
        (found.video.ref.key, found.track_id): (repr(found.verdict), *map(repr, found.frames))
        for found in read_masklets(root)
    }


def files(objects: Objects) -> dict[str, str]:
    """The ETag of every file of masks, tracks and videos."""
    return {stat.key: stat.etag for table in ("masks/", "tracks/", "videos/") for stat in objects.list(table)}


def flow_runs() -> list[tuple[str, bool, str]]:
    """State, whether the schedule made it, and message of each run of the nightly flow that ended, in order."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        nightly = client.read_deployment_by_name("nightly/stack-nightly").id
        found = [run for run in client.read_flow_runs(limit=200) if run.deployment_id == nightly and run.start_time]
    found.sort(key=lambda run: run.start_time)
    return [(run.state_name, run.auto_scheduled, (run.state.message or "") if run.state else "") for run in found]


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


def disturb(stack: Stack, clock: Clock) -> None:
    """Kill a node, let another join, restart Prefect's server."""
    parts = {part.name: part for part in parts_of(stack)[0]}
    kill_node(stack, "ray-node-1")
    clock.say("  ray-node-1 was killed")
    begin(stack, parts["ray-node-1"])
    clock.say("  another node has joined")
    stop(stack.running.pop("prefect"))
    clock.say("  Prefect's server is down")
    begin(stack, replace(parts["prefect"], after=lambda: None))
    clock.say("  Prefect's server is up again")


def night(stack: Stack, console: Console, *, first: int, second: int, num_frames: int) -> None:
    """Live through it, and say how it went; AssertionError where it went wrong."""
    rows: list[dict[str, object]] = []
    clock, began = Clock(console), time.time()
    raise_up(stack, only=["postgres", "s3"], console=console)
    with working_with(stack):
        objects = open_objects(ROOT)
        early, late = [f"{n}.mp4" for n in range(first)], [f"{n}.mp4" for n in range(first, first + second)]
        add_clips(early, num_frames, rows)
        raise_up(stack, console=console)
        clock.say("the stack is up")
        clock.wait_for("a scheduled run has found the clips", lambda: bool(run_with(objects, set(early))))
        one = run_with(objects, set(early))
        clock.wait_for("and has come to its end", lambda: is_doing(objects, one) is Doing.DONE)
        before = files(objects)

        open_objects("s3://videos/raw").put(BROKEN, b"a film about dogs\n" * 50)
        rows.append(prompt_row(BROKEN, 1))
        add_clips(late, num_frames, rows)
        clock.wait_for("a scheduled run has found the new clips", lambda: bool(run_with(objects, {*late, BROKEN})))
        two = run_with(objects, {*late, BROKEN})
        clock.wait_for("and has labelled one of them", lambda: any(objects.list(f"ledger/pending/{two}/")))
        disturb(stack, clock)
        assert is_doing(objects, two) is Doing.LABEL, "the run ended before the disturbance did: raise --frames or --second"
        clock.wait_for("it has come to its end", lambda: is_doing(objects, two) is Doing.DONE)
        clock.wait_for("the next scheduled run has come to its end", lambda: any(
            run > two and is_doing(objects, run) is Doing.DONE for run in list_runs(objects)
        ))
        check_runs(objects, one, two, console)
        kept = {key: etag for key, etag in files(objects).items() if key in before}
        assert kept == before, "a file of the first run was touched"
        console.print(f"equal: {len(before)} files that the first run wrote, after the second")
        compare_with_peace(stack, clock)
        ask_prometheus(stack, began, console)


def check_runs(objects: Objects, one: str, two: str, console: Console) -> None:
    """The two runs, and the one after them, were made by the schedule, and Prefect knows how they ended."""
    ended = [(state, scheduled, message) for state, scheduled, message in flow_runs() if message]
    for state, scheduled, message in ended:
        console.print(f"  {state}{', by schedule' if scheduled else ''}: {message}", soft_wrap=True, highlight=False)
    for run in (one, two):
        (found,) = [(state, scheduled) for state, scheduled, message in ended if f"run {run} " in message]
        assert found == ("Completed", True), f"{run}: {found}"
    state = read_state(objects, two)
    assert state is not None
    assert state.num_restarts > 0, "no actor was lost"
    console.print(f"lost in {two}: {state.num_restarts} actors; dead letters: {dict(state.dead)}")


def compare_with_peace(stack: Stack, clock: Clock) -> None:
    """Label the same clips into another root, undisturbed, and compare row for row."""
    with tempfile.TemporaryDirectory() as folder:
        places = ["source.uri=s3://videos/raw", "prompts.uri=s3://videos/prompts.jsonl", f"store.root={PEACE}"]
        cluster = ["cluster=ray", "cluster.cpus_per_actor=1", "cluster.gpus_per_actor=0"]
        others = [f"run.review_url={folder}/review.sqlite", f"run.scratch={folder}/scratch", "run.progress=false", "model=nano"]
        command = [binary("labeling"), "run", *places, *cluster, *others]
        done = subprocess.run(command, env=environment(stack), capture_output=True, text=True, check=False)
    # A run with dead letters says so with its exit code, and this one has one.
    clock.say(f"the same clips were labelled in peace (exit code {done.returncode})")
    disturbed, peaceful = labels(ROOT), labels(PEACE)
    assert peaceful, done.stdout + done.stderr
    assert disturbed.keys() == peaceful.keys(), disturbed.keys() ^ peaceful.keys()
    differ = [key for key, rows in peaceful.items() if rows != disturbed[key]]
    assert not differ, f"masklets that differ: {differ}"
    masks = sum(len(rows) - 1 for rows in peaceful.values())
    clock.console.print(f"equal: {len(peaceful)} masklets with verdicts, {masks} masks with scores")


def ask_prometheus(stack: Stack, began: float, console: Console) -> None:
    """Put every query of dashboards and alerts to the stack's Prometheus."""
    if not stack.alive("prometheus"):
        console.print("no Prometheus is installed: nothing was asked")
        return
    prometheus = Prometheus(f"http://127.0.0.1:{stack.ports['prometheus']}", began, time.time())
    asked = queries()
    silent = {query: why for query in asked if (why := prometheus.unanswered(query))}
    for query, why in silent.items():
        console.print(f"  {query.where}: {why}: {query.expr}", soft_wrap=True, highlight=False)
    console.print(f"Prometheus answers {len(asked) - len(silent)} of {len(asked)} queries of dashboards and alerts")
    assert not (sick := prometheus.sick_rules()), sick
    assert not silent


def main() -> None:
    """Put a stack up, live through the night and take it down."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--folder", type=Path, default=Path("outputs/stack-night"))
    asked.add_argument("--first", type=int, default=2, help="clips at first")
    asked.add_argument("--second", type=int, default=10, help="clips that come later")
    asked.add_argument("--frames", type=int, default=160)
    given, console = asked.parse_args(), Console(width=140)
    stack = open_stack(given.folder)
    stack.cron = "* * * * *"
    try:
        night(stack, console, first=given.first, second=given.second, num_frames=given.frames)
    finally:
        take_down(stack, console=Console(quiet=True))


if __name__ == "__main__":
    main()
