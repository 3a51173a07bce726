"""What happens to a dataset: plan -> chunks -> publish -> review -> report."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import reviewing
from flows.configure import kept_config
from flows.label_video import LabelVideo
from flows.planning import new_run_id, plan_run
from flows.progress import Display, Tally, display
from flows.reporting import write_run_report
from labeling.config import LabelConfig
from labeling.objects import Objects, open_objects
from labeling.pool.events import EventKind, PoolEvent
from labeling.pool.pool import run_jobs
from labeling.review.queue import ReviewQueue
from labeling.store.dead_letters import dead_job, put_dead_letter
from labeling.store.lock import run_lock
from labeling.store.plan import Plan
from labeling.store.publish import publish
from labeling.store.runs import RunSummary, summarize, write_config, write_plan, write_summary
from labeling.track.predictor import TrackerRecipe
from labeling.types import Job, Receipt

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; `dead_letters` counts this run's by reason."""

    run_id: str
    snapshot: str
    summary: RunSummary
    skipped: int
    dead_letters: Mapping[str, int]
    counts: Mapping[str, int]
    report: str


@flow(name="label-dataset", flow_run_name="{config.store.root}", validate_parameters=False, retries=0)
def label_dataset(config: LabelConfig, only: list[str] | None = None) -> Outcome:
    """Label what is due under one root: the whole run, from the plan to the report; `only` names videos by key."""
    objects, run_id = open_objects(config.store.root), config.run.id or new_run_id()
    with run_lock(objects, run_id, config.run.lock_stale_s) as lock, reviewing.open_queue(config) as queue:
        corrections = reviewing.collect_corrections(objects, queue)
        recipe, plan = plan_run(config, objects, run_id, corrections=corrections, only=only)
        return carry_out(config, objects, queue, recipe, plan, lock.check)


def carry_out(
    config: LabelConfig, objects: Objects, queue: ReviewQueue, recipe: TrackerRecipe, plan: Plan, check_lock: Callable[[], None]
) -> Outcome:
    """Do what a plan says, from its dead letters to the report; the caller holds the root's lock."""
    run_id = plan.run_id
    write_config(objects, run_id, kept_config(config))
    write_plan(objects, plan)
    log.info("run %s: %d of %d videos are due", run_id, len(plan.jobs), len(plan.entries))
    for letter in plan.dead:
        put_dead_letter(objects, letter)
    summary = label_jobs(config, objects, recipe, plan, check_lock)
    write_summary(objects, summary)
    decisions = queue.pending_decisions()
    snapshot = publish(objects, config.qc, run_id=run_id, decisions=decisions, still_held=check_lock)
    reviewing.open_items(objects, queue, snapshot, run_id)
    report = write_run_report(config, objects, run_id, snapshot)
    skipped = len(plan.entries) - len(plan.jobs)
    return Outcome(run_id, snapshot.name, summary, skipped, dead_by_reason(plan, summary), snapshot.counts, report)


def label_jobs(
    config: LabelConfig, objects: Objects, recipe: TrackerRecipe, plan: Plan, check_lock: Callable[[], None]
) -> RunSummary:
    """Run the plan's jobs on the pool, a Prefect task run for every chunk of them, and add the receipts up."""
    started, crew = time.monotonic(), Crew()
    chunk = max(config.run.chunk_size, math.ceil(len(plan.jobs) / config.run.max_chunks))
    receipts: list[Receipt] = []
    if plan.jobs:
        work = LabelVideo(config, recipe, plan.run_id)
        stream = run_jobs(work, plan.jobs, cluster=config.cluster, run=config.run, on_event=crew.note)
        with closing(stream), display(Tally(len(plan.jobs)), enabled=config.run.progress) as shown:
            feed = Feed(stream, objects, {job.name: job for job in plan.jobs}, shown)
            while len(receipts) < len(plan.jobs):
                check_lock()
                receipts += label_chunk(feed, min(chunk, len(plan.jobs) - len(receipts)))
    return summarize(plan, receipts, num_workers=crew.most, wall_seconds=time.monotonic() - started)


@dataclass(slots=True)
class Crew:
    """Hears what the pool says and remembers how many workers it had at most."""

    most: int = 0

    def note(self, event: PoolEvent) -> None:
        """Take one event of the pool; what a person should know goes to the log."""
        self.most = max(self.most, event.num_workers)
        if event.message and event.kind is not EventKind.FAILED:   # a failed job's dead letter says it
            log.warning("%s %s: %s", event.kind, event.job_name or event.worker or "pool", event.message)


class Feed:
    """The pool's receipts as they come, and where each is noted.

    No dataclass: Prefect looks into those for results to wait for, at every chunk through every job of the run.
    """

    def __init__(self, receipts: Iterator[Receipt], objects: Objects, jobs: Mapping[str, Job], shown: Display) -> None:
        self.receipts, self.objects, self.jobs, self.shown = receipts, objects, jobs, shown

    def take(self, count: int) -> list[Receipt]:
        """Wait for the next receipts; a failed job becomes a dead letter at once."""
        taken = []
        for receipt in islice(self.receipts, count):
            if receipt.error is not None:
                job = self.jobs[receipt.job_name]
                put_dead_letter(self.objects, dead_job(job, receipt.error))
                told = f"{receipt.error.reason}: {receipt.error.message}"
                log.warning("run=%s video=%s key=%s dead letter: %s", job.run_id, job.video.video_id, job.video.key, told)
            self.shown.show(receipt)
            taken.append(receipt)
        return taken


@task(name="label-chunk", cache_policy=NO_CACHE)
def label_chunk(feed: Feed, count: int) -> list[Receipt]:
    """Label the next `count` videos; the pool works ahead, so no chunk waits for the last video of another."""
    return feed.take(count)


def dead_by_reason(plan: Plan, summary: RunSummary) -> dict[str, int]:
    """Count a run's dead letters: what the plan found and what the jobs left."""
    counted = Counter(letter.error.reason for letter in plan.dead)
    counted.update(summary.failures_by_reason)
    return dict(counted.most_common())
