"""Gold on both databases: everybody answers it once, it scores them, and nothing of it reaches the dataset."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.review.db.decision_log import audit_log
from labeling.review.flow.listing import ItemFilter
from labeling.review.gold import Gold, GoldTruth, truth_by_masks, truth_of_settled
from labeling.review.items import AlreadySettled, ItemHeld, ItemKey, ItemStatus, Viewer
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import PageQueue
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.snapshots import read_snapshot
from labeling.types import RLE, Prompt
from tests.labeling.review.samples import HandClock, item, video_id
from tests.labeling.review.web.served import STRICT
from tests.labeling.store.made_store import RECIPE, SIZE_HW, box_prompt, mask_of, ref_of, write_job

ADA, BOB = Viewer("ada"), Viewer("bob")
KEY = ItemKey(video_id(1), "7", 1)


def square(left: int) -> RLE:
    mask_HW = np.zeros((40, 60), bool)
    mask_HW[8:30, left : left + 24] = True
    return rle.encode(mask_HW)


GOOD, BAD = GoldTruth(True, {4: square(5)}, "accepted"), GoldTruth(False, {4: square(5), 9: square(6)}, "corrected")


def answer(queue: ReviewQueue, who: Viewer, action: str, *prompts: Prompt) -> int:
    return queue.decide(KEY, action, prompts=prompts, reviewer=who.name).seq


def test_gold_is_answered_by_all_and_scores_them(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2, risk=0.9)])
    gold = Gold(queue)
    gold.add(KEY, BAD)
    gold.add(queue.get(2).key, GOOD)
    answer(queue, ADA, "correct", Prompt(7, 4, mask=square(5)), Prompt(7, 20, mask=square(30)))
    answer(queue, BOB, "accept")
    queue.decide(2, "reject", reviewer="ada")
    ada, bob = gold.scores()
    assert (ada.reviewer, ada.answers, ada.right, ada.mask_jf) == ("ada", 2, 1, 1.0)
    assert (bob.reviewer, bob.answers, bob.right, bob.mask_jf) == ("bob", 1, 0, None)
    assert [(g.item.item_id, g.good, g.num_masks, g.source, g.answers) for g in gold.list()] == [
        (1, False, 2, "corrected", 2), (2, True, 1, "accepted", 1),
    ]
    assert (queue.pending_decisions(), queue.corrections(unapplied_only=False)) == ([], [])
    assert audit_log(queue.database).num_decisions == 3


def test_nobody_answers_twice_nor_who_settled_it(queue: ReviewQueue) -> None:
    queue.open_items([item(1)])
    answer(queue, ADA, "reject")
    Gold(queue).add(KEY, BAD)
    assert queue.get(KEY).status is ItemStatus.OPEN
    assert queue.claim("ada") is None
    lease = queue.claim("bob")
    assert lease is not None
    seq = queue.decide(lease, "accept").seq
    assert queue.claim("bob") is None
    assert [(d.action, d.reviewer) for d in queue.pending_decisions()] == [("reject", "ada")]
    queue.undo(seq, "bob")
    assert Gold(queue).scores() == []
    assert [(d.action, d.reviewer) for d in queue.pending_decisions()] == [("reject", "ada")]
    assert queue.claim("bob") is not None


def test_an_answer_looks_like_any_decision_to_who_gave_it(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    answer(queue, Viewer("eve"), "accept")
    Gold(queue).add(KEY, GOOD)
    page, seen = PageQueue(queue), []
    for item_id in (1, 2):
        before, consensus = queue.history_for(item_id, ADA)
        lease = queue.claim("ada", item=item_id)
        assert lease is not None
        counts = page.counts_for(page.counts(ItemFilter()), ItemFilter(), ADA)
        seq = queue.decide(lease, "accept").seq
        after = page.counts_for(page.counts(ItemFilter()), ItemFilter(), ADA)
        history, done = queue.history_for(item_id, ADA)
        steps = {status: after.by_status[status] - counts.by_status[status] for status in ItemStatus}
        seen.append((
            [e.kind for e in before.events], before.decisions, consensus, steps, history.item.status, done,
            [(e.kind, e.reviewer) for e in history.events], [d.action for d in history.decisions],
        ))
        with pytest.raises(AlreadySettled, match=r"@1 is decided; expected one that waits"):
            queue.claim("ada", item=item_id)
        assert queue.undo(seq, "ada").status is ItemStatus.OPEN
    assert seen[0] == seen[1]


def test_gold_stays_whatever_becomes_of_its_masklet(queue: ReviewQueue) -> None:
    queue.open_items([item(1)])
    Gold(queue).add(KEY, BAD)
    assert queue.withdraw([KEY], because="judged clear") == 0
    assert queue.close_superseded({KEY[:2]: 4}) == 0
    assert queue.open_items([item(1, risk=0.1)]).settled == 1
    assert queue.open_items([item(1, version=2)]).superseded == 0
    assert queue.get(KEY).status is ItemStatus.OPEN


def test_gold_becomes_an_item_like_any_other(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    gold = Gold(queue)
    answer(queue, ADA, "reject")
    gold.add(KEY, BAD)
    gold.add(2, GOOD)
    gold.add(2, BAD)
    gold.remove(KEY)
    gold.remove(2)
    assert (queue.get(KEY).status, queue.get(2).status, gold.list()) == (ItemStatus.DECIDED, ItemStatus.OPEN, [])
    assert [d.reviewer for d in queue.pending_decisions()] == ["ada"]
    with pytest.raises(BadInput, match="is no gold"):
        gold.remove(2)


def test_what_cannot_be_gold(queue: ReviewQueue, clock: HandClock) -> None:
    queue.open_items([item(1), item(2)])
    queue.claim("ada", item=KEY)
    with pytest.raises(ItemHeld, match="'ada'"):
        Gold(queue).add(KEY, GOOD)
    queue.close_superseded({(video_id(2), "7"): 2})
    with pytest.raises(AlreadySettled, match="closed"):
        Gold(queue).add(2, GOOD)

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
def store_queue(store: FolderObjects, tmp_path: Path, sqlite_template: Path) -> Iterator[ReviewQueue]:
    (tmp_path / "store_queue.sqlite").write_bytes(sqlite_template.read_bytes())
    with ReviewQueue(str(tmp_path / "store_queue.sqlite")) as store_queue:
        assert store_queue.open_from_snapshot(store, read_snapshot(store), reviewers=2).opened == 1
        assert store_queue.history_for(1, Viewer("ada"))[1].wanted == 2
        store_queue.ask(1, 1)
        yield store_queue


def tracked() -> dict[int, RLE]:
    return {k: mask_of(1, k, empty=k >= SEEN).rle for k in range(NUM_FRAMES)}


def test_what_reviewers_settled_is_the_truth(store_queue: ReviewQueue, store: FolderObjects) -> None:
    with pytest.raises(BadInput, match="nobody has settled it"):
        truth_of_settled(store_queue, store, "1")
    store_queue.decide(1, "accept", reviewer="ada")
    item, truth = truth_of_settled(store_queue, store, str(store_queue.get(1).key))
    assert (item.item_id, truth.good, truth.masks, truth.source) == (1, True, tracked(), "accepted")


def test_what_a_reviewer_drew_is_right_and_the_masklet_was_wrong(store_queue: ReviewQueue, store: FolderObjects) -> None:
    drawn = mask_of(1, 5).rle
    store_queue.decide(1, "correct", prompts=[Prompt(1, 5, mask=drawn), box_prompt(1)], reviewer="ada")
    _, truth = truth_of_settled(store_queue, store, "1")
    assert (truth.good, truth.masks, truth.source) == (False, {5: drawn}, "corrected")


def test_true_masks_say_whether_a_masklet_is_right(store_queue: ReviewQueue, store: FolderObjects) -> None:
    item, masks = store_queue.get(1), tracked()
    truth, likeness = truth_by_masks(store, item, masks | {77: masks[0]})
    assert likeness == 1.0
    assert truth is not None
    assert (truth.good, truth.masks) == (True, masks)
    truth, likeness = truth_by_masks(store, item, {k: mask_of(3, k).rle for k in masks})
    assert likeness < 0.6
    assert truth is not None
    assert not truth.good
    truth, likeness = truth_by_masks(store, item, {k: mask_of(1, k).rle for k in masks})
    assert (truth, likeness) == (None, pytest.approx(4 / 6))
    with pytest.raises(BadInput, match="no frame with a true mask"):
        truth_by_masks(store, item, {77: masks[0]})
    with pytest.raises(BadInput, match="expected truth of the video's size"):
        truth_by_masks(store, item, {0: rle.empty((SIZE_HW[0] + 1, SIZE_HW[1]))})
