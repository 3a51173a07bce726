"""What happens to a dataset: plan -> label -> publish -> open reviews -> report."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from itertools import islice

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.label_video import LabelVideo
from flows.run import review_queue as reviewing
from flows.run.certified import draw_configured, publish_accepting
from flows.run.metrics import RunMeter, metered
from flows.run.open_run import OpenRun, open_run
from flows.run.outcome import Outcome, outcome_of
from flows.run.prefect_page import ProgressArtifact, show_figures
from flows.run.progress import RunProgress, overspent, shown
from flows.run.redacted_flow import discreet
from flows.run.report import write_run_report
from flows.run.shared_root import shared_root
from labeling import logs
from labeling.config import LabelConfig, SourceConfig
from labeling.errors import CREDENTIALS_EXPIRED, CREDENTIALS_REFUSED, DamagedStore, ErrorKind, ErrorRecord, Unavailable
from labeling.ingest.listing import why_source_is_gone
from labeling.jobs import Job, Receipt
from labeling.objects import Objects
from labeling.pool.pool import run_jobs
from labeling.store.dead_letters import dead_job, dead_object, of_objects, put_dead_letter
from labeling.store.dead_videos import note_dead_inputs
from labeling.store.layout import DATA_TABLES, data_file
from labeling.store.publish import missing_results
from labeling.store.run_state import Doing
from labeling.store.runs import RunSummary, write_summary
from labeling.store.snapshots import Snapshot
from labeling.types import VideoRef

log = logging.getLogger(__name__)

SHOWN = 10
RESULTS_MISSING = "results_missing"


@discreet(name="label-dataset", flow_run_name="{config.store.root}", validate_parameters=False, retries=0)
def label_dataset(config: LabelConfig, only: list[str] | None = None, run: OpenRun | None = None) -> Outcome:
    """Label what is due under one root: the whole run, from the plan to the report.

    Args:
        config: Every setting of the run, as `labeling run` reads it; secrets are shown as ***.
        only: Keys of the videos to look at, relative to the source; all where there are none.
        run: The run, where its caller holds the root already and has planned it; it is not shown.
    """
    with nullcontext(run) if run else open_run(config) as run:
        plan(run, only)
        if run.unchanged is not None:
            return run.end_unchanged()
        return carry_out(run)


def carry_out(run: OpenRun) -> Outcome:
    """Do what an open run's plan says, from its dead letters to the report, each part as a task of its own.

    Written below the store's root: dead letters, masks and tracks with their markers (by the actors), a snapshot, the run's
    summary, metrics and report; in the queue: items of what waits for review. Returns the counts of all that.

    Raises:
        DamagedStore: workers wrote what the store does not hold; raised after the report.
        Unavailable: source, store or credentials failed for all videos alike; what is done stays done.
        ClusterFailed: Ray is gone, or no worker is left.
    """
    run.record_plan()
    with metered(run.config, run.objects, run.plan) as meter:
        summary = label(run, meter)
        meter.now(Doing.PUBLISH)
        snapshot = publish_results(run)
        # The store is believed, not the workers: one of them may have written to a folder of its own.
        missing = lose_missing(run, snapshot, meter.progress)
        if missing:
            summary = meter.progress.summary(run.run_id, wall_seconds=summary.wall_seconds)
            write_summary(run.objects, summary)
        open_reviews(run, snapshot)
        meter.now(Doing.REPORT, snapshot=snapshot.name)
        uri = report(run, snapshot)
        if missing:
            raise DamagedStore(f"{missing}; the report: {uri}")
        meter.now(Doing.DONE)
    outcome = outcome_of(run.config, run.plan, summary, snapshot, report=uri)
    show_figures(outcome, run.objects.root)
    return outcome


@task(name="plan", cache_policy=NO_CACHE)
def plan(run: OpenRun, only: list[str] | None) -> None:
    """Plan an open run, where its caller has not."""
    run.make_plan(only)


@task(name="label", cache_policy=NO_CACHE)
def label(run: OpenRun, meter: RunMeter) -> RunSummary:
    """Run the plan's jobs on the pool and write the summary of what they came to."""
    config, jobs, progress = run.config, run.plan.jobs, meter.progress
    started = time.monotonic()
    if jobs:
        work = LabelVideo(config, run.recipe, run.run_id)
        work.shared = shared_root(run.objects, run.run_id)
        stream = run_jobs(work, jobs, cluster=config.cluster, run=config.run, on_event=progress.note)
        chunk = max(config.run.chunk_size, math.ceil(len(jobs) / config.run.max_chunks))
        on_page = ProgressArtifact(run.objects.root)
        with work.shared.laid_out(), closing(stream), shown(progress, enabled=config.run.progress) as redraw:
            feed = Feed(stream, run.objects, {job.name: job for job in jobs}, progress, redraw, source=config.source)
            feed.share, feed.tick = config.run.max_dead_letter_share, lambda: on_page.move(progress) if meter.tick() else None
            while progress.num_over < len(jobs) and not feed.stopped:
                run.check_lock()
                feed.take(min(chunk, len(jobs) - progress.num_over))
        on_page.move(progress)
    summary = progress.summary(run.run_id, wall_seconds=time.monotonic() - started)
    write_summary(run.objects, summary)
    return summary


@task(name="publish", cache_policy=NO_CACHE)
def publish_results(run: OpenRun) -> Snapshot:
    """Take the results and what reviewers decided into the next snapshot."""
    decisions = run.queue.pending_decisions()
    return publish_accepting(run.objects, run.config.qc, run_id=run.run_id, decisions=decisions, still_held=run.check_lock)


@task(name="open-reviews", cache_policy=NO_CACHE)
def open_reviews(run: OpenRun, snapshot: Snapshot) -> int:
    """Let the review queue follow a snapshot; returns how many items are new."""
    opened = reviewing.open_items(run.objects, run.queue, snapshot, run.run_id, run.config.run)
    draw_configured(run.config, run.objects, run.queue, snapshot)
    return opened


@task(name="report", cache_policy=NO_CACHE)
def report(run: OpenRun, snapshot: Snapshot) -> str:
    """Write the run's report and link it; returns its URI, or why there is none: what is published stays, whatever it is."""
    try:
        return write_run_report(run.config, run.objects, run.run_id, snapshot, queue=run.queue)
    except (Unavailable, DamagedStore):
        raise
    except Exception as error:
        log.warning("the report was not written: %s: %s", type(error).__name__, error, exc_info=error)
        return f"not written ({type(error).__name__}: {error}); `labeling report {run.run_id} store.root=...` tries again"


def lose_missing(run: OpenRun, snapshot: Snapshot, progress: RunProgress) -> str:
    """Compare what workers said they wrote with what was published; "" where all of it is there.

    What is not there becomes a dead letter each, counts as failed, and is named in the sentence that is returned.
    """
    objects, jobs = run.objects, {job.name: job for job in run.plan.jobs}
    missing = [jobs[name] for name in missing_results(objects, snapshot, progress.labelled)]
    for job in missing:
        files = ", ".join(data_file(table, job.video.video_id, job.batch) for table in DATA_TABLES)
        message = f"a worker wrote {files} and their marker, and {objects.root} does not hold them as they were written"
        put_dead_letter(objects, dead_job(job, ErrorRecord(ErrorKind.POISON, RESULTS_MISSING, message)))
        progress.lose(job, RESULTS_MISSING)
    if not missing:
        return ""
    named = ", ".join(f"{job.video.key} (objects {', '.join(map(str, job.keys))}; {job.name})" for job in missing[:SHOWN])
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return (
        f"{objects.root} lacks what workers wrote of {len(missing)} videos: {named}{more}. Nothing of them counts as labelled; "
        "give a store.root that every worker sees as the same place (s3://..., or a folder that all nodes share), and run again"
    )


def fails_all(source: SourceConfig | None, video: VideoRef, error: ErrorRecord) -> str:
    """Say why what one video failed of will fail all others too; "" where it is that video's own."""
    if error.reason in (CREDENTIALS_EXPIRED, CREDENTIALS_REFUSED):
        return error.message
    lost = error.reason in ("missing_video", "source_unavailable")
    return why_source_is_gone(source, video.uri) if source and lost else ""


class Feed:
    """The pool's receipts as they come, each counted once and noted where it belongs.

    `share` is how much of the videos may become dead letters, `stopped` says that more have. `tick` is called for each receipt.
    """

    def __init__(
        self, receipts: Iterator[Receipt], objects: Objects, jobs: Mapping[str, Job], progress: RunProgress,
        redraw: Callable[[], None], *, source: SourceConfig | None = None,
    ) -> None:
        self.receipts, self.objects, self.jobs, self.progress, self.redraw = receipts, objects, jobs, progress, redraw
        self.source, self.share, self.stopped, self.num_chunks = source, 1.0, "", 0
        self.tick: Callable[[], object] = lambda: None

    def take(self, count: int) -> None:
        """Wait for the next `count` receipts, fewer where too many videos have failed; their log lines have one chunk.

        The pool works ahead, so no chunk waits for the last video of another.
        """
        self.num_chunks += 1
        with logs.named(chunk=self.num_chunks):
            for receipt in islice(self.receipts, count):
                self.note(receipt)
                if self.stopped:
                    log.warning("the run stops here: %s", self.stopped)
                    break

    def note(self, receipt: Receipt) -> None:
        """Count one receipt, show it, and write what failed as dead letters, at once."""
        job, progress = self.jobs[receipt.job_name], self.progress
        if receipt.error is not None and (why := fails_all(self.source, job.video, receipt.error)):
            # Not this video's fault, and each one behind it would fail alike.
            raise Unavailable(f"the run stops here, what is done stays done: {why}", receipt.error.reason)
        about = {"video": job.video.video_id}
        if receipt.error is not None:
            error = receipt.error
            put_dead_letter(self.objects, dead_job(job, error))
            note_dead_inputs(self.objects, job, error)
            log.warning("dead letter of %s: %s: %s", job.video.key, error.reason, error.message, extra=about)
        for object_id, error in receipt.dead_objects.items():
            put_dead_letter(self.objects, dead_object(job, object_id, error))
            note_dead_inputs(self.objects, of_objects(job, {object_id}), error)
            log.warning(
                "dead letter of %s, object %d: %s: %s", job.video.key, object_id, error.reason, error.message, extra=about
            )
        progress.add(job, receipt)
        self.redraw()
        self.tick()
        self.stopped = overspent(progress.num_over, progress.failures_by_reason, self.share)
