"""Gold on both databases: everybody answers it once, it scores them, and nothing of it reaches the dataset."""

import numpy as np
import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.review.errors import AlreadySettled, ItemHeld
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import ItemKey, ItemStatus, Viewer
from labeling.review.quality.audit import audit
from labeling.review.quality.gold import Gold, Truth
from labeling.review.queue import ReviewQueue
from labeling.review.web.page_queue import PageQueue
from labeling.types import RLE, Prompt
from tests.labeling.review.samples import HandClock, item, video_id

ADA, BOB = Viewer("ada"), Viewer("bob")
KEY = ItemKey(video_id(1), "7", 1)


def square(left: int) -> RLE:
    mask_HW = np.zeros((40, 60), bool)
    mask_HW[8:30, left : left + 24] = True
    return rle.encode(mask_HW)


GOOD, BAD = Truth(True, {4: square(5)}, "accepted"), Truth(False, {4: square(5), 9: square(6)}, "corrected")


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
    assert audit(queue).num_decisions == 3


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
