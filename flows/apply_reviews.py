"""Closes the loop: objects that reviewers corrected are tracked again, and nothing else that is due.

Seeds and corrections together are an object's prompts; where a reviewer gave a mask, it is what the tracker is fed and what
that frame keeps. A correction that is limited to a span of frames changes those alone; without one the whole object is
followed as the configuration says, `track.direction`.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.label_dataset import carry_out
from flows.run import review_queue as reviewing
from flows.run.open_run import OpenRun, open_run
from flows.run.outcome import Outcome
from flows.run.redacted_flow import discreet
from labeling.config import LabelConfig
from labeling.ingest.listing import list_videos
from labeling.ingest.prompts import PromptTable, merge_prompts, read_prompts
from labeling.objects import Objects
from labeling.review.items import Correction, ItemKey
from labeling.review.queue import ReviewQueue
from labeling.store.keys import recipe_for
from labeling.store.ledger import read_ledger
from labeling.store.plan import Plan, limit_to_corrected_spans, make_plan
from labeling.store.records import prompts_from_json
from labeling.store.snapshots import read_snapshot, read_tracks, read_verdicts
from labeling.track.predictor import TrackerRecipe, recipe_of
from labeling.types import Prompt, PromptSource


@dataclass(frozen=True, slots=True)
class AppliedItem:
    """One corrected object: what its newest version was tracked from, what the review cost, what the rules say of it.

    `key` is the version that was corrected, `label_version` the newest one: the same where it could not be tracked, or where
    the corrections are those that it was tracked from already. `clicks` are those that were counted, else the prompts' points
    and two for a box.
    """

    key: ItemKey
    video_key: str
    label_version: int
    num_seeds: int
    corrected_frames: tuple[int, ...]
    num_frames: int
    clicks: int
    masks: int
    review_seconds: float
    verdict: str

    @property
    def tracked(self) -> bool:
        """Whether there is a version that is newer than the corrected one."""
        return self.label_version > self.key.label_version


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the corrections that waited; `outcome` is None where none did."""

    items: tuple[AppliedItem, ...] = ()
    outcome: Outcome | None = None


@discreet(name="apply-reviews", flow_run_name="{config.store.root}", validate_parameters=False, retries=0)
def apply_reviews(config: LabelConfig) -> Applied:
    """Track every object with a waiting correction again, publish, judge and open what is to be verified.

    Repeatable: what a killed call has tracked is not tracked again, and where nothing waits nothing is written.
    """
    with open_run(config) as run:
        waiting = run.queue.corrections()
        if not waiting:
            return Applied()
        plan_waiting(run)
        outcome = carry_out(run)
        run.queue.mark_applied(_said_already(waiting, run.plan), run_id=run.run_id)
        return Applied(describe(run.objects, run.queue, waiting), outcome)


@task(name="plan", cache_policy=NO_CACHE)
def plan_waiting(run: OpenRun) -> None:
    """Plan the objects whose corrections wait, from seeds and all corrections together."""
    config, waiting = run.config, run.queue.corrections()
    given = read_prompts(config.prompts.uri).spelled_as({correction.video_key for correction in waiting})
    table = merge_prompts(given, reviewing.collect_corrections(run.objects, run.queue))
    run.use(*plan_corrections(config, run.objects, run.run_id, waiting, table))


def plan_corrections(
    config: LabelConfig, objects: Objects, run_id: str, waiting: Sequence[Correction], table: PromptTable
) -> tuple[TrackerRecipe, Plan]:
    """Plan the corrected objects alone; a correction whose video the source no longer holds becomes a dead letter."""
    recipe = recipe_of(config.model, config.precision, config.tracker)
    wanted: dict[str, set[int]] = defaultdict(set)
    for correction in waiting:
        wanted[correction.video_key].add(int(correction.key.track_id))
    refs = [ref for ref in list_videos(config.source) if ref.key in wanted]
    # Rows of the table may name a video by its uri; corrections name it by its key.
    prompts = dict(table.by_video) | {ref.key: table.for_video(ref) for ref in refs}
    corrected = PromptTable({v: tuple(p for p in prompts.get(v, ()) if p.object_id in ids) for v, ids in wanted.items()})
    ledger = read_ledger(objects, [ref.video_id for ref in refs])
    plan = make_plan(refs, corrected, ledger, recipe_for(recipe, config.source, config.track, config.prompts), run_id)
    return recipe, limit_to_corrected_spans(objects, ledger, plan)


def describe(objects: Objects, queue: ReviewQueue, waiting: Sequence[Correction]) -> tuple[AppliedItem, ...]:
    """Say of each corrected object what its newest version was tracked from and what reviewing it took."""
    first, counted = min(c.seq for c in waiting), queue.counted_clicks([c.seq for c in waiting])
    seconds = {logged.seq: logged.seconds for logged in queue.decisions_since(first - 1)}
    newest = {c.key[:2]: c for c in sorted(waiting, key=lambda c: c.key.label_version)}
    spent: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for correction in waiting:
        own = spent[correction.key[:2]]
        own["seconds"] += seconds[correction.seq]
        own["clicks"] += counted.get(correction.seq, _clicks(correction.prompts))
        own["masks"] += sum(p.mask is not None for p in correction.prompts)
    rows = _rows(objects, {c.key.video_id for c in waiting})
    return tuple(_item(newest[track], rows[track], spent[track]) for track in sorted(newest) if track in rows)


def _clicks(prompts: Sequence[Prompt]) -> int:
    return sum(len(p.points_xy) + 2 * (p.box_xyxy is not None) for p in prompts)


def _item(correction: Correction, row: Mapping[str, Any], spent: Mapping[str, float]) -> AppliedItem:
    stored = prompts_from_json(row["prompts"])
    return AppliedItem(
        key=correction.key,
        video_key=correction.video_key,
        label_version=row["label_version"],
        num_seeds=sum(p.source is PromptSource.SEED for p in stored),
        corrected_frames=tuple(sorted({p.frame_idx for p in stored if p.source is PromptSource.CORRECTION})),
        num_frames=row["num_masks"],
        clicks=int(spent["clicks"]),
        masks=int(spent["masks"]),
        review_seconds=spent["seconds"],
        verdict=row["verdict"],
    )


def _rows(objects: Objects, video_ids: Collection[str]) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """Current rows of `tracks` of some videos with their verdict; both tables are in one order."""
    snapshot = read_snapshot(objects)
    columns = ["video_id", "track_id", "label_version", "prompts", "num_masks"]
    tracks = read_tracks(objects, snapshot, video_ids).select(columns)
    joined = tracks.append_column("verdict", read_verdicts(objects, snapshot, video_ids)["verdict"])
    return {(row["video_id"], row["track_id"]): row for row in joined.to_pylist()}


def _said_already(waiting: Sequence[Correction], plan: Plan) -> list[Correction]:
    """Return corrections that the newest version was tracked from before they were said again: nothing is left to do."""
    listed = {entry.video_id for entry in plan.entries}
    due = {(entry.video_id, str(object_id)) for entry in plan.entries for object_id in entry.due_objects}
    return [c for c in waiting if c.key.video_id in listed and c.key[:2] not in due]
