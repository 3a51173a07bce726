"""What a dataset tells when nothing runs: a source that reads its store, so that alerts hold while no driver is there."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from statistics import median

from flows.run.review_queue import queue_at_hand
from labeling.certify.standing import standing_of
from labeling.config import LabelConfig
from labeling.metrics import Metric, gauge
from labeling.objects import open_objects
from labeling.review.figures import figures_of
from labeling.store.documents import raised
from labeling.store.lock import holder_of
from labeling.store.run_state import Doing, RunState, recent_states
from labeling.store.snapshots import newest_snapshot

log = logging.getLogger(__name__)

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
        told = "Whether the store and its queue could be read"
        try:
            return [root, *self._of_store(), *self._of_queue(), gauge("labeling_store_up", told, 1)]
        except Exception as error:  # whatever it is, an alert says it sooner than an exporter that is gone
            log.warning("%s could not be read: %s", self._config.store.root, error)
            return [root, gauge("labeling_store_up", told, 0)]

    def _of_store(self) -> Iterator[Metric]:
        objects = open_objects(self._config.store.root)
        states = recent_states(objects, at_most=RUNS_READ, on_damage=raised)
        done = [state for state in states if state.doing is Doing.DONE]
        yield gauge("labeling_store_run_in_progress", "Whether a run writes the store now", holder_of(objects) is not None)
        told = "When the last run came to its end, 0 where none did"
        yield gauge("labeling_store_last_run_time_seconds", told, done[0].at if done else 0.0)
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
    told = "Dead letters as a share of what the last run had to do"
    yield gauge("labeling_store_last_run_dead_letter_share", told, last.dead_letter_share)


def _of_pace(labelled: list[RunState]) -> Iterator[Metric]:
    """The last run that labelled anything beside the few before it that worked with the same model and settings."""
    if not labelled:
        return
    last = labelled[0]
    like = [state.frames_per_second for state in labelled[1:] if state.variant == last.variant][:RUNS_COMPARED]
    yield gauge("labeling_store_last_run_label_seconds", "How long the last run that labelled did", last.label_seconds)
    yield gauge("labeling_store_last_run_frames_per_second", "The pace of the last run that labelled", last.frames_per_second)
    told = "The middle pace of the runs before it that worked the same way"
    yield gauge("labeling_store_usual_frames_per_second", told, median(like or [last.frames_per_second]))
