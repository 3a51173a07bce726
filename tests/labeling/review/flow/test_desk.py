"""The desk on both databases: counts by any filter, efforts, work in hand, undo beside other reviewers, accounts."""

import itertools

import pytest

from labeling.review.accounts import Accounts
from labeling.review.errors import AlreadySettled, LostLease
from labeling.review.flow.desk import Desk
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import ItemStatus
from labeling.review.quality.throughput import Effort
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, click, item


@pytest.fixture
def desk(queue: ReviewQueue) -> Desk:
    """A desk on a queue with twelve items."""
    kinds = itertools.product(("car", "dog", None), ("run-1", "run-2"), (("swap",), ("swap", "leak")))
    queue.open_items(item(k, category=c, run=r, reasons=why) for k, (c, r, why) in enumerate(kinds))
    return Desk(queue)


def test_counts_are_those_of_the_list(desk: Desk, queue: ReviewQueue) -> None:
    queue.decide(queue.list()[0].item_id, "accept", reviewer="ada")
    for status, reason, category, run in itertools.product(
        (ItemStatus.OPEN, ItemStatus.DECIDED, None), ("swap", "leak", "drift", None), ("dog", None), ("run-2", None)
    ):
        counts = desk.counts(ItemFilter(status, reason, category, run))
        assert counts.total == len(queue.list(status, reason=reason, category=category, run=run))
        assert counts.by_status == queue.counts()


def test_efforts_leave_out_what_was_taken_back(desk: Desk, queue: ReviewQueue) -> None:
    for seconds, clicks in ((2.0, 1), (4.0, None), (60.0, 9)):
        lease = queue.claim("ada")
        assert lease is not None
        last = queue.decide(lease, "reject", seconds=seconds, clicks=clicks).seq
    desk.undo(last, "ada")
    assert list(desk.efforts()) == [Effort("ada", "reject", 2, 6.0, 1, 1)]


def test_undo_reopens_once_and_the_log_stays_whole(desk: Desk, queue: ReviewQueue) -> None:
    first = queue.decide(1, "correct", prompts=[click()], reviewer="ada")
    queue.decide(2, "accept", reviewer="bob")
    assert desk.undo(first.seq, "ada").status == "open"
    assert [c.seq for c in queue.corrections(unapplied_only=False)] == []
    assert [d.action for d in queue.pending_decisions()] == ["accept"]
    assert [d.action for d in queue.decisions_since()] == ["correct", "accept", "undo"]
    for seq, who in ((first.seq, "ada"), (2, "ada"), (3, "ada"), (first.seq, "bob")):
        with pytest.raises(AlreadySettled):
            desk.undo(seq, who)
    assert queue.verify_chain().ok
    queue.decide(1, "accept", reviewer="eve")
    assert sorted(d.reviewer for d in queue.pending_decisions()) == ["bob", "eve"]


def test_an_item_that_went_on_stays(desk: Desk, queue: ReviewQueue) -> None:
    done = queue.decide(1, "correct", prompts=[click()], reviewer="ada")
    queue.mark_applied(queue.corrections(), run_id="run-9")
    with pytest.raises(AlreadySettled, match="a run has tracked"):
        desk.undo(done.seq, "ada")


def test_work_in_hand_is_one_for_each_reviewer(desk: Desk, queue: ReviewQueue) -> None:
    number = desk.keep_work(1, "ada", '{"a":1}')
    assert desk.keep_work(1, "bob", '{"b":1}') != number
    assert desk.keep_work(1, "ada", '{"a":2}') == number
    kept = desk.work(1, "ada")
    assert kept is not None
    assert kept.work == '{"a":2}'
    lease = queue.claim("ada", item=1)
    assert lease is not None
    queue.decide(lease, "accept")
    assert desk.work(1, "ada") is None
    assert desk.work(1, "bob") is not None


def test_whose_a_lease_is(desk: Desk, queue: ReviewQueue, clock: HandClock) -> None:
    lease = queue.claim("ada", lease_s=60)
    assert lease is not None
    assert (desk.holder(lease.token).reviewer, desk.holder(lease.token).live) == ("ada", True)
    clock.pass_s(61)
    assert (desk.holder(lease.token).reviewer, desk.holder(lease.token).live) == ("ada", False)
    with pytest.raises(LostLease, match="unknown"):
        desk.holder("never")


def test_accounts(queue: ReviewQueue, clock: HandClock) -> None:
    accounts = Accounts(queue)
    cookie, ada = accounts.sign_in_by_name("ada")
    assert accounts.who(cookie) == ada
    token = accounts.make_token("bob", role="senior")
    assert accounts.who(cookie) is None
    begun = accounts.sign_in(token)
    assert begun is not None
    assert (begun[1].name, begun[1].role) == ("bob", "senior")
    assert accounts.who(begun[0]) == begun[1]
    assert accounts.sign_in("x") is None
    assert (accounts.revoke("bob"), accounts.revoke("bob")) == (1, 0)
    assert (accounts.who(begun[0]), accounts.sign_in(token)) == (None, None)
