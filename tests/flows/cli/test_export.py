"""What commands say of a store whose masklets wait: exports name what they left out, the queue where it is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import app as cli
from flows.configure import load_config
from flows.run.plan import check_inputs
from flows.run.review_queue import open_items, open_queue
from labeling.config import QCConfig, RuleConfig
from labeling.errors import BadConfiguration, BadInput
from labeling.objects import FolderObjects
from labeling.store.lock import run_lock
from labeling.store.publish import publish
from tests.labeling.store.made_store import box_prompt, label

Typed = Callable[..., str]
STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of two masklets, both of which wait for review."""
    objects = FolderObjects(tmp_path / "labels [x]")
    label(objects, tmp_path / "s", {"a.mp4": (box_prompt(1), box_prompt(2))}, lost_after=3)
    snapshot = publish(objects, STRICT, run_id="one")
    with open_queue(load_config([f"store.root={objects.root}"])) as queue:
        assert open_items(objects, queue, snapshot, "one") == 2
    return Path(objects.root)


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs one command line and gives what it said: on standard error where it is to fail with `code`."""
    def run(*words: object, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.run_command([str(word) for word in words]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


@pytest.mark.parametrize("form", ["coco", "davis", "yolo", "semantic", "hugging-face"])
def test_an_export_says_what_it_left_out_and_how_to_have_it(root: Path, tmp_path: Path, typed: Typed, form: str) -> None:
    told = typed("export", form, f"store.root={root}", "-o", tmp_path / "out")
    assert f"{tmp_path / 'out'}: 0 " in told
    assert "left out: 2 that wait for review; --verdict accept --verdict review takes them too" in told
    told = typed("export", form, f"store.root={root}", "-o", tmp_path / "out", "--verdict", "accept", "--verdict", "review")
    assert "left out" not in told
    assert "2 tracks" in told or "2 objects" in told
    assert "no folder" in typed("export", form, f"store.root={tmp_path / 'none'}", "-o", tmp_path / "out", code=2)


def test_the_queue_is_shown_with_its_place(root: Path, tmp_path: Path, typed: Typed) -> None:
    assert f"queue: {root / 'review.sqlite'}" in typed("review", "list", f"store.root={root}")
    said = json.loads(typed("review", "list", f"store.root={root}", "--json"))
    assert said["queue"] == str(root / "review.sqlite")
    assert [(item["video"], item["object"], item["status"]) for item in said["items"]] == [
        ("a.mp4", "1", "open"), ("a.mp4", "2", "open"),
    ]
    shown = "".join(typed("status", root).split())      # a table breaks lines where it must
    assert "2itemswait" in shown
    assert "".join(f"queue {root / 'review.sqlite'}".split()) in shown
    place = f"run.review_url={tmp_path / 'none.sqlite'}"
    for words in (("list",), ("stats",), ("show", "1"), ("claim",), ("gold", "list"), ("audit",)):
        said = typed("review", *words, f"store.root={root}", place, code=2)
        assert f"there is no review queue at {tmp_path / 'none.sqlite'}" in said
    assert f"noqueueat{tmp_path / 'none.sqlite'}" in "".join(typed("status", root, place).split())
    assert not (tmp_path / "none.sqlite").exists()
    assert "--status is 'opne'; expected open" in typed("review", "list", f"store.root={root}", "--status", "opne", code=2)


def test_versions_and_letters_are_given_to_programs(root: Path, typed: Typed) -> None:
    assert [snapshot["counts"]["review"] for snapshot in json.loads(typed("versions", "list", root, "--json"))] == [2]
    assert json.loads(typed("dead-letters", "list", f"store.root={root}", "--json")) == []
    assert "--run is '../..'; expected one of those in" in typed(
        "dead-letters", "list", f"store.root={root}", "--run", "../..", code=2
    )


def test_a_store_that_is_busy_is_said_with_its_holder(root: Path, typed: Typed) -> None:
    with run_lock(FolderObjects(root), "run-7"):
        for words in (("qc", f"store.root={root}"), ("compact", root), ("vacuum", root, "--apply"), ("restore", "1", root)):
            assert "is being written by run-7" in typed(*words, code=4)


def test_what_a_run_cannot_begin_with_is_refused_before_anything_is_started(tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "ok.jsonl").write_text('{"video": "a.mp4", "object_id": 1, "frame_idx": 0, "box_xyxy": [1, 1, 9, 9]}\n')
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    (tmp_path / "weights.pt").write_bytes(b"\x86" * 64)     # read as an opcode: two values from an empty stack
    good = [f"source.uri={tmp_path / 'clips'}", f"prompts.uri={tmp_path / 'ok.jsonl'}", f"store.root={tmp_path / 'root'}"]
    for wrong, said in {
        f"source.uri={tmp_path / 'typo'}": "the source", f"prompts.uri={tmp_path / 'typo.jsonl'}": "does not exist",
        f"prompts.uri={tmp_path / 'no.csv'}": "video", "model.image_size=17": "image_size=17",
        "model.image_size=0": "image_size=0", "model.image_size=100000": "expected at most 4096",
        "model.checkpoint=none.pt": "model.checkpoint is 'none.pt'",
        f"model.checkpoint={tmp_path / 'weights.pt'}": "checkpoint",
        "model=tiny": "model=tiny has no checkpoint", "tracker.overrides.kf_weight=1": "kf_weight",
    }.items():
        with pytest.raises((BadConfiguration, BadInput), match=said.replace("(", r"\(")):
            check_inputs(load_config([*good, wrong]))
        assert said in typed("run", *good, wrong, code=2)
    assert not (tmp_path / "root").exists()
    assert "0 of 0 videos are due" in typed("plan", *good)
    assert json.loads(typed("plan", *good, "--json"))["dead"][0]["reason"] == "unknown_video"
    assert not (tmp_path / "root").exists(), "a plan writes nothing"


def test_a_split_is_followed_by_exports(root: Path, tmp_path: Path, typed: Typed) -> None:
    at, verdict = f"store.root={root}", ("--verdict", "review")
    assert "v000001: 1 videos for train, 0 videos for val" in typed("split", at, "--no-look", "--test", 0)
    typed("export", "mot", at, "-o", tmp_path / "mot", *verdict, "--split", "train")
    assert (tmp_path / "mot" / "train").is_dir()
    assert "split is 'dev'; expected one of train" in typed("export", "mot", at, "-o", tmp_path / "x", "--split", "dev", code=2)
    assert "shares" in typed("split", at, "--no-look", "--val", 0.6, "--test", 0.6, code=2)
