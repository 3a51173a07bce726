"""What a run tells those who watch it: figures for Prometheus while it goes on, its state in the store, a text at the end.

Workers tell theirs with each receipt and the driver serves them all: actors come and go on any machine of a cluster, so
no scrape configuration could name them, and Ray's own exporter needs its dashboard's agents, which a quiet run lacks.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median

from flows.run.progress import RunProgress
from flows.run.review_queue import queue_at_hand
from labeling import metrics
from labeling.certify.standing import standing_of
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration, Unavailable
from labeling.export.outputs import replaced_file, require_ours
from labeling.metrics import Metric, counter, gauge
from labeling.objects import Objects, open_objects
from labeling.review.figures import figures_of
from labeling.store.documents import raised
from labeling.store.layout import run_folder
from labeling.store.lock import holder_of
from labeling.store.plan import Plan
from labeling.store.run_state import Doing, RunState, recent_states, write_state
from labeling.store.snapshots import newest_snapshot

log = logging.getLogger(__name__)

TEXTFILE = "metrics.prom"
TEXT_BEGINS = "# HELP labeling_run_info "
KEEP_EVERY_S = 15.0


class RunMeter:
    """Renders a run's progress: as figures for Prometheus, read on any thread, and as the state in the store."""

    def __init__(self, objects: Objects, plan: Plan, variant: str) -> None:
        self.objects, self.run_id, self.variant = objects, plan.run_id, variant
        self.num_videos, self.due_bytes = len(plan.entries), plan.due_bytes
        self.refused = Counter(letter.error.reason for letter in plan.dead)
        self.progress = RunProgress(len(plan.jobs))
        self.started_at, self.kept_at = time.time(), float("-inf")
        self.doing, self.snapshot, self.label_seconds = Doing.LABEL, "", 0.0

    def tick(self) -> bool:
        """Keep the state if it is time to; whether it was."""
        self.label_seconds = time.monotonic() - self.progress.since
        due = time.monotonic() - self.kept_at > KEEP_EVERY_S
        if due:
            self.keep()
        return due

    def now(self, doing: Doing, *, snapshot: str = "") -> None:
        """Go on to the next part of the run, and keep the state."""
        if self.doing is Doing.LABEL:
            self.label_seconds = time.monotonic() - self.progress.since
        self.doing, self.snapshot = doing, snapshot or self.snapshot
        self.keep()

    def state(self) -> RunState:
        """The run in numbers so far."""
        progress = self.progress
        return RunState(
            run_id=self.run_id, doing=self.doing, variant=self.variant, started_at=self.started_at, at=time.time(),
            num_videos=self.num_videos, num_due=progress.num_due, num_labelled=progress.num_labelled,
            num_failed=progress.num_failed, num_refused=self.refused.total(), num_in_flight=progress.num_in_flight,
            num_workers=progress.most_workers, num_restarts=progress.restarts.total(), num_frames=progress.num_frames,
            num_masks=progress.num_masks, due_bytes=self.due_bytes, handled_bytes=progress.handled_bytes,
            label_seconds=self.label_seconds, dead=self.dead(), snapshot=self.snapshot,
        )

    def dead(self) -> dict[str, int]:
        """Dead letters so far by reason: what the plan refused, and what failed."""
        progress = self.progress
        # Copied in one step, because another thread may be counting.
        return dict(self.refused + Counter(dict(progress.failures_by_reason)) + Counter(dict(progress.dead_objects_by_reason)))

    def keep(self) -> None:
        """Write the state into the run's folder; a store that does not answer now is no reason to stop."""
        self.kept_at = time.monotonic()
        try:
            write_state(self.objects, self.state())
        except Unavailable as error:
            log.warning("how far the run is was not written: %s", error)

    def families(self) -> Iterator[metrics.Metric]:
        """The run's figures, as Prometheus reads them."""
        progress = self.progress
        outcomes = {"labelled": progress.num_labelled, "failed": progress.num_failed}
        queued = max(0, progress.num_due - progress.num_over - progress.num_in_flight)
        yield gauge("labeling_run_info", "The run that this process makes", {self.run_id: 1}, "run")
        yield gauge("labeling_run_start_time_seconds", "When the run began", self.started_at)
        yield gauge("labeling_run_doing", "What the run is at", {d.value: d is self.doing for d in Doing}, "doing")
        yield gauge("labeling_run_videos_due", "Videos that the run is to label", progress.num_due)
        yield counter("labeling_videos_total", "Videos that are over, by outcome", outcomes, "outcome")
        yield counter("labeling_frames_total", "Frames tracked", progress.num_frames)
        yield counter("labeling_masks_total", "Masks written", progress.num_masks)
        yield counter("labeling_footage_seconds_total", "Seconds of video labelled", progress.video_seconds)
        yield counter("labeling_stage_seconds_total", "Seconds of workers by stage", progress.seconds_by_stage, "stage")
        yield counter("labeling_dead_letters_total", "Dead letters by reason", self.dead(), "reason")
        yield counter("labeling_retries_total", "Jobs that were tried again", progress.num_retries)
        yield counter("labeling_actor_restarts_total", "Actors lost, by cause", progress.restarts, "cause")
        yield gauge("labeling_actors", "Actors that are set up", progress.num_workers)
        yield gauge("labeling_jobs_in_flight", "Jobs that actors hold", progress.num_in_flight)
        yield gauge("labeling_queue_depth", "Jobs that no actor holds", queued)
        yield counter("labeling_actor_frames_total", "Frames tracked by each actor", progress.frames_by_worker, "actor")
        meaning = "The most that each actor held of its GPU in its last job"
        yield gauge("labeling_actor_gpu_memory_bytes", meaning, progress.gpu_bytes_by_worker, "actor")


@contextmanager
def metered(config: LabelConfig, objects: Objects, plan: Plan) -> Iterator[RunMeter]:
    """Give a run its meter: served while the block runs where a port is configured, and kept as text at its end."""
    variant = f"{config.model.name} {config.precision.name} {config.tracker.name}"
    meter = RunMeter(objects, plan, variant)
    meter.keep()
    with _served(config, meter):
        try:
            yield meter
        except Exception:
            meter.now(Doing.FAILED)
            raise
        finally:
            _write_text(config, meter)


@contextmanager
def _served(config: LabelConfig, meter: RunMeter) -> Iterator[None]:
    """Serve a run's figures where that was asked for; a port that is taken costs the figures, not the run."""
    host, port = config.metrics.host, config.metrics.port
    with ExitStack() as serving:
        if port is not None:
            try:
                address = serving.enter_context(metrics.served(meter, host=host, port=port))
                log.info("figures at http://%s:%d/metrics", host, address)
            except OSError as error:
                log.warning("no figures at metrics.host=%s metrics.port=%d (%s); choose one that is free", host, port, error)
        yield


def _write_text(config: LabelConfig, meter: RunMeter) -> None:
    """Keep the last figures for who comes later; a place that cannot be written costs the figures, not the run."""
    body = metrics.text(meter)
    try:
        meter.objects.put(f"{run_folder(meter.run_id)}{TEXTFILE}", body)
        if config.metrics.textfile:
            with replaced_file(Path(config.metrics.textfile), begins=TEXT_BEGINS) as writer:
                writer.write(body.decode())
    except (Unavailable, OSError, ValueError) as error:
        log.warning("the run's last figures were not written: %s", error)


def check_textfile(config: LabelConfig) -> None:
    """Refuse a metrics.textfile that is there and holds anything but a run's figures, before the run begins."""
    if config.metrics.textfile:
        try:
            require_ours(Path(config.metrics.textfile), TEXT_BEGINS)
        except ValueError as error:
            raise BadConfiguration(f"metrics.textfile: {error}") from error


# Nothing about a store is worth a listing at every scrape.
READ_EVERY_S = 30.0
RUNS_READ = 20
RUNS_COMPARED = 5
VERDICTS = ("accept", "review", "reject")


class StoreWatch:
    """A dataset's last run, snapshot and review queue in figures, read at most every `every_s` seconds."""

    def __init__(self, config: LabelConfig, *, every_s: float = READ_EVERY_S) -> None:
        self._config, self._every_s = config, every_s
        self._lock, self._read_at, self._kept = threading.Lock(), float("-inf"), list[Metric]()

    def families(self) -> Iterator[Metric]:
        """The figures; where the store or its queue does not answer, that alone."""
        with self._lock:
            if time.monotonic() - self._read_at >= self._every_s:
                self._kept, self._read_at = self._read(), time.monotonic()
            return iter(self._kept)

    def _read(self) -> list[Metric]:
        root = gauge("labeling_store_info", "The dataset that is watched", {self._config.store.root: 1}, "store")
        description = "Whether the store and its queue could be read"
        try:
            return [root, *self._of_store(), *self._of_queue(), gauge("labeling_store_up", description, 1)]
        except Exception as error:  # whatever it is, an alert says it sooner than an exporter that is gone
            log.warning("%s could not be read: %s", self._config.store.root, error)
            return [root, gauge("labeling_store_up", description, 0)]

    def _of_store(self) -> Iterator[Metric]:
        objects = open_objects(self._config.store.root)
        states = recent_states(objects, at_most=RUNS_READ, on_damage=raised)
        done = [state for state in states if state.doing is Doing.DONE]
        yield gauge("labeling_store_run_in_progress", "Whether a run writes the store now", holder_of(objects) is not None)
        description = "When the last run came to its end, 0 where none did"
        yield gauge("labeling_store_last_run_time_seconds", description, done[0].at if done else 0.0)
        if done:
            yield from _of_last_run(done[0])
            yield from _of_pace([state for state in done if state.num_frames])
        snapshot = newest_snapshot(objects)
        if snapshot is not None:
            made = datetime.fromisoformat(snapshot.created_at).timestamp()
            verdicts = {name: snapshot.counts[name] for name in VERDICTS}
            yield gauge("labeling_store_snapshot_version", "The newest snapshot", snapshot.version)
            yield gauge("labeling_store_snapshot_time_seconds", "When the newest snapshot was made", made)
            yield gauge("labeling_store_videos", "Videos with labels", snapshot.counts["videos"])
            yield gauge("labeling_store_masklets", "Masklets by verdict", verdicts, "verdict")

    def _of_queue(self) -> Iterator[Metric]:
        objects = open_objects(self._config.store.root)
        snapshot = newest_snapshot(objects)
        with queue_at_hand(self._config) as queue:
            if queue is not None:
                yield from figures_of(queue).families()
            standing = standing_of(objects, snapshot, queue) if snapshot is not None else None
            if standing is not None:
                yield from standing.families()


def _of_last_run(last: RunState) -> Iterator[Metric]:
    videos = {"labelled": last.num_labelled, "failed": last.num_failed, "refused": last.num_refused}
    yield gauge("labeling_store_last_run_videos", "Videos of the last run, by outcome", videos, "outcome")
    yield gauge("labeling_store_last_run_dead_letters", "Dead letters of the last run, by reason", last.dead, "reason")
    description = "Dead letters as a share of what the last run had to do"
    yield gauge("labeling_store_last_run_dead_letter_share", description, last.dead_letter_share)


def _of_pace(labelled: list[RunState]) -> Iterator[Metric]:
    """The last run that labelled anything beside the few before it that worked with the same model and settings."""
    if not labelled:
        return
    last = labelled[0]
    like = [state.frames_per_second for state in labelled[1:] if state.variant == last.variant][:RUNS_COMPARED]
    yield gauge("labeling_store_last_run_label_seconds", "How long the last run that labelled did", last.label_seconds)
    yield gauge("labeling_store_last_run_frames_per_second", "The pace of the last run that labelled", last.frames_per_second)
    description = "The middle pace of the runs before it that worked the same way"
    yield gauge("labeling_store_usual_frames_per_second", description, median(like or [last.frames_per_second]))
