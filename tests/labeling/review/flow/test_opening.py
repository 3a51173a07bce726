"""From a real store into the queue and back: what is doubted waits, what is decided enters the next snapshot."""

from pathlib import Path

import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.review.flow.opening import OpenCounts
from labeling.review.items import ItemKey, ItemStatus
from labeling.review.queue import ReviewQueue
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.types import Prompt
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of, write_job

STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])
LENIENT = QCConfig("lenient", [])
A, B = ref_of("a.mp4").video_id, ref_of("b.mp4").video_id


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "store")


@pytest.fixture
def queue(tmp_path: Path, sqlite_template: Path) -> ReviewQueue:
    (tmp_path / "queue.sqlite").write_bytes(sqlite_template.read_bytes())
    return ReviewQueue(str(tmp_path / "queue.sqlite"))


def label(store: FolderObjects, scratch: Path, by_video: dict[str, tuple[Prompt, ...]], run_id: str, **how) -> None:
    refs = [ref_of(key) for key in by_video]
    for job in make_plan(refs, PromptTable(by_video), read_ledger(store), RECIPE, run_id).jobs:
        write_job(store, job, scratch, **how)


def test_the_loop_from_doubt_to_decision(store: FolderObjects, queue: ReviewQueue, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1, category="car"), box_prompt(2))}, "one", lost_after=4)
    label(store, tmp_path / "s", {"b.mp4": (box_prompt(1),)}, "one")
    first = publish(store, STRICT, run_id="one")
    assert queue.open_from_snapshot(store, first) == OpenCounts(opened=2)
    assert queue.open_from_snapshot(store, first) == OpenCounts(unchanged=2)
    opened = queue.get(ItemKey(A, "1", 1))
    assert (opened.video_key, opened.category, opened.run_id, opened.snapshot) == ("a.mp4", "car", "one", "v000001")
    assert (opened.frame_span, opened.reasons, opened.flags[0].threshold) == ((0, 6), ("object_lost",), 0.9)
    assert 0 < opened.risk <= 1

    queue.decide(ItemKey(A, "1", 1), "accept", reviewer="ada")
    queue.decide(ItemKey(A, "2", 1), "correct", reviewer="ada", prompts=[box_prompt(2, 5.0)])
    second = publish(store, STRICT, run_id="two", decisions=queue.pending_decisions())
    assert (second.counts["decided"], second.counts["accept"], second.counts["review"]) == (1, 2, 1)
    assert queue.open_from_snapshot(store, second) == OpenCounts(settled=1)
    assert queue.list() == []

    (correction,) = queue.corrections()
    assert (correction.key, correction.video_key) == (ItemKey(A, "2", 1), "a.mp4")
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(2), *correction.prompts)}, "three", lost_after=3)
    third = publish(store, STRICT, run_id="three", decisions=queue.pending_decisions())
    assert queue.open_from_snapshot(store, third) == OpenCounts(opened=1)
    assert [item.key for item in queue.list()] == [ItemKey(A, "2", 2)]


def test_a_newer_version_and_a_kinder_judge_empty_the_queue(store: FolderObjects, queue: ReviewQueue, tmp_path: Path) -> None:
    by_video = {"a.mp4": (box_prompt(1),), "b.mp4": (box_prompt(1),)}
    label(store, tmp_path / "s", by_video, "one", lost_after=4)
    assert queue.open_from_snapshot(store, publish(store, STRICT, run_id="one")).opened == 2
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1, 9.0),)}, "two")
    assert queue.open_from_snapshot(store, publish(store, STRICT, run_id="two")) == OpenCounts(refreshed=1, superseded=1)
    assert queue.get(ItemKey(A, "1", 1)).closed_because == "superseded by version 2"
    lenient = publish(store, LENIENT, run_id="three")
    assert queue.open_from_snapshot(store, lenient) == OpenCounts()
    assert queue.get(ItemKey(B, "1", 1)).closed_because == f"judged clear in {lenient.name}"
    again = publish(store, STRICT, run_id="four")
    assert queue.open_from_snapshot(store, again) == OpenCounts(reopened=1)
    assert queue.counts()[ItemStatus.OPEN] == 1
