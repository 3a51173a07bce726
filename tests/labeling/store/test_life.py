"""The whole life of a store, in a folder and in a bucket behind a real HTTP server."""

from pathlib import Path

import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.ingest.prompts import PromptTable
from labeling.objects import Objects, open_objects
from labeling.store import dead_letters, read_masklets
from labeling.store.dead_letters import read_dead_letters
from labeling.store.ledger import read_ledger
from labeling.store.lock import run_lock
from labeling.store.plan import make_plan
from labeling.store.publish import publish, recompute
from labeling.store.snapshots import list_versions, read_files, read_snapshot, verify_files
from tests.labeling.store.made_store import RECIPE, box_prompt, mask_of, ref_of, write_job

LENIENT = QCConfig("lenient", [])
STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "folder" else f"{request.getfixturevalue('s3')}/labels/cars"


def run(store: Objects, scratch: Path, by_video: dict, run_id: str, qc: QCConfig = LENIENT, **how: int) -> dict[str, int]:
    """What a run does, without tracking: plan, write, publish under the lock."""
    with run_lock(store, run_id) as lock:
        refs = [ref_of(key) for key in ("a.mp4", "b.mp4")]
        plan = make_plan(refs, PromptTable(by_video), read_ledger(store), RECIPE, run_id)
        for letter in plan.dead:
            dead_letters.put_dead_letter(store, letter)
        for job in plan.jobs:
            write_job(store, job, scratch, **how)
        publish(store, qc, run_id=run_id, still_held=lock.check)
    return dict(plan.reasons)


def test_write_publish_read_change_judge_again(root: str, tmp_path: Path) -> None:
    store, scratch = open_objects(root), tmp_path / "scratch"
    prompts = {"a.mp4": (box_prompt(1), box_prompt(2)), "b.mp4": (box_prompt(1),), "gone.mp4": (box_prompt(1),)}
    assert run(store, scratch, prompts, "run-1", lost_after=5) == {"new": 2}
    assert run(store, scratch, prompts, "run-2") == {"done": 2}
    assert list_versions(store) == [1]
    assert {d.error.reason for d in read_dead_letters(store, "run-1")} == {"unknown_video"}
    changed = prompts | {"a.mp4": (box_prompt(1, 9.0), box_prompt(2))}
    assert run(store, scratch, changed, "run-3", num_frames=300) == {"prompts changed": 1, "done": 1}
    assert recompute(store, STRICT, run_id="qc").counts["review"] == 2
    assert [s.parent for s in (read_snapshot(store, v) for v in list_versions(store))] == [None, 1, 2]
    lost = tuple(mask_of(2, i, empty=i >= 5) for i in range(6))
    (second,) = read_masklets(root, video="a.mp4", verdict="review")
    assert (second.track_id, second.masklet.label_version, second.frames) == ("2", 1, lost)
    (first,) = read_masklets(root, video="a.mp4", verdict="accept")
    assert (first.masklet.label_version, len(first.frames)) == (2, 300)
    assert [len(m.frames) for m in read_masklets(root, video="a.mp4", snapshot=1)] == [6, 6]
    assert len(read_files(store, read_snapshot(store))) == 9
    assert list(verify_files(store, read_snapshot(store))) == []
