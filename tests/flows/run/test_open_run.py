"""A run with nothing due: found before Ray and a Prefect server are started, in the store as other runs are."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.configure import load_config
from flows.run.open_run import open_run
from flows.run.plan import plan_run
from flows.run.review_queue import open_queue
from labeling.config import LabelConfig
from labeling.ingest.prompts import PromptTable
from labeling.objects import open_objects
from labeling.store.dead_letters import read_dead_letters
from labeling.store.publish import publish
from labeling.store.run_state import Doing, recent_states
from labeling.store.runs import read_plan, read_summary
from labeling.store.snapshots import list_versions, read_snapshot
from tests.flows.conftest import prompt_row
from tests.labeling.store.made_store import write_job

RUN = """
import sys
from flows.cli.app import run_command
code = run_command(sys.argv[1:])
print("loaded:", [name for name in ("ray", "prefect.server", "prefect.flows") if name in sys.modules])
sys.exit(code)
"""
# Of clips of 6 frames none is visible on so many.
DOUBT_ALL = "qc.rules=[{signal: visible_frames, reason: too_small, bound: at_least, review: 1000}]"


@pytest.fixture
def overrides(tmp_path: Path) -> list[str]:
    """Settings of a dataset of three videos, all of which are labelled and published; no clip is ever opened."""
    (tmp_path / "clips").mkdir()
    for name in "abc":
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(name.encode())
    write_prompts(tmp_path, *"abc")
    places = [f"{name}={tmp_path / place}" for name, place in (
        ("source.uri", "clips"), ("prompts.uri", "prompts.jsonl"), ("store.root", "store"), ("run.scratch", "scratch"),
    )]
    given = [*places, "model=nano", "model.allow_untrained=true", "run.progress=false", DOUBT_ALL]
    label_all(load_config(given), tmp_path / "scratch")
    return given


def write_prompts(folder: Path, *names: str) -> None:
    rows = [json.dumps(prompt_row(f"{name}.mp4", 1)) for name in names]
    (folder / "prompts.jsonl").write_text("\n".join(rows))


def label_all(config: LabelConfig, scratch: Path, *, commit: bool = True) -> None:
    """Label what is due with rectangles, and publish it."""
    objects = open_objects(config.store.root)
    _, plan = plan_run(config, objects, "made", corrections=PromptTable({}))
    for job in plan.jobs:
        write_job(objects, job, scratch)
    if commit:
        publish(objects, config.qc, run_id="made")


def is_unchanged(overrides: Sequence[str]) -> bool:
    with open_run(load_config(overrides)) as run:
        run.make_plan()
        return run.unchanged is not None


def test_it_ends_without_ray_and_prefect_and_leaves_a_line(overrides: list[str], tmp_path: Path) -> None:
    write_prompts(tmp_path, *"abc", "gone")
    done = subprocess.run([sys.executable, "-c", RUN, "run", *overrides], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "loaded: []" in done.stdout
    assert "3 had nothing due" in done.stdout
    assert "dead letters: 1 unknown_video" in done.stdout
    assert "report:" not in done.stdout
    objects = open_objects(str(tmp_path / "store"))
    (state,) = recent_states(objects)
    assert (state.doing, state.num_videos, state.num_due, state.snapshot) == (Doing.DONE, 3, 0, "v000001")
    assert read_summary(objects, state.run_id).num_jobs == 0
    assert read_plan(objects, state.run_id)["reasons"] == {"done": 3}
    assert [letter.error.reason for letter in read_dead_letters(objects, state.run_id)] == ["unknown_video"]
    assert list_versions(objects) == [1]
    assert not list(tmp_path.rglob("report.html"))
    with open_queue(load_config(overrides)) as queue:
        assert len(queue.list()) == 3, "what is in doubt waits, as after every run"


def test_what_a_publish_would_take_in_means_a_run(overrides: list[str], tmp_path: Path) -> None:
    config = load_config(overrides)
    assert is_unchanged(overrides)
    assert not is_unchanged([*overrides[:-1], "qc=off"]), "other rules"
    with open_run(config) as run:
        run.make_plan()
        run.end_unchanged()
        run.queue.decide(run.queue.list()[0].item_id, "accept", reviewer="ann")
    assert not is_unchanged(overrides), "a decision"
    with open_queue(config) as queue:
        publish(open_objects(config.store.root), config.qc, run_id="more", decisions=queue.pending_decisions())
    assert is_unchanged(overrides)
    (tmp_path / "clips" / "d.mp4").write_bytes(b"d")
    write_prompts(tmp_path, *"abcd")
    assert not is_unchanged(overrides), "a video"
    label_all(config, tmp_path / "scratch", commit=False)
    assert not is_unchanged(overrides), "a marker"
    assert read_snapshot(open_objects(config.store.root)).version == 2


def test_a_store_without_a_snapshot_gets_its_first(tmp_path: Path, overrides: list[str]) -> None:
    assert not is_unchanged([*overrides, f"store.root={tmp_path / 'other'}", f"source.uri={tmp_path / 'store'}"])
