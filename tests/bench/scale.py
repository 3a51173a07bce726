"""Many videos: `python -m tests.bench.scale plan|pool [COUNT]`; no video is opened and nothing is tracked.

`plan` lists a folder of COUNT files whose ledger says that all are done. `pool` sends COUNT jobs of 1 ms through the
pool, in Prefect task runs as a labelling run does, and prints what each costs the driver and how its memory grows.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow

from flows.configure import load_config
from flows.label_dataset import Feed, bytes_to_track, label_chunk
from flows.run.metrics import Crew
from flows.run.plan import plan_run
from flows.run.progress import Tally, display
from labeling.ingest.prompts import PromptTable
from labeling.objects import Objects, open_objects
from labeling.pool.pool import run_jobs
from labeling.store import layout, schemas
from labeling.store.parquet import to_bytes
from labeling.store.plan import Plan
from labeling.store.runs import RunTotals
from labeling.store.snapshots import Snapshot
from labeling.types import Job, Prompt, Receipt, VideoRef

SLEEP_S = 0.001


class Sleeper:
    """A tracker that only sleeps."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def __call__(self, job: Job, *, deadline: float) -> Receipt:
        time.sleep(SLEEP_S)
        return Receipt(job.name, job.video.video_id, num_frames=1, num_objects=1)


def bench_plan(count: int) -> None:
    """Time a plan over `count` files in a folder, all of them done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        for k in range(count):
            (folder / "videos" / f"{k:06d}.mp4").write_bytes(b"%d" % k)
        rows = {"video": [f"{k:06d}.mp4" for k in range(count)], "object_id": [1] * count, "frame_idx": [0] * count}
        boxes = {f"box_{axis}": [float(v)] * count for axis, v in (("x0", 1), ("y0", 1), ("x1", 9), ("y1", 9))}
        pq.write_table(pa.table({**rows, **boxes}), folder / "prompts.parquet")
        config = load_config([
            f"source.uri={folder / 'videos'}", f"prompts.uri={folder / 'prompts.parquet'}", f"store.root={folder / 'store'}",
            "model=nano",
        ])
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
    """Do with sleeping jobs what `flows.label_dataset.label_jobs` does with real ones."""
    jobs = made_jobs(count)
    with tempfile.TemporaryDirectory() as name:
        config = load_config([f"store.root={name}", "run.progress=false", "cluster=laptop"])
        chunk, totals = max(config.run.chunk_size, -(-len(jobs) // config.run.max_chunks)), RunTotals()
        tenths = {-(-len(jobs) * tenth // (10 * chunk)) for tenth in (1, 5, 10)}
        stream = run_jobs(Sleeper(), jobs, cluster=config.cluster, run=config.run, on_event=Crew().note, cost_of=bytes_to_track)
        with display(Tally(len(jobs)), enabled=False) as shown:
            feed = Feed(stream, open_objects(name), {job.name: job for job in jobs}, totals, shown)
            label_chunk(feed, chunk)                # Ray and the workers are up
            first, wall, cpu, first_mib = totals.num_jobs, time.perf_counter(), time.process_time(), rss_mib()
            while totals.num_jobs < len(jobs):
                label_chunk(feed, min(chunk, len(jobs) - totals.num_jobs))
                if feed.num_chunks in tenths:
                    print(f"{totals.num_jobs:,} jobs: driver {rss_mib():.0f} MiB (from {first_mib:.0f})", flush=True)
            wall, cpu, done = time.perf_counter() - wall, time.process_time() - cpu, totals.num_jobs - first
        print(
            f"pool, {len(jobs):,} jobs of {1000 * SLEEP_S:.0f} ms in {feed.num_chunks} task runs, {totals.num_failed} failed; "
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["plan", "pool"])
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    asked = parser.parse_args()
    (bench_plan if asked.what == "plan" else bench_pool)(asked.count)
