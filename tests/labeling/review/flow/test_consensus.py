"""Several reviewers on one item: nobody twice, agreement settles, disagreement waits for a senior, only outcomes count."""

import numpy as np
import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.review.db.decision_log import audit_log
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import AlreadySettled, ItemStatus, Lease, NeedsSenior, Viewer
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import PageQueue
from labeling.types import Prompt
from tests.labeling.review.samples import HandClock, item

ADA, BOB, EVE = Viewer("ada"), Viewer("bob"), Viewer("eve", senior=True)


def held(queue: ReviewQueue, who: Viewer) -> Lease:
    lease = queue.claim(who.name, senior=who.senior)
    assert lease is not None
    return lease


def say(queue: ReviewQueue, who: Viewer, action: str, *prompts: Prompt) -> int:
    return queue.decide(held(queue, who), action, prompts=prompts).seq


def drawn(left: int, frame_idx: int = 4) -> Prompt:
    mask_HW = np.zeros((40, 60), bool)
    mask_HW[8:30, left : left + 24] = True
    return Prompt(7, frame_idx, mask=rle.encode(mask_HW))


def test_those_who_agree_settle_and_nobody_gets_it_twice(queue: ReviewQueue) -> None:
    queue.open_items([item(1, reviewers=2, risk=0.9), item(2, risk=0.1)])
    first = say(queue, ADA, "accept")
    assert (queue.get(1).status, queue.pending_decisions()) == (ItemStatus.OPEN, [])
    assert held(queue, ADA).item.item_id == 2
    with pytest.raises(AlreadySettled, match="is decided"):
        queue.claim("ada", item=1)
    assert queue.decide(1, "accept", reviewer="ada").seq == first
    with pytest.raises(AlreadySettled, match="decided already: 'accept' by 'ada'"):
        queue.decide(1, "reject", reviewer="ada")
    say(queue, BOB, "accept")
    assert queue.get(1).status is ItemStatus.DECIDED
    assert [(d.action, d.reviewer) for d in queue.pending_decisions()] == [("accept", "bob")]


def test_a_dispute_waits_for_a_senior_whose_word_settles(queue: ReviewQueue) -> None:
    queue.open_items([item(1, reviewers=3)])
    say(queue, ADA, "accept")
    say(queue, BOB, "reject")
    assert queue.claim("carl") is None
    with pytest.raises(NeedsSenior, match="reviewers disagree"):
        queue.claim("carl", item=1)
    assert queue.claim("ada", senior=True) is None
    assert queue.list(viewer=Viewer("carl")) == []
    assert [i.item_id for i in queue.list(viewer=EVE)] == [1]
    say(queue, EVE, "correct", drawn(5))
    assert [(d.action, d.reviewer) for d in queue.pending_decisions()] == [("correct", "eve")]
    assert [c.prompts[0].mask for c in queue.corrections()] == [drawn(5).mask]
    assert audit_log(queue.database).num_decisions == 3


@pytest.mark.parametrize(
    ("second", "settled"), [((drawn(6), drawn(3, 9)), True), ((drawn(25),), False), ((drawn(5, 8),), False)],
    ids=["nearly the same", "elsewhere", "no common frame"],
)
def test_masks_have_to_agree(queue: ReviewQueue, second: tuple[Prompt, ...], settled: bool) -> None:
    queue.open_items([item(1, reviewers=2)])
    say(queue, ADA, "correct", drawn(5))
    assert queue.corrections() == []
    say(queue, BOB, "correct", *second)
    assert (queue.get(1).status is ItemStatus.DECIDED) is settled
    assert [c.prompts for c in queue.corrections()] == ([queue.history(1).decisions[-1].prompts] if settled else [])


def test_what_is_taken_back_no_longer_counts(queue: ReviewQueue) -> None:
    queue.open_items([item(1, reviewers=2)])
    first = say(queue, ADA, "reject")
    second = say(queue, BOB, "accept")
    with pytest.raises(AlreadySettled, match="has gone on"):
        queue.undo(first, "ada")
    queue.undo(second, "bob")
    outcome = say(queue, BOB, "reject")
    assert queue.get(1).status is ItemStatus.DECIDED
    queue.undo(outcome, "bob")
    assert queue.pending_decisions() == []
    assert queue.claim("ada") is None
    say(queue, BOB, "accept")
    senior = say(queue, EVE, "accept")
    queue.undo(senior, "eve")
    with pytest.raises(NeedsSenior):
        queue.claim("carl", item=1)
    say(queue, EVE, "reject")
    assert [(d.action, d.reviewer) for d in queue.pending_decisions()] == [("reject", "eve")]


def test_more_reviewers_can_be_asked_of_one_item(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    queue.ask(1, 2)
    queue.decide(1, "accept", reviewer="ada")
    for wrong in (0, 1, 10):
        with pytest.raises(BadInput, match="expected 2 to 9"):
            queue.ask(1, wrong)
    queue.ask(1, 3)
    queue.decide(1, "accept", reviewer="bob")
    assert queue.get(1).status is ItemStatus.OPEN
    queue.decide(1, "accept", reviewer="carl")
    with pytest.raises(AlreadySettled):
        queue.ask(1, 4)


def test_a_reviewer_sees_what_they_have_said_as_decided(queue: ReviewQueue, clock: HandClock) -> None:
    queue.open_items([item(1, reviewers=2, risk=0.9, reasons=("swap", "leak")), item(2, risk=0.5), item(3, risk=0.1)])
    page = PageQueue(queue)
    say(queue, ADA, "accept")
    queue.decide(3, "accept", reviewer="bob")
    assert [i.item_id for i in queue.list(viewer=ADA)] == [2]
    assert [(i.item_id, i.status) for i in queue.list("decided", viewer=ADA)] == [
        (1, ItemStatus.DECIDED), (3, ItemStatus.DECIDED),
    ]
    assert [i.item_id for i in queue.list(viewer=BOB)] == [1, 2]
    assert [i.status for i in queue.list(None, viewer=ADA)] == ["decided", "open", "decided"]
    for wanted in (ItemFilter(), ItemFilter(ItemStatus.DECIDED), ItemFilter(reason="leak"), ItemFilter(None)):
        for viewer in (ADA, BOB, EVE):
            counts = page.counts_for(page.counts(wanted), wanted, viewer)
            assert counts.total == len(queue.list(wanted.status, reason=wanted.reason, viewer=viewer))
    assert page.counts_for(page.counts(ItemFilter()), ItemFilter(), ADA).by_reason == {"swap": 1}


def test_others_opinions_show_once_the_item_is_settled(queue: ReviewQueue) -> None:
    queue.open_items([item(1, reviewers=2)])
    say(queue, ADA, "accept")
    for viewer, kinds, have in ((ADA, ["opened", "claimed", "decided"], 1), (BOB, ["opened"], 1)):
        history, consensus = queue.history_for(1, viewer)
        assert [event.kind for event in history.events] == kinds
        assert [d.reviewer for d in history.decisions] == ([] if viewer is BOB else ["ada"])
        assert (consensus.wanted, consensus.have) == (2, have)
    say(queue, BOB, "reject")
    assert [d.action for d in queue.history_for(1, EVE)[0].decisions] == ["accept", "reject"]
    assert [d.action for d in queue.history_for(1, ADA)[0].decisions] == ["accept"]
    say(queue, EVE, "accept")
    history, consensus = queue.history_for(1, Viewer("carl"))
    assert ([d.action for d in history.decisions], consensus.have) == (["accept", "reject", "accept"], 3)
