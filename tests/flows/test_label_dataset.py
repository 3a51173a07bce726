"""A dataset's life in this process: first run, nothing due, one object changed, bad input, other rules, corrections."""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging.handlers import APILogHandler
from prefect.utilities.collections import visit_collection

from flows import label_dataset as labelling
from flows.cli import app as cli
from flows.cli.console import console
from flows.judge_again import judge_again
from flows.label_dataset import Feed, label_dataset
from flows.run.open_run import OpenRun
from flows.run.outcome import Outcome, print_outcome
from flows.run.plan import print_plan
from flows.run.prefect_page import artifact_key
from flows.run.progress import RunProgress
from flows.run.report import report_again
from flows.run.review_queue import open_queue
from labeling import rle
from labeling.config import SourceConfig
from labeling.errors import BadConfiguration, DamagedStore, ErrorKind, ErrorRecord, Unavailable
from labeling.export.coco import export_coco
from labeling.ingest.listing import video_id_of
from labeling.jobs import Receipt
from labeling.objects import open_objects
from labeling.pool.pool import run_jobs
from labeling.store.dead_letters import read_dead_letters, still_open
from labeling.store.ledger import read_ledger
from labeling.store.lock import run_lock
from labeling.store.reader import read_masklets
from labeling.store.run_state import Doing, recent_states
from labeling.store.runs import read_summary
from labeling.store.snapshots import read_snapshot
from labeling.types import MaskSource, Prompt, PromptSource
from tests.flows.conftest import FRAMES, Dataset, prompt_row

pytestmark = [
    pytest.mark.usefixtures("prefect_server", "ray_here"),
    # Ray and Prefect leave sockets and loops to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def masks_files(dataset: Dataset) -> dict[str, str]:
    """Digest of every file of masks."""
    paths = (dataset.root / "masks").rglob("*.parquet")
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def run(dataset: Dataset, *more: str) -> Outcome:
    return label_dataset(dataset.config(*more))


def logged(flow_run_id: UUID | None) -> list[str]:
    """The lines on a run's page at Prefect."""
    assert flow_run_id is not None
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        answer = client._client.post("/logs/filter", json={"logs": of_run.model_dump(mode="json")})
    return [line["message"] for line in answer.json()]


def shows_tasks(flow_run_id: UUID | None, *names: str) -> bool:
    """Whether a run's page has these tasks, all completed, and no other; the server learns of the last ones a little later."""
    assert flow_run_id is not None
    of_run, give_up_at = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])), time.monotonic() + 20
    with get_client(sync_client=True) as client:
        while time.monotonic() < give_up_at:
            tasks = client.read_task_runs(flow_run_filter=of_run)
            completed = {task.name.rpartition("-")[0] for task in tasks if task.state is not None and task.state.is_completed()}
            if completed == set(names) and len(tasks) == len(names):
                return True
            time.sleep(0.5)
    return False


def test_a_run_labels_all_and_the_next_one_nothing(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.add("a.mp4", 1, 2, 3)
    dataset.add("sub/b.mp4".replace("/", "_"), 1)
    outcome = run(dataset)
    assert outcome.counts["masks"] == 4 * FRAMES
    assert (outcome.counts["videos"], outcome.counts["tracks"], outcome.dead_letters) == (2, 4, {})
    assert outcome.snapshot == "v000001"
    page = Path(outcome.report)
    assert page.name == "report.html"
    assert outcome.run_id in page.read_text()
    assert sum(pq.read_metadata(p).num_rows for p in (dataset.root / "masks").rglob("*.parquet")) == 4 * FRAMES

    with get_client(sync_client=True) as client:
        figures = {artifact.key: artifact for artifact in client.read_artifacts()}
    verdicts = figures[artifact_key("verdicts", str(dataset.root))]
    assert sum(row["masklets"] for row in json.loads(str(verdicts.data))) == 4
    assert outcome.run_id in str(figures[artifact_key("run", str(dataset.root))].data)
    next(h for h in logging.getLogger("flows").handlers if isinstance(h, APILogHandler)).flush()
    assert any(f"run {outcome.run_id}: 2 of 2 videos are due" in line for line in logged(verdicts.flow_run_id))

    assert shows_tasks(verdicts.flow_run_id, "plan", "label", "publish", "open-reviews", "report")
    assert [a.data for k, a in figures.items() if k == artifact_key("progress", str(dataset.root))] == [100.0]

    files = masks_files(dataset)
    again = run(dataset)
    assert (again.summary.num_jobs, again.skipped, again.snapshot, again.report) == (0, 2, "v000001", "")
    with get_client(sync_client=True) as client:
        (newest,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert shows_tasks(newest.id, "plan")
    assert masks_files(dataset) == files

    dataset.rows[1]["box_xyxy"] = [8.0, 8.0, 44.0, 40.0]
    print_plan(dataset.config(), console)
    assert "prompts changed" in capsys.readouterr().out
    changed = run(dataset)
    assert (changed.summary.num_jobs, changed.summary.num_objects) == (1, 1)
    after = masks_files(dataset)
    assert files.items() < after.items(), "another object's file was touched"
    versions = {(m.video.ref.key, m.track_id): m.masklet.label_version for m in read_masklets(str(dataset.root))}
    assert versions == {("a.mp4", "1"): 1, ("a.mp4", "2"): 2, ("a.mp4", "3"): 1, ("sub_b.mp4", "1"): 1}


def test_prefect_does_not_walk_through_a_runs_jobs(dataset: Dataset) -> None:
    seen: list[object] = []
    jobs = {"job": object()}
    feed = Feed(iter(()), open_objects(str(dataset.root)), jobs, RunProgress(1), object())      # type: ignore[arg-type]
    visit_collection(feed, visit_fn=seen.append, return_data=False)
    assert seen == [feed]
    run = OpenRun(dataset.config(), feed.objects, "run-1", object(), lambda: None)      # type: ignore[arg-type]
    visit_collection(run, visit_fn=seen.append, return_data=False)
    assert seen == [feed, run]


@pytest.mark.parametrize(("reason", "said"), [
    ("credentials_expired", "token has run out"), ("credentials_refused", "does not know this access key"),
    ("missing_video", r"holds no video any more"), ("source_unavailable", "holds no video any more"),
])
def test_what_would_fail_every_video_ends_the_run_without_a_dead_letter(dataset: Dataset, reason: str, said: str) -> None:
    job = SimpleNamespace(name="job", video=SimpleNamespace(key="a.mp4", video_id="0" * 16))
    (dataset.folder / "away").mkdir()       # where a disk was mounted when the run was planned
    source = SourceConfig(uri=str(dataset.folder / "away"))
    receipts = iter([Receipt(job_name="job", video_id="0" * 16, error=ErrorRecord(ErrorKind.POISON, reason, said))])
    objects = open_objects(str(dataset.root))
    feed = Feed(receipts, objects, {"job": job}, RunProgress(1), object(), source=source)     # type: ignore[arg-type, dict-item]
    with pytest.raises(Unavailable, match=f"the run stops here.*{said}"):
        feed.take(1)
    assert list(read_dead_letters(objects)) == []


def test_results_that_are_not_in_the_store_are_named_and_do_not_count(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.add("a.mp4", 1, 2)
    dataset.add("b.mp4", 1)
    objects = open_objects(str(dataset.root))
    lost = video_id_of("b.mp4")

    def elsewhere(*arguments: Any, **how: Any) -> Iterator[Receipt]:
        """As if the worker of one video wrote to a folder that this process does not see."""
        for receipt in run_jobs(*arguments, **how):
            for key in receipt.files if receipt.video_id == lost else ():
                objects.delete(key)
            yield receipt

    monkeypatch.setattr(labelling, "run_jobs", elsewhere)
    with pytest.raises(DamagedStore, match=r"1 videos: b\.mp4 \(objects 1; .*every worker sees"):
        run(dataset)
    assert read_snapshot(objects).counts["tracks"] == 2
    (state,) = recent_states(objects)
    assert (state.doing, state.num_labelled, state.num_failed, state.num_masks) == (Doing.FAILED, 1, 1, 2 * FRAMES)
    summary = read_summary(objects, state.run_id)
    assert (summary.num_jobs, summary.num_failed, summary.num_objects, summary.num_masks) == (2, 1, 2, 2 * FRAMES)
    assert summary.failures_by_reason == {"results_missing": 1}
    assert [(letter.video, letter.replayable) for letter in read_dead_letters(objects)] == [("b.mp4", True)]
    monkeypatch.undo()
    assert (run(dataset).summary.num_jobs, read_snapshot(objects).counts["tracks"]) == (1, 3)


def test_each_bad_input_is_one_dead_letter(dataset: Dataset) -> None:
    good = dataset.add("good.mp4", 1)
    whole = good.read_bytes()
    for name, content in (("cut.mp4", whole[: len(whole) // 2]), ("empty.mp4", b""), ("text.mp4", b"a film about dogs\n" * 50)):
        (dataset.clips / name).write_bytes(content)
        dataset.rows.append(prompt_row(name, 1))
    dataset.add("late.mp4")
    dataset.rows += [
        prompt_row("late.mp4", 1, frame_idx=99),
        prompt_row("absent.mp4", 1),
        prompt_row("good.mp4", 5, box_xyxy=[4, 4, 2, 2]),
    ]
    outcome = run(dataset)
    letters = {letter.video: letter.error.reason for letter in read_dead_letters(open_objects(str(dataset.root)))}
    assert set(letters) == {"cut.mp4", "empty.mp4", "text.mp4", "late.mp4", "absent.mp4", "good.mp4"}
    assert letters["text.mp4"] == "not_a_video"
    assert letters["empty.mp4"] in ("empty_video", "not_a_video")
    assert letters["cut.mp4"] in ("decode_error", "not_a_video")
    assert (letters["late.mp4"], letters["absent.mp4"], letters["good.mp4"]) == ("bad_prompt", "unknown_video", "bad_prompt")
    assert outcome.dead_letters == Counter(letters.values())
    assert [m.video.ref.key for m in read_masklets(str(dataset.root))] == ["good.mp4"]
    assert "replay" in Path(outcome.report).read_text()

    # Mended files are labelled by a replay, and their letters close.
    (dataset.clips / "cut.mp4").write_bytes(whole)
    mended = label_dataset(dataset.config(), only=["cut.mp4"])
    assert mended.summary.num_jobs == 1
    assert {m.video.ref.key for m in read_masklets(str(dataset.root))} == {"good.mp4", "cut.mp4"}


def test_a_prompt_that_does_not_fit_costs_its_object_alone(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.add("a.mp4", 1, 2)
    dataset.rows += [
        prompt_row("a.mp4", 3, frame_idx=99),
        prompt_row("a.mp4", 4, box_xyxy=None, points_xy=[[5000, 1]], labels=[1]),
        prompt_row("a.mp4", 5), prompt_row("a.mp4", 5, frame_idx=77),
    ]
    outcome = run(dataset)
    assert outcome.dead_letters == {"bad_prompt": 3}
    assert (outcome.summary.num_jobs, outcome.summary.num_failed, outcome.summary.num_objects) == (1, 0, 2)
    objects = open_objects(str(dataset.root))
    letters = list(read_dead_letters(objects))
    assert sorted(list(letter.payload["keys"]) for letter in letters) == [["3"], ["4"], ["5"]]
    assert all(still_open(letter, read_ledger(objects)) for letter in letters)
    assert any("object 3, frame 99" in letter.error.message for letter in letters)

    files = masks_files(dataset)
    again = run(dataset)
    assert (again.dead_letters, again.summary.num_jobs) == ({}, 0), "prompts that failed and are as they were are not due again"
    _, plan = print_plan(dataset.config(), console)
    assert [(entry.will_run, entry.why) for entry in plan.entries] == [(False, "dead: bad_prompt")]
    print_outcome(again, dataset.config(), console)
    assert "1 videos failed before and are as they were" in capsys.readouterr().out
    named = label_dataset(dataset.config(), only=["a.mp4"])
    assert (named.dead_letters, named.summary.num_objects) == ({"bad_prompt": 1}, 0), "what is named is tried again"
    dataset.rows[-1]["frame_idx"] = 2
    mended = run(dataset)
    assert (mended.summary.num_objects, mended.dead_letters) == (1, {})
    assert files.items() < masks_files(dataset).items()
    ledger = read_ledger(objects)
    of_first = [letter for letter in read_dead_letters(objects, outcome.run_id) if still_open(letter, ledger)]
    assert sorted(list(letter.payload["keys"]) for letter in of_first) == [["3"], ["4"]]


def test_a_run_says_by_its_exit_code_what_came_of_it(dataset: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    dataset.rows = [prompt_row("gone.mp4", 1)]
    assert cli.run_command(["run", *dataset.overrides()]) == 1
    assert "dead letters: 1 unknown_video" in capfd.readouterr().out
    with run_lock(open_objects(str(dataset.root)), "run-7"):
        assert cli.run_command(["run", *dataset.overrides()]) == 4
    said = capfd.readouterr()
    assert "is being written by run-7" in said.err
    assert "Traceback" not in said.out + said.err
    dataset.rows = [prompt_row("other.mp4", 1)]
    assert cli.run_command(["run", *dataset.overrides()]) == 1
    for everything, names in (([], ["other.mp4"]), (["--all"], ["gone.mp4", "other.mp4"])):
        capfd.readouterr()
        assert cli.run_command(["dead-letters", "list", f"store.root={dataset.root}", "--json", *everything]) == 0
        assert [letter["video"] for letter in json.loads(capfd.readouterr().out)] == names, "what the table lacks now is closed"


def test_a_report_that_cannot_be_written_costs_nothing_of_what_is_published(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no step")

    monkeypatch.setattr(labelling, "write_run_report", fail)
    run = SimpleNamespace(config=dataset.config(), objects=None, run_id="run-1", queue=None)
    told = labelling.report.fn(run, None)    # type: ignore[arg-type]
    assert told == "not written (ZeroDivisionError: no step); `labeling report run-1 store.root=...` tries again"


def test_a_manifest_names_a_video_that_is_gone(dataset: Dataset) -> None:
    dataset.add("here.mp4", 1)
    manifest = dataset.folder / "list.jsonl"
    manifest.write_text('{"video": "here.mp4"}\n{"video": "gone.mp4"}\n')
    dataset.rows.append(prompt_row("gone.mp4", 1))
    outcome = run(dataset, f"source.manifest={manifest}")
    assert outcome.dead_letters == {"missing_video": 1}
    assert outcome.counts["videos"] == 1


def test_frames_are_those_of_the_range_and_stride(dataset: Dataset) -> None:
    dataset.add("a.mp4", num_frames=24)
    dataset.rows.append(prompt_row("a.mp4", 1, frame_idx=15))
    run(dataset, "source.time_range=[0.5,1.5]", "source.frame_stride=3", "track.direction=both")
    (masklet,) = read_masklets(str(dataset.root))
    assert [f.frame_idx for f in masklet.frames] == [6, 9, 12, 15]
    assert masklet.frames[0].pts_seconds == pytest.approx(0.5)


def test_other_rules_make_another_snapshot_without_tracking(dataset: Dataset) -> None:
    dataset.add("a.mp4", 1, 2)
    first = run(dataset, "qc=off")
    assert first.counts["accept"] == 2
    files = masks_files(dataset)
    snapshot = judge_again(dataset.config("qc=strict"), console)
    assert (snapshot.name, snapshot.counts["accept"]) == ("v000002", 0)
    assert masks_files(dataset) == files
    report = report_again(dataset.config(), "latest")
    assert Path(report).is_file()
    with pytest.raises(BadConfiguration, match="run is 'never'"):
        report_again(dataset.config(), "never")


# No clip has so many visible frames: every masklet goes to review.
DOUBT_ALL = "qc.rules=[{signal: visible_frames, reason: too_small, bound: at_least, review: 1000}]"


def test_a_correction_is_tracked_by_the_next_run_and_decisions_enter_it(dataset: Dataset) -> None:
    dataset.add("a.mp4", 1, 2)
    run(dataset, DOUBT_ALL)
    files = masks_files(dataset)
    drawn = rle.from_runs([64 * 10, 20 * 48, 64 * 48 - 64 * 10 - 20 * 48], (48, 64))
    with open_queue(dataset.config()) as queue:
        waiting = {item.key.track_id: item for item in queue.list()}
        assert set(waiting) <= {"1", "2"}
        correction = Prompt(1, 3, points_xy=((20, 20),), labels=(1,), mask=drawn, source=PromptSource.CORRECTION)
        queue.decide(waiting["1"].item_id, "correct", prompts=[correction], reviewer="ann")
        queue.decide(waiting["2"].item_id, "accept", reviewer="ann")
    outcome = run(dataset, DOUBT_ALL)
    assert (outcome.summary.num_jobs, outcome.summary.num_objects) == (1, 1)
    tracks = {m.track_id: m for m in read_masklets(str(dataset.root))}
    assert tracks["2"].verdict.decision == "accept"
    assert tracks["2"].decided_by == "ann"
    assert tracks["1"].masklet.label_version == 2
    human = {f.frame_idx: f.source for f in tracks["1"].frames}
    assert human[3] is MaskSource.HUMAN
    assert tracks["1"].frames[3].rle == drawn
    assert files.items() < masks_files(dataset).items()
    with open_queue(dataset.config()) as queue:
        assert not queue.corrections(), "the correction is still waiting"
        assert all(item.key.label_version == 2 for item in queue.list() if item.key.track_id == "1")
    assert run(dataset, DOUBT_ALL).summary.num_jobs == 0


def test_an_export_reads_what_a_run_wrote(dataset: Dataset, tmp_path: Path) -> None:
    dataset.add("a.mp4", 1)
    run(dataset, "qc=off")
    told = export_coco(str(dataset.root), tmp_path / "out.json")
    said = json.loads((tmp_path / "out.json").read_text())
    assert told.num_tracks == 1
    assert len(said["images"]) == FRAMES


def test_s3_to_s3(s3: str, dataset: Dataset) -> None:
    bucket = open_objects(s3)
    bucket.put_file("raw/a.mp4", dataset.add("a.mp4", 1))
    bucket.put("prompts.jsonl", json.dumps(prompt_row("a.mp4", 1)).encode())
    overrides = dataset.overrides()[3:]
    from flows.configure import load_config

    places = [f"source.uri={s3}/raw", f"prompts.uri={s3}/prompts.jsonl", f"store.root={s3}/labels"]
    config = load_config([*places, *overrides, f"run.review_url={dataset.folder / 'queue.sqlite'}"])
    outcome = label_dataset(config)
    assert outcome.counts["masks"] == FRAMES
    assert outcome.report == f"{s3}/labels/runs/{outcome.run_id}/report.html"
    assert label_dataset(config).summary.num_jobs == 0
    assert not list(dataset.folder.glob("scratch/**/*.mp4")), "a download was left behind"


