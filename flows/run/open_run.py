"""A run from the moment that it holds its root: its plan, what it leaves in `runs/`, and its end where nothing is due.

No Prefect and no Ray here: whether they are needed is known once the plan is made.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.configure import kept_config
from flows.run import review_queue as reviewing
from flows.run.certified import accepting
from flows.run.metrics import metered
from flows.run.outcome import Outcome, outcome_of
from flows.run.plan import new_run_id, part_of, plan_run
from labeling import logs
from labeling.config import LabelConfig
from labeling.objects import Objects, open_objects
from labeling.review.queue import ReviewQueue
from labeling.store.dead_letters import put_dead_letter
from labeling.store.lock import run_lock
from labeling.store.plan import Plan
from labeling.store.publish import nothing_to_publish
from labeling.store.run_state import Doing, Scope, write_scope
from labeling.store.runs import write_config, write_plan, write_summary
from labeling.store.snapshots import Snapshot
from labeling.store.versions.card import mend_cards
from labeling.track.predictor import TrackerRecipe

log = logging.getLogger(__name__)


class OpenRun:
    """A run that holds its root, with the store, the review queue and, once it is planned, the plan.

    No dataclass: Prefect looks into those for results to wait for, at every task, through every job of the plan.
    """

    recipe: TrackerRecipe
    plan: Plan

    def __init__(
        self, config: LabelConfig, objects: Objects, run_id: str, queue: ReviewQueue, check_lock: Callable[[], None]
    ) -> None:
        self.config, self.objects, self.run_id, self.queue, self.check_lock = config, objects, run_id, queue, check_lock
        self.is_planned = False
        self.scope: Scope | None = None
        self.unchanged: Snapshot | None = None

    def make_plan(self, only: list[str] | None = None) -> None:
        """Plan the run, of the videos with the keys `only` where some are named; a second call changes nothing.

        Reviewers' corrections are brought into the dataset's table. `unchanged` is then the newest snapshot where no video is
        due and a publish would take nothing in.
        """
        if self.is_planned:
            return
        corrections = reviewing.collect_corrections(self.objects, self.queue)
        self.use(*plan_run(self.config, self.objects, self.run_id, corrections=corrections, only=only))
        self.scope = Scope(self.run_id, part_of(self.config.source), only)
        if not self.plan.jobs:
            decisions = self.queue.pending_decisions()
            self.unchanged = nothing_to_publish(self.objects, accepting(self.config.qc, self.objects), decisions=decisions)

    def use(self, recipe: TrackerRecipe, plan: Plan) -> None:
        """Go by this plan."""
        self.recipe, self.plan, self.is_planned = recipe, plan, True

    def record_plan(self) -> None:
        """Write the configuration, what was looked at, the plan, and a dead letter for each input that the plan refuses."""
        if self.scope is not None:
            write_scope(self.objects, self.scope)
        write_config(self.objects, self.run_id, kept_config(self.config))
        write_plan(self.objects, self.plan)
        log.info("run %s: %d of %d videos are due", self.run_id, len(self.plan.jobs), len(self.plan.entries))
        for letter in self.plan.dead:
            put_dead_letter(self.objects, letter)

    def end_unchanged(self) -> Outcome:
        """End a run with nothing to do: its folder in `runs/` has all but a report, and no snapshot is made.

        What a killed publisher left undone is done, as at the end of every run: cards, and the items of the review queue.
        """
        assert self.unchanged is not None, "there is something to do"
        self.record_plan()
        with metered(self.config, self.objects, self.plan) as meter:
            summary = meter.progress.summary(self.run_id, wall_seconds=0.0)
            write_summary(self.objects, summary)
            mend_cards(self.objects)
            reviewing.open_items(self.objects, self.queue, self.unchanged, self.run_id, self.config.run)
            meter.now(Doing.DONE, snapshot=self.unchanged.name)
        return outcome_of(self.config, self.plan, summary, self.unchanged)


@contextmanager
def open_run(config: LabelConfig) -> Iterator[OpenRun]:
    """Take the root's lock and open the review queue for the block; raises StoreBusy while another run writes the root."""
    objects, run_id = open_objects(config.store.root), config.run.id or new_run_id()
    logs.use(config.logging.format)
    lock_held = run_lock(objects, run_id, config.run.lock_stale_s)
    with logs.named(run=run_id), lock_held as lock, reviewing.open_queue(config) as queue:
        yield OpenRun(config, objects, run_id, queue, lock.check)
