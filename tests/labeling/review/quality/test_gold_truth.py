"""Truth of gold from a real store: what was settled, and true masks beside the masklet's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.review.items import Viewer
from labeling.review.quality.gold import truth_by_masks, truth_of_settled
from labeling.review.queue import ReviewQueue
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.snapshots import read_snapshot
from labeling.types import RLE, Prompt
from tests.labeling.review.web.served import STRICT
from tests.labeling.store.made_store import RECIPE, SIZE_HW, box_prompt, mask_of, ref_of, write_job

NUM_FRAMES, SEEN = 6, 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderObjects:
    """A store in which one object is lost on the way."""
    folder = tmp_path_factory.mktemp("gold")
    objects = FolderObjects(folder / "store")
    table = PromptTable({"a.mp4": (box_prompt(1),)})
    for job in make_plan([ref_of("a.mp4")], table, read_ledger(objects), RECIPE, "run-1").jobs:
        write_job(objects, job, folder, num_frames=NUM_FRAMES, lost_after=SEEN)
    publish(objects, STRICT, run_id="run-1")
    return objects


@pytest.fixture
def queue(store: FolderObjects, tmp_path: Path, sqlite_template: Path) -> Iterator[ReviewQueue]:
    (tmp_path / "queue.sqlite").write_bytes(sqlite_template.read_bytes())
    with ReviewQueue(str(tmp_path / "queue.sqlite")) as queue:
        assert queue.open_from_snapshot(store, read_snapshot(store), reviewers=2).opened == 1
        assert queue.history_for(1, Viewer("ada"))[1].wanted == 2
        queue.ask(1, 1)
        yield queue


def tracked() -> dict[int, RLE]:
    return {k: mask_of(1, k, empty=k >= SEEN).rle for k in range(NUM_FRAMES)}


def test_what_reviewers_settled_is_the_truth(queue: ReviewQueue, store: FolderObjects) -> None:
    with pytest.raises(BadInput, match="nobody has settled it"):
        truth_of_settled(queue, store, "1")
    queue.decide(1, "accept", reviewer="ada")
    item, truth = truth_of_settled(queue, store, str(queue.get(1).key))
    assert (item.item_id, truth.good, truth.masks, truth.source) == (1, True, tracked(), "accepted")


def test_what_a_reviewer_drew_is_right_and_the_masklet_was_wrong(queue: ReviewQueue, store: FolderObjects) -> None:
    drawn = mask_of(1, 5).rle
    queue.decide(1, "correct", prompts=[Prompt(1, 5, mask=drawn), box_prompt(1)], reviewer="ada")
    _, truth = truth_of_settled(queue, store, "1")
    assert (truth.good, truth.masks, truth.source) == (False, {5: drawn}, "corrected")


def test_true_masks_say_whether_a_masklet_is_right(queue: ReviewQueue, store: FolderObjects) -> None:
    item, own = queue.get(1), tracked()
    truth, likeness = truth_by_masks(store, item, own | {77: own[0]})
    assert likeness == 1.0
    assert truth is not None
    assert (truth.good, truth.masks) == (True, own)
    truth, likeness = truth_by_masks(store, item, {k: mask_of(3, k).rle for k in own})
    assert likeness < 0.6
    assert truth is not None
    assert not truth.good
    truth, likeness = truth_by_masks(store, item, {k: mask_of(1, k).rle for k in own})
    assert (truth, likeness) == (None, pytest.approx(4 / 6))
    with pytest.raises(BadInput, match="no frame with a true mask"):
        truth_by_masks(store, item, {77: own[0]})
    with pytest.raises(BadInput, match="expected truth of the video's size"):
        truth_by_masks(store, item, {0: rle.empty((SIZE_HW[0] + 1, SIZE_HW[1]))})
