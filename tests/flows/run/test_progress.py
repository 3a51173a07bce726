"""A running run in counters: every receipt and pool event counted once, and what is rendered of them."""

from pathlib import Path

import pytest

from flows.run.metrics import RunMeter
from flows.run.progress import RunProgress, overspent
from labeling import metrics
from labeling.errors import ErrorKind, ErrorRecord
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Receipt
from labeling.objects import FolderObjects
from labeling.pool.work import EventKind, PoolEvent
from labeling.store.ledger import read_ledger
from labeling.store.plan import Plan, make_plan
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of

FAILED = ErrorRecord(ErrorKind.POISON, "decode_error", "no")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    refs = [ref_of(f"{i}.mp4", num_bytes=n) for i, n in enumerate((100, 300, 5000))]
    table = PromptTable({ref.key: (box_prompt(1),) for ref in refs} | {"gone.mp4": (box_prompt(1),)})
    return make_plan(refs, table, read_ledger(FolderObjects(tmp_path)), RECIPE, "run-1")


def receipt(plan: Plan, at: int, seconds: float, error: ErrorRecord | None = None) -> Receipt:
    job = plan.jobs[at]
    stages = {"track": seconds * 0.75, "fetch": seconds * 0.25}
    num_frames = 0 if error else 10
    return Receipt(job.name, job.video.video_id, num_frames, 1, num_frames, 0.5, ("f",), stages, error)


def count(progress: RunProgress, plan: Plan) -> None:
    for at, error in enumerate((None, None, FAILED)):
        progress.add(plan.jobs[at], receipt(plan, at, (2.0, 6.0, 99.0)[at], error))


def test_a_summary_adds_up_what_was_done_and_counts_what_failed(plan: Plan) -> None:
    progress = RunProgress(len(plan.jobs))
    count(progress, plan)
    progress.note(PoolEvent(EventKind.STARTED, num_workers=2, num_in_flight=1))
    progress.note(PoolEvent(EventKind.DIED, num_workers=1, num_in_flight=0))
    summary = progress.summary("run-1", wall_seconds=5.0)
    assert (summary.num_jobs, summary.num_failed, summary.num_masks, summary.labelled_bytes) == (3, 1, 20, 400)
    assert (summary.worker_seconds, summary.seconds_by_stage) == (8.0, {"track": 6.0, "fetch": 2.0})
    assert summary.failures_by_reason == {"decode_error": 1}
    assert (summary.num_workers, progress.num_workers, progress.restarts["died"]) == (2, 1, 1)
    assert (progress.handled_bytes, progress.num_over, progress.num_letters) == (5400, 3, 1)


def test_state_and_figures_are_those_of_the_counters(plan: Plan, tmp_path: Path) -> None:
    meter = RunMeter(FolderObjects(tmp_path), plan, "nano fp32 samurai")
    count(meter.progress, plan)
    meter.progress.lose(plan.jobs[0], "results_missing")
    state = meter.state()
    assert (state.num_due, state.num_labelled, state.num_failed, state.num_refused) == (3, 1, 2, 1)
    assert (state.num_masks, state.num_frames, state.handled_bytes, state.due_bytes) == (10, 10, 5400, 5400)
    assert state.dead == {"unknown_video": 1, "decode_error": 1, "results_missing": 1}
    text = metrics.text(meter).decode()
    assert 'labeling_videos_total{outcome="labelled"} 1.0' in text
    assert 'labeling_videos_total{outcome="failed"} 2.0' in text
    assert "labeling_masks_total 10.0" in text
    assert meter.progress.line().startswith("1 of 3 videos, ")


def test_a_share_of_few_videos_is_taken_of_twenty() -> None:
    assert overspent(1, {"decode_error": 1}, 0.1) == ""
    assert "3 of 10 videos (30%)" in overspent(10, {"decode_error": 2, "not_a_video": 1}, 0.1)
