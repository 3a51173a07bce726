"""What runs leave behind, and the estimate that comes of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store.ledger import read_ledger
from labeling.store.plan import Plan, make_plan
from labeling.store.runs import (
    RunSummary,
    estimate,
    list_runs,
    read_config,
    read_plan,
    read_summary,
    recent_summaries,
    write_config,
    write_plan,
    write_summary,
)
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path)


def plan_of(store: FolderObjects, *num_bytes: int, run_id: str = "run-1") -> Plan:
    refs = [ref_of(f"{i}.mp4", num_bytes=n) for i, n in enumerate(num_bytes)]
    table = PromptTable({ref.key: (box_prompt(1),) for ref in refs} | {"gone.mp4": (box_prompt(1),)})
    return make_plan([*refs, ref_of("free.mp4")], table, read_ledger(store), RECIPE, run_id)


# 400 bytes in 8 seconds of workers.
SUMMARY = RunSummary("run-1", 2, 0, 2, 20, 20, 1, 1.0, 400, 8.0, 8.0, {"track": 6.0, "fetch": 2.0})


def test_a_summary_is_read_back(store: FolderObjects) -> None:
    write_summary(store, SUMMARY)
    assert read_summary(store, "run-1") == SUMMARY
    assert recent_summaries(store) == [SUMMARY]


def test_an_estimate_is_past_seconds_per_byte_over_the_workers(store: FolderObjects) -> None:
    plan = plan_of(store, 100, 300)
    assert estimate(plan, [], num_workers=4) is None
    told = estimate(plan_of(store, 1000, 1000, 1000), [SUMMARY], num_workers=2)
    assert told is not None
    assert (told.seconds, told.num_workers, told.num_jobs) == (30.0, 2, 2)
    assert estimate(plan_of(store, 500), [SUMMARY], num_workers=8).num_workers == 1
    assert estimate(plan, [replace(SUMMARY, labelled_bytes=0)], num_workers=1) is None


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
