"""What the page asks of the queue, on both databases: counts by any filter, efforts, work in hand, undo, accounts."""

import itertools

import pytest

from labeling.review.accounts import Accounts
from labeling.review.db.decision_log import audit_log
from labeling.review.figures import Effort
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import AlreadySettled, ItemStatus, LostLease
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import PageQueue
from tests.labeling.review.samples import HandClock, click, item


@pytest.fixture
def page(queue: ReviewQueue) -> PageQueue:
    """A page's view of a queue with twelve items."""
    kinds = itertools.product(("car", "dog", None), ("run-1", "run-2"), (("swap",), ("swap", "leak")))
    queue.open_items(item(k, category=c, run=r, reasons=why) for k, (c, r, why) in enumerate(kinds))
    return PageQueue(queue)


def test_counts_are_those_of_the_list(page: PageQueue, queue: ReviewQueue) -> None:
    queue.decide(queue.list()[0].item_id, "accept", reviewer="ada")
    for status, reason, category, run in itertools.product(
        (ItemStatus.OPEN, ItemStatus.DECIDED, None), ("swap", "leak", "drift", None), ("dog", None), ("run-2", None)
    ):
        counts = page.counts(ItemFilter(status, reason, category, run))
        assert counts.total == len(queue.list(status, reason=reason, category=category, run=run))
        assert counts.by_status == queue.counts()


def test_efforts_leave_out_what_was_taken_back(page: PageQueue, queue: ReviewQueue) -> None:
    for seconds, clicks in ((2.0, 1), (4.0, None), (60.0, 9)):
        lease = queue.claim("ada")
        assert lease is not None
        last = queue.decide(lease, "reject", seconds=seconds, clicks=clicks).seq
    queue.undo(last, "ada")
    assert list(page.efforts()) == [Effort("ada", "reject", 2, 6.0, 1, 1)]


def test_undo_reopens_once_and_the_log_stays_whole(page: PageQueue, queue: ReviewQueue) -> None:
    first = queue.decide(1, "correct", prompts=[click()], reviewer="ada")
    queue.decide(2, "accept", reviewer="bob")
    assert queue.undo(first.seq, "ada").status == "open"
    assert [c.seq for c in queue.corrections(unapplied_only=False)] == []
    assert [d.action for d in queue.pending_decisions()] == ["accept"]
    assert [d.action for d in queue.decisions_since()] == ["correct", "accept", "undo"]
    for seq, who in ((first.seq, "ada"), (2, "ada"), (3, "ada"), (first.seq, "bob")):
        with pytest.raises(AlreadySettled):
            queue.undo(seq, who)
    assert audit_log(queue.database).ok
    queue.decide(1, "accept", reviewer="eve")
    assert sorted(d.reviewer for d in queue.pending_decisions()) == ["bob", "eve"]


def test_an_item_that_went_on_stays(page: PageQueue, queue: ReviewQueue) -> None:
    done = queue.decide(1, "correct", prompts=[click()], reviewer="ada")
    queue.mark_applied(queue.corrections(), run_id="run-9")
    with pytest.raises(AlreadySettled, match="a run has tracked"):
        queue.undo(done.seq, "ada")


def test_work_in_hand_is_one_for_each_reviewer(page: PageQueue, queue: ReviewQueue) -> None:
    number = page.keep_work(1, "ada", '{"a":1}')
    assert page.keep_work(1, "bob", '{"b":1}') != number
    assert page.keep_work(1, "ada", '{"a":2}') == number
    kept = page.work(1, "ada")
    assert kept is not None
    assert kept.work == '{"a":2}'
    lease = queue.claim("ada", item=1)
    assert lease is not None
    queue.decide(lease, "accept")
    assert page.work(1, "ada") is None
    assert page.work(1, "bob") is not None


def test_whose_a_lease_is(page: PageQueue, queue: ReviewQueue, clock: HandClock) -> None:
    lease = queue.claim("ada", lease_s=60)
    assert lease is not None
    assert (page.holder(lease.token).reviewer, page.holder(lease.token).live) == ("ada", True)
    clock.pass_s(61)
    assert (page.holder(lease.token).reviewer, page.holder(lease.token).live) == ("ada", False)
    with pytest.raises(LostLease, match="unknown"):
        page.holder("never")


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
