"""`labeling status` and `labeling runs` on stores whose runs are written by hand."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli import app as cli
from flows.configure import kept_config, load_config
from flows.run.metrics import StoreWatch
from flows.run.progress import RunProgress
from flows.run.status import newest_letters, open_letters, status_of
from labeling import metrics
from labeling.errors import ErrorKind, ErrorRecord
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.review.figures import figures_of
from labeling.review.queue import ReviewQueue
from labeling.store.dead_letters import DeadLetter, dead_job, put_dead_letter
from labeling.store.ledger import read_ledger
from labeling.store.lock import run_lock
from labeling.store.plan import make_plan
from labeling.store.run_state import Doing, RunState, Scope, write_scope, write_state
from labeling.store.runs import write_config, write_summary
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of, write_job

DONE = RunState(
    "run-1", Doing.DONE, "nano fp32 samurai", started_at=1000.0, at=2000.0, num_videos=40, num_due=30, num_labelled=30,
    num_workers=2, num_frames=1000, due_bytes=3000, handled_bytes=3000, label_seconds=50.0,
)


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    store = FolderObjects(tmp_path / "store")
    write_state(store, DONE)
    return store


@pytest.fixture
def running(objects: FolderObjects) -> Iterator[RunState]:
    """A run that holds the root, a third of its bytes done 50 s in."""
    state = replace(
        DONE, run_id="run-2", doing=Doing.LABEL, started_at=time.time(), at=time.time(), num_labelled=9, num_failed=1,
        handled_bytes=1000, dead={"decode_error": 1},
    )
    with run_lock(objects, "run-2", 60.0):
        write_state(objects, state)
        yield state


def test_a_run_that_goes_on_says_how_far_it_is(
    objects: FolderObjects, running: RunState, capsys: pytest.CaptureFixture[str]
) -> None:
    found = status_of(load_config([f"store.root={objects.root}"]), now=running.at)
    assert (found.present, found.last, found.snapshot, found.backlog) == (running, DONE, None, None)
    assert found.seconds_left == pytest.approx(100.0)
    assert cli.run_command(["status", objects.root]) == 0
    told = capsys.readouterr().out
    assert "run-2 labels" in told
    assert "9 done, 20 due, 1 dead of 30 videos" in told
    assert "run-1 came to its end" in told
    assert not (Path(objects.root) / "review.sqlite").exists(), "looking made a queue"
    assert cli.run_command(["runs", "list", objects.root, "--json"]) == 0
    assert [(r["run_id"], r["how"]) for r in json.loads(capsys.readouterr().out)] == [("run-2", "label"), ("run-1", "done")]


def test_a_run_that_is_gone_was_interrupted(objects: FolderObjects, capsys: pytest.CaptureFixture[str]) -> None:
    write_state(objects, replace(DONE, run_id="run-2", doing=Doing.LABEL, started_at=3000.0, num_labelled=9))
    found = status_of(load_config([f"store.root={objects.root}"]))
    assert (found.holder, found.present, found.seconds_left) == (None, None, None)
    cli.run_command(["status", objects.root])
    assert "run-2 was interrupted" in capsys.readouterr().out
    cli.run_command(["runs", "list", objects.root])
    assert "interrupted" in capsys.readouterr().out


def test_letters_count_until_their_job_is_done(objects: FolderObjects, tmp_path: Path) -> None:
    table = PromptTable({"a.mp4": (box_prompt(1),), "b.mp4": (box_prompt(1),)})
    plan = make_plan([ref_of("a.mp4"), ref_of("b.mp4")], table, read_ledger(objects), RECIPE, "run-1")
    broken = ErrorRecord(ErrorKind.POISON, "decode_error", "no")
    for run_id in ("run-0", "run-1"):
        for job in plan.jobs:
            put_dead_letter(objects, dead_job(replace(job, run_id=run_id), broken))
        put_dead_letter(objects, DeadLetter(run_id, "x.mp4", None, ErrorRecord(ErrorKind.POISON, "unknown_video", "no")))
    assert len(newest_letters(objects)) == 3
    assert open_letters(objects) == {"decode_error": 2, "unknown_video": 1}
    write_scope(objects, Scope("run-2", part="day-1"))
    assert open_letters(objects) == {"decode_error": 2, "unknown_video": 1}, "a part of the source says nothing of the rest"
    write_scope(objects, Scope("run-3"))
    assert open_letters(objects) == {"decode_error": 2}, "what a plan refused is told by each plan anew"
    write_job(objects, plan.jobs[0], tmp_path / "scratch")
    assert open_letters(objects) == {"decode_error": 1}


def test_a_queue_that_is_damaged_costs_its_line_alone(objects: FolderObjects, capsys: pytest.CaptureFixture[str]) -> None:
    Path(objects.root, "review.sqlite").write_bytes(b"no database, but long enough to be taken for one" * 50)
    assert cli.run_command(["status", objects.root]) == 4
    said = capsys.readouterr()
    assert "run-1 came to its end" in said.out
    assert "not known: review queue" in said.out
    assert "it is no SQLite file" in said.err


def test_two_runs_side_by_side(objects: FolderObjects, capsys: pytest.CaptureFixture[str]) -> None:
    for run_id, name in (("run-1", "nano"), ("run-2", "tiny")):
        write_state(objects, replace(DONE, run_id=run_id, started_at=5000.0 if name == "tiny" else 1000.0))
        write_config(objects, run_id, kept_config(load_config([f"model={name}", f"run.id={run_id}"])))
        write_summary(objects, RunProgress(0).summary(run_id, wall_seconds=1.0))
    assert cli.run_command(["runs", "compare", "run-1", "latest", objects.root, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["differences"]["model.name"] == ["nano", "tiny"]
    assert all(name.startswith("model.") for name in said["differences"])
    assert [r["frames_per_second"] for r in said["runs"]] == [20.0, 20.0]
    assert cli.run_command(["runs", "compare", "run-1", "run-2", objects.root]) == 0
    told = capsys.readouterr().out
    assert "model.name" in told
    assert "20.0 frames/s with 2 workers" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "/no/such/store"], "store.root is '/no/such/store', which is no folder"),
        (["runs", "show", "run-9", "ROOT"], "run is 'run-9'; expected `latest` or one of those in"),
        (["metrics", "serve", "ROOT", "--port", "70000"], "cannot listen at 127.0.0.1 port 70000"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else "",
)
def test_what_is_not_there_is_said(
    objects: FolderObjects, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.run_command([objects.root if word == "ROOT" else word for word in arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_store_is_watched_while_nothing_runs(objects: FolderObjects) -> None:
    for number, frames in enumerate((3000, 2000, 500), start=2):
        write_state(objects, replace(DONE, run_id=f"run-{number}", started_at=1000.0 * number, num_frames=frames))
    write_state(objects, replace(DONE, run_id="run-5", started_at=6000.0, at=7000.0, num_frames=0, num_failed=1))
    config = load_config([f"store.root={objects.root}"])
    with ReviewQueue(str(Path(objects.root) / "review.sqlite")) as queue:
        assert figures_of(queue).waiting == 0
    told = metrics.text(StoreWatch(config)).decode()
    assert "labeling_store_last_run_time_seconds 7000.0" in told
    assert f"labeling_store_last_run_dead_letter_share {1 / 31}" in told
    # 10 frames/s after 40, 60 and 20.
    assert "labeling_store_last_run_frames_per_second 10.0" in told
    assert "labeling_store_usual_frames_per_second 40.0" in told
    assert "labeling_review_backlog 0.0" in told
    assert "labeling_store_up 1.0" in told


def test_a_store_that_cannot_be_read_is_said_to_be_so(objects: FolderObjects) -> None:
    (Path(objects.root) / "runs/run-1/state.json").write_text("{")
    told = metrics.text(StoreWatch(load_config([f"store.root={objects.root}"]))).decode()
    assert "labeling_store_up 0.0" in told
    assert "labeling_store_last_run" not in told


def test_what_is_damaged_is_named_beside_all_that_is_whole(
    objects: FolderObjects, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [f"runs/{run_id}/state.json" for run_id in ("run-8", "run-9")]
    for key, body in zip(broken, (b"{", b'{"run_id": 7}'), strict=True):
        objects.put(key, body)
    objects.put("ledger/set-aside/run-1/x.json", b"")
    before = {stat.key: stat.etag for stat in objects.list()}
    assert cli.run_command(["status", objects.root, "--json"]) == 4
    said = capsys.readouterr()
    plain = json.loads(said.out)
    assert all(key in " ".join(plain["damaged"]) and key in said.err for key in broken)
    assert plain["num_set_aside"] == 1
    assert {stat.key: stat.etag for stat in objects.list()} == before
