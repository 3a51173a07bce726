"""What runs leave behind, and the estimate that comes of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store.ledger import read_ledger
from labeling.store.plan import Plan, make_plan
from labeling.store.runs import (
    RunTotals,
    estimate,
    list_runs,
    read_config,
    read_plan,
    read_summary,
    recent_summaries,
    summarize,
    write_config,
    write_plan,
    write_summary,
)
from labeling.types import ErrorKind, ErrorRecord, Receipt
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path)


def plan_of(store: FolderObjects, *num_bytes: int, run_id: str = "run-1") -> Plan:
    refs = [ref_of(f"{i}.mp4", num_bytes=n) for i, n in enumerate(num_bytes)]
    table = PromptTable({ref.key: (box_prompt(1),) for ref in refs} | {"gone.mp4": (box_prompt(1),)})
    return make_plan([*refs, ref_of("free.mp4")], table, read_ledger(store), RECIPE, run_id)


def receipt(plan: Plan, at: int, seconds: float, error: ErrorRecord | None = None) -> Receipt:
    job = plan.jobs[at]
    stages = {"track": seconds * 0.75, "fetch": seconds * 0.25}
    return Receipt(job.name, job.video.video_id, 10, 1, 10, 0.5, ("f",), stages, error)


def added_up(plan: Plan, *receipts: Receipt) -> RunTotals:
    totals = RunTotals()
    for job, each in zip(plan.jobs, receipts, strict=False):
        totals.add(job, each)
    return totals


def test_a_summary_adds_up_what_was_done_and_counts_what_failed(store: FolderObjects) -> None:
    plan = plan_of(store, 100, 300, 5000)
    failed = receipt(plan, 2, 99.0, ErrorRecord(ErrorKind.POISON, "decode_error", "no"))
    totals = added_up(plan, receipt(plan, 0, 2.0), receipt(plan, 1, 6.0), failed)
    summary = summarize("run-1", totals, num_workers=2, wall_seconds=5.0)
    assert (summary.num_jobs, summary.num_failed, summary.num_masks, summary.labelled_bytes) == (3, 1, 20, 400)
    assert (summary.worker_seconds, summary.seconds_by_stage) == (8.0, {"track": 6.0, "fetch": 2.0})
    assert summary.failures_by_reason == {"decode_error": 1}
    write_summary(store, summary)
    assert read_summary(store, "run-1") == summary
    assert recent_summaries(store) == [summary]


def test_an_estimate_is_past_seconds_per_byte_over_the_workers(store: FolderObjects) -> None:
    plan = plan_of(store, 100, 300)
    assert estimate(plan, [], num_workers=4) is None
    summary = summarize("run-1", added_up(plan, receipt(plan, 0, 2.0), receipt(plan, 1, 6.0)), num_workers=1, wall_seconds=8.0)
    told = estimate(plan_of(store, 1000, 1000, 1000), [summary], num_workers=2)
    assert told is not None
    assert (told.seconds, told.num_workers, told.num_jobs) == (30.0, 2, 2)
    assert estimate(plan_of(store, 500), [summary], num_workers=8).num_workers == 1
    assert estimate(plan, [replace(summary, labelled_bytes=0)], num_workers=1) is None


def test_a_plan_is_kept_without_the_videos_that_do_not_run(store: FolderObjects) -> None:
    plan = plan_of(store, 100, 300)
    write_plan(store, plan)
    said = read_plan(store, "run-1")
    assert [v["key"] for v in said["will_run"]] == ["0.mp4", "1.mp4"]
    assert said["reasons"] == {"new": 2, "no prompts": 1}
    assert said["due_bytes"] == 400
    assert said["dead"][0]["reason"] == "unknown_video"


def test_runs_are_listed_and_one_that_is_not_there_is_said(store: FolderObjects) -> None:
    write_config(store, "run-1", {"qc": {"name": "strict"}})
    write_config(store, "run-2", {})
    assert list_runs(store) == ["run-1", "run-2"]
    assert read_config(store, "run-1") == {"qc": {"name": "strict"}}
    with pytest.raises(ValueError, match="run-1, run-2"):
        read_summary(store, "run-9")
