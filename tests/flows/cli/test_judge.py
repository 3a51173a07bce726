"""`labeling judge`, as it is typed."""

import json
from pathlib import Path

import pytest

from labeling.config import QCConfig
from labeling.errors import BadConfiguration
from labeling.objects import FolderObjects
from labeling.qc.judge_json import to_json
from labeling.store.publish import publish
from labeling.store.snapshots import read_snapshot, read_verdicts
from labeling.types import ReviewDecision
from tests.flows.command_line import typed
from tests.labeling.store.made_judges import step_document, step_judge
from tests.labeling.store.made_store import box_prompt, label

NUM_LOST, NUM_WHOLE = 60, 12


@pytest.fixture
def judge_file(tmp_path: Path) -> Path:
    path = tmp_path / "by-hand.json"
    path.write_text(to_json(step_document()))
    return path


@pytest.fixture
def store(tmp_path: Path, judge_file: Path) -> FolderObjects:
    """By the judge the lost masklets are in doubt, the others accepted."""
    objects = FolderObjects(tmp_path / "store")
    label(objects, tmp_path / "s", {f"{n}.mp4": (box_prompt(1),) for n in range(NUM_LOST)}, num_frames=30, lost_after=20)
    whole = {f"{n}.mp4": (box_prompt(1),) for n in range(NUM_LOST, NUM_LOST + NUM_WHOLE)}
    label(objects, tmp_path / "s", whole, "late", num_frames=30)
    publish(objects, QCConfig("own", [], str(judge_file)), run_id="one")
    return objects


def decide(store: FolderObjects, judge_file: Path, count: int, bad_share: float) -> None:
    """People look at so many of the masklets in doubt and find this share of them to be bad."""
    rows = [row for row in read_verdicts(store, read_snapshot(store)).to_pylist() if row["risk"] > 0.5][:count]
    said = [
        ReviewDecision(
            row["video_id"], row["track_id"], row["label_version"], "reject" if at < bad_share * len(rows) else "accept", "ann",
            "2026-01-01T00:00:00+00:00",
        )
        for at, row in enumerate(rows)
    ]
    publish(store, QCConfig("own", [], str(judge_file)), run_id="decided", decisions=said)


def test_a_judge_is_shown(judge_file: Path) -> None:
    told = typed("judge", "show", judge_file)
    assert step_judge().digest[:12] in told
    assert "risk below 0.300" in told
    shown = json.loads(typed("judge", "show", judge_file, "--json"))
    assert shown["digest"] == step_judge().digest
    assert "trees" not in shown


def test_what_is_set_for_a_store_judges_it(store: FolderObjects, judge_file: Path) -> None:
    told = typed("judge", "use", judge_file, store.root)
    assert f"by-hand {step_judge().digest[:12]}" in told.replace("\n", " ")
    typed("qc", store.root, "qc=default")
    digests = set(read_verdicts(store, read_snapshot(store))["judge"].to_pylist())
    assert digests == {step_judge().digest}
    typed("judge", "use", "none", store.root)
    typed("qc", store.root, "qc=default")
    assert set(read_verdicts(store, read_snapshot(store))["judge"].to_pylist()) == {None}


def test_a_judge_is_calibrated_on_what_people_said(store: FolderObjects, judge_file: Path, tmp_path: Path) -> None:
    """The masklets in doubt turn out to be good for the most part: first those of too few answers, then of enough."""
    out = tmp_path / "own.json"
    words = "judge", "fit", store.root, "--base", judge_file, "-o", out
    decide(store, judge_file, 24, 0.1)
    with pytest.raises(BadConfiguration, match="24 masklets were judged by people; expected 50"):
        typed(*words)
    assert not out.exists()
    decide(store, judge_file, 60, 0.1)
    typed(*words)
    calibrated_on = json.loads(out.read_text())["facts"]["trained_on"]["calibrated_on"]
    assert calibrated_on | {"tracks": 60, "bad": 6, "base": step_judge().digest, "bad_share": 0.1} == calibrated_on
    typed("judge", "use", out, store.root)
    out.unlink()
    typed("qc", store.root)
    risks = {row["risk"] for row in read_verdicts(store, read_snapshot(store)).to_pylist() if row["decided_by"]}
    assert 0.02 < max(risks) < 0.3


def test_fit_asks_for_one_source(tmp_path: Path, store: FolderObjects) -> None:
    for words in ((), (store.root, "--truth", tmp_path)):
        with pytest.raises(BadConfiguration, match="one of them"):
            typed("judge", "fit", *words, "-o", tmp_path / "own.json")
