"""Many videos: `python -m tests.bench.scale plan|run|pool [COUNT]`; no video is opened and nothing is tracked.

`plan` lists a folder of COUNT files whose ledger says that all are done. `run` is `labeling run` on a whole store of COUNT
videos in which nothing is due. `pool` sends COUNT jobs of 1 ms through the
pool, in chunks as a labelling run does, and prints what each costs the driver and how its memory grows.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow

from flows.configure import load_config
from flows.label_dataset import Feed
from flows.run.plan import plan_run
from flows.run.progress import RunProgress, shown
from labeling.config import LabelConfig
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Job, Receipt
from labeling.objects import Objects, open_objects
from labeling.pool.pool import run_jobs
from labeling.store import layout, schemas
from labeling.store.parquet import to_bytes
from labeling.store.plan import Plan
from labeling.store.publish import publish
from labeling.store.snapshots import Snapshot
from labeling.types import Prompt, VideoRef
from tests.labeling.store.made_store import write_job

SLEEP_S = 0.001
NANO = ("model=nano", "model.allow_untrained=true")


class Sleeper:
    """A tracker that only sleeps."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def __call__(self, job: Job, *, deadline: float) -> Receipt:
        time.sleep(SLEEP_S)
        return Receipt(job.name, job.video.video_id, num_frames=1, num_objects=1)


def bench_run(count: int) -> None:
    """Time `labeling run` as a process of its own, over `count` videos in a store, all of them done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = made_source(folder, count)
        objects = open_objects(config.store.root)
        _, plan = plan_run(config, objects, "first", corrections=PromptTable({}))
        for job in plan.jobs:
            write_job(objects, job, folder / "scratch")
        publish(objects, config.qc, run_id="first")
        places = [f"source.uri={config.source.uri}", f"prompts.uri={config.prompts.uri}", f"store.root={config.store.root}"]
        for _ in range(3):      # the first one opens the reviews
            wall = time.perf_counter()
            command = [sys.executable, "-c", "from flows.cli import main; main()", "run", *places, *NANO]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"run over {count:,} videos, none due: {time.perf_counter() - wall:.1f} s; {told.splitlines()[1].strip()}")


def made_source(folder: Path, count: int) -> LabelConfig:
    """Write `count` files that stand for videos and a prompt for each."""
    (folder / "videos").mkdir()
    for k in range(count):
        (folder / "videos" / f"{k:06d}.mp4").write_bytes(b"%d" % k)
    rows = {"video": [f"{k:06d}.mp4" for k in range(count)], "object_id": [1] * count, "frame_idx": [0] * count}
    boxes = {"box_xyxy": [[1.0, 1.0, 9.0, 9.0]] * count}
    pq.write_table(pa.table({**rows, **boxes}), folder / "prompts.parquet")
    return load_config([
        f"source.uri={folder / 'videos'}", f"prompts.uri={folder / 'prompts.parquet'}", f"store.root={folder / 'store'}", *NANO
    ])


def bench_plan(count: int) -> None:
    """Time a plan over `count` files in a folder, all of them done."""
    with tempfile.TemporaryDirectory() as name:
        config = made_source(Path(name), count)
        objects = open_objects(config.store.root)
        _, plan = plan_run(config, objects, "first", corrections=PromptTable({}))
        commit_ledger(objects, plan)
        for _ in range(2):
            wall, cpu = time.perf_counter(), time.process_time()
            _, plan = plan_run(config, objects, "again", corrections=PromptTable({}))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"plan over {count:,} videos, {len(plan.jobs)} due: {wall:.1f} s, {cpu:.1f} s of CPU", flush=True)


def commit_ledger(objects: Objects, plan: Plan) -> None:
    """Leave behind what a run of the plan would have left in the ledger, and a snapshot that names it."""
    rows = [
        {
            "video_id": job.video.video_id, "object_id": o, "label_version": job.label_versions[o], "key": job.keys[o],
            "batch": job.batch, "run_id": "first", "written_at": "", "components": "{}",
        }
        for job in plan.jobs for o in job.keys
    ]
    key = layout.compact(1)
    objects.put(key, to_bytes(pa.Table.from_pylist(rows, schema=schemas.LEDGER)))
    snapshot = Snapshot(1, None, "first", "", key, "", "", "", "", {}, {})
    objects.put(layout.snapshot(1), snapshot.to_json())


@flow(name="bench-pool", validate_parameters=False)
def pool_flow(count: int) -> None:
    """Do with sleeping jobs what `flows.label_dataset.label` does with real ones."""
    jobs = made_jobs(count)
    with tempfile.TemporaryDirectory() as name:
        config = load_config([f"store.root={name}", "run.progress=false", "cluster=laptop"])
        chunk, progress = max(config.run.chunk_size, -(-len(jobs) // config.run.max_chunks)), RunProgress(len(jobs))
        tenths = {-(-len(jobs) * tenth // (10 * chunk)) for tenth in (1, 5, 10)}
        on_event = progress.note
        stream = run_jobs(Sleeper(), jobs, cluster=config.cluster, run=config.run, on_event=on_event)
        with shown(progress, enabled=False) as redraw:
            feed = Feed(stream, open_objects(name), {job.name: job for job in jobs}, progress, redraw)
            feed.take(chunk)                       # Ray and the workers are up
            first, wall, cpu, first_mib = progress.num_over, time.perf_counter(), time.process_time(), rss_mib()
            while progress.num_over < len(jobs):
                feed.take(min(chunk, len(jobs) - progress.num_over))
                if feed.num_chunks in tenths:
                    print(f"{progress.num_over:,} jobs: driver {rss_mib():.0f} MiB (from {first_mib:.0f})", flush=True)
            wall, cpu, done = time.perf_counter() - wall, time.process_time() - cpu, progress.num_over - first
        print(
            f"pool, {len(jobs):,} jobs of {1000 * SLEEP_S:.0f} ms in {feed.num_chunks} chunks, {progress.num_failed} failed; "
            f"after the first: {1000 * wall / done:.2f} ms a job, driver {1000 * cpu / done:.2f} ms of CPU a job"
        )


def bench_pool(count: int) -> None:
    """Time `count` sleeping jobs."""
    logging.getLogger("prefect").setLevel(logging.ERROR)
    pool_flow(count)


def made_jobs(count: int) -> list[Job]:
    """Return jobs of one object each, of videos that are not there."""
    prompt = Prompt(1, 0, box_xyxy=(0, 0, 9, 9))
    return [
        Job("bench", VideoRef(f"{k:016x}", f"{k}.mp4", f"/v/{k}.mp4", str(k), 1), (prompt,), {1: f"{k:x}"}, {1: 1}, f"{k:016x}")
        for k in range(count)
    ]


def rss_mib() -> float:
    """Return what this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


BENCHES = {"plan": bench_plan, "run": bench_run, "pool": bench_pool}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*BENCHES])
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    asked = parser.parse_args()
    BENCHES[asked.what](asked.count)
