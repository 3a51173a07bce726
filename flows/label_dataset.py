"""What happens to a dataset: plan -> chunks -> publish -> review -> report."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.configure import kept_config
from flows.label_video import LabelVideo
from flows.run import review_queue as reviewing
from flows.run.failure_budget import overspent
from flows.run.metrics import RunMeter, metered
from flows.run.plan import new_run_id, part_of, plan_run
from flows.run.prefect_page import show_figures
from flows.run.progress import Display, display
from flows.run.redacted_flow import discreet
from flows.run.report import write_run_report
from flows.run.shared_root import shared_root
from labeling import logs
from labeling.config import LabelConfig, SourceConfig
from labeling.errors import CREDENTIALS_EXPIRED, CREDENTIALS_REFUSED, DamagedStore, Unavailable
from labeling.ingest.listing import why_source_is_gone
from labeling.objects import Objects, open_objects
from labeling.pool.pool import run_jobs
from labeling.review.queue import ReviewQueue
from labeling.store.dead_letters import dead_job, dead_object, put_dead_letter
from labeling.store.layout import DATA_TABLES, data_file
from labeling.store.lock import run_lock
from labeling.store.plan import Plan
from labeling.store.publish import missing_results, publish
from labeling.store.run_state import Doing
from labeling.store.runs import RunSummary, RunTotals, summarize, write_config, write_plan, write_summary
from labeling.store.scope import Scope, write_scope
from labeling.store.snapshots import Snapshot
from labeling.track.predictor import TrackerRecipe
from labeling.types import ErrorKind, ErrorRecord, Job, Receipt

log = logging.getLogger(__name__)

SHOWN = 10
RESULTS_MISSING = "results_missing"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; `dead_letters` counts this run's by reason, `stopped` says why it ended before its plan did."""

    run_id: str
    snapshot: str
    summary: RunSummary
    skipped: int
    dead_letters: Mapping[str, int]
    counts: Mapping[str, int]
    report: str
    stopped: str = ""


@discreet(name="label-dataset", flow_run_name="{config.store.root}", validate_parameters=False, retries=0)
def label_dataset(config: LabelConfig, only: list[str] | None = None) -> Outcome:
    """Label what is due under one root: the whole run, from the plan to the report.

    Args:
        config: Every setting of the run, as `labeling run` reads it; secrets are shown as ***.
        only: Keys of the videos to look at, relative to the source; all where there are none.
    """
    objects, run_id = open_objects(config.store.root), config.run.id or new_run_id()
    logs.use(config.logging.format)
    held = run_lock(objects, run_id, config.run.lock_stale_s)
    with logs.named(run=run_id), held as lock, reviewing.open_queue(config) as queue:
        corrections = reviewing.collect_corrections(objects, queue)
        recipe, plan = plan_run(config, objects, run_id, corrections=corrections, only=only)
        write_scope(objects, Scope(run_id, part_of(config.source), only))
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
    with metered(config, objects, plan) as meter:
        totals = RunTotals()
        summary = label_jobs(config, recipe, plan, check_lock, meter, totals)
        write_summary(objects, summary)
        meter.now(Doing.PUBLISH)
        decisions = queue.pending_decisions()
        snapshot = publish(objects, config.qc, run_id=run_id, decisions=decisions, still_held=check_lock)
        lost = lose_missing(objects, snapshot, plan, totals, meter)
        if lost:
            summary = summarize(run_id, totals, num_workers=summary.num_workers, wall_seconds=summary.wall_seconds)
            write_summary(objects, summary)
        reviewing.open_items(objects, queue, snapshot, run_id, reviewers=config.run.reviewers)
        meter.now(Doing.REPORT, snapshot=snapshot.name)
        report = write_run_report(config, objects, run_id, snapshot, queue=queue)
        if lost:
            raise DamagedStore(f"{lost}; the report: {report}")
        meter.now(Doing.DONE)
    skipped = len(plan.entries) - len(plan.jobs)
    stopped = overspent(summary.num_jobs, summary.failures_by_reason, config.run.max_dead_letter_share)
    outcome = Outcome(run_id, snapshot.name, summary, skipped, dead_by_reason(plan, summary), snapshot.counts, report, stopped)
    show_figures(outcome, objects.root)
    return outcome


def label_jobs(
    config: LabelConfig, recipe: TrackerRecipe, plan: Plan, check_lock: Callable[[], None], meter: RunMeter, totals: RunTotals
) -> RunSummary:
    """Run the plan's jobs on the pool, a Prefect task run for every chunk of them, and add the receipts up."""
    started = time.monotonic()
    chunk = max(config.run.chunk_size, math.ceil(len(plan.jobs) / config.run.max_chunks))
    if plan.jobs:
        work = LabelVideo(config, recipe, plan.run_id)
        work.shared = shared_root(meter.objects, plan.run_id)
        stream = run_jobs(
            work, plan.jobs, cluster=config.cluster, run=config.run, on_event=meter.crew.note, cost_of=bytes_to_track
        )
        with work.shared.laid_out(), closing(stream), display(meter.tally, enabled=config.run.progress) as shown:
            jobs, share = {job.name: job for job in plan.jobs}, config.run.max_dead_letter_share
            feed = Feed(stream, meter.objects, jobs, totals, shown, share, meter.took, config.source)
            while totals.num_jobs < len(plan.jobs) and not feed.stopped:
                check_lock()
                label_chunk(feed, min(chunk, len(plan.jobs) - totals.num_jobs))
    return summarize(plan.run_id, totals, num_workers=meter.crew.most, wall_seconds=time.monotonic() - started)


def lose_missing(objects: Objects, snapshot: Snapshot, plan: Plan, totals: RunTotals, meter: RunMeter) -> str:
    """Compare what workers said they wrote with what was published; "" where all of it is there.

    What is not there becomes a dead letter each, counts as failed, and is named in the sentence that is returned.
    """
    jobs = {job.name: job for job in plan.jobs}
    missing = [jobs[name] for name in missing_results(objects, snapshot, totals.labelled)]
    for job in missing:
        files = ", ".join(data_file(table, job.video.video_id, job.batch) for table in DATA_TABLES)
        message = f"a worker wrote {files} and their marker, and {objects.root} does not hold them as they were written"
        put_dead_letter(objects, dead_job(job, ErrorRecord(ErrorKind.POISON, RESULTS_MISSING, message)))
        meter.lose(totals.labelled[job.name], RESULTS_MISSING)
        totals.lose(job, RESULTS_MISSING)
    if not missing:
        return ""
    named = ", ".join(f"{job.video.key} (objects {', '.join(map(str, job.keys))}; {job.name})" for job in missing[:SHOWN])
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return (
        f"{objects.root} lacks what workers wrote of {len(missing)} videos: {named}{more}. Nothing of them counts as labelled; "
        "give a store.root that every worker sees as the same place (s3://..., or a folder that all nodes share), and run again"
    )


def bytes_to_track(job: Job) -> float:
    """How much work a job is beside others: its video's bytes, for each object."""
    return float(max(1, job.video.num_bytes) * len(job.keys))


def fails_all(source: SourceConfig | None, error: ErrorRecord) -> str:
    """Say why what one video failed of will fail all others too; "" where it is that video's own."""
    if error.reason in (CREDENTIALS_EXPIRED, CREDENTIALS_REFUSED):
        return error.message
    return why_source_is_gone(source) if source and error.reason in ("missing_video", "source_unavailable") else ""


class Feed:
    """The pool's receipts as they come, and where each is noted.

    No dataclass: Prefect looks into those for results to wait for, at every chunk through every job of the run.
    """

    def __init__(
        self, receipts: Iterator[Receipt], objects: Objects, jobs: Mapping[str, Job], totals: RunTotals, shown: Display,
        share: float = 1.0, took: Callable[[Job, Receipt], None] = lambda _job, _receipt: None,
        source: SourceConfig | None = None,
    ) -> None:
        self.receipts, self.objects, self.jobs, self.totals, self.shown = receipts, objects, jobs, totals, shown
        self.share, self.stopped, self.took, self.num_chunks, self.source = share, "", took, 0, source

    def take(self, count: int) -> None:
        """Wait for the next receipts, fewer where too many videos have failed; a failed job becomes a dead letter at once."""
        for receipt in islice(self.receipts, count):
            job = self.jobs[receipt.job_name]
            if receipt.error is not None and (why := fails_all(self.source, receipt.error)):
                # Not this video's fault, and each one behind it would fail alike.
                raise Unavailable(f"the run stops here, what is done stays done: {why}", receipt.error.reason)
            if receipt.error is not None:
                put_dead_letter(self.objects, dead_job(job, receipt.error))
                told = f"{receipt.error.reason}: {receipt.error.message}"
                log.warning("dead letter of %s: %s", job.video.key, told, extra={"video": job.video.video_id})
            for object_id, error in receipt.dead_objects.items():
                put_dead_letter(self.objects, dead_object(job, object_id, error))
                told = f"{error.reason}: {error.message}"
                where = {"video": job.video.video_id}
                log.warning("dead letter of %s, object %d: %s", job.video.key, object_id, told, extra=where)
            self.shown.show(receipt)
            self.took(job, receipt)
            self.totals.add(job, receipt)
            tally = self.shown.tally
            self.stopped = overspent(tally.videos + tally.dead.total(), tally.dead, self.share)
            if self.stopped:
                log.warning("the run stops here: %s", self.stopped)
                break


@task(name="label-chunk", cache_policy=NO_CACHE)
def label_chunk(feed: Feed, count: int) -> None:
    """Label the next `count` videos; the pool works ahead, so no chunk waits for the last video of another.

    It returns nothing: Prefect would note each receipt of a list until the run is over.
    """
    feed.num_chunks += 1
    with logs.named(chunk=feed.num_chunks):
        feed.take(count)


def dead_by_reason(plan: Plan, summary: RunSummary) -> dict[str, int]:
    """Count a run's dead letters: what the plan found and what the jobs left."""
    counted = Counter(letter.error.reason for letter in plan.dead)
    counted.update(summary.failures_by_reason)
    counted.update(summary.dead_objects_by_reason)
    return dict(counted.most_common())
