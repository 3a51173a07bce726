"""The queue's promises, on both databases: no twins, order by risk, one holder, no lost work."""

from collections.abc import Callable

import pytest

from labeling.errors import BadInput
from labeling.review.db.decision_log import audit_log
from labeling.review.flow.listing import ItemFilter
from labeling.review.flow.opening import OpenCounts
from labeling.review.items import AlreadySettled, ItemHeld, ItemKey, ItemStatus, LostLease, UnknownItem
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import PageQueue
from labeling.types import PromptSource
from tests.labeling.review.samples import HandClock, click, drafts_of, item, seen_mask, video_id

KEY = ItemKey(video_id(1), "7", 1)


def test_opening_twice_makes_no_twin(queue: ReviewQueue) -> None:
    items = [item(n, risk=n / 10) for n in range(5)]
    assert queue.open_items(items) == OpenCounts(opened=5)
    assert queue.open_items(items) == OpenCounts(unchanged=5)
    assert queue.open_items([*items, items[0]]) == OpenCounts(unchanged=6)
    assert queue.counts()[ItemStatus.OPEN] == 5


def test_items_come_back_as_they_went_in(queue: ReviewQueue) -> None:
    given = item(1, risk=0.123456789, reasons=("swap", "drift"), category=None, priority=3)
    queue.open_items([given])
    stored = queue.get(KEY)
    assert (stored.key, stored.risk, stored.flags, stored.frame_span) == (given.key, given.risk, given.flags, (0, 48))
    assert (stored.category, stored.priority, stored.reasons, stored.video_key) == (None, 3, ("swap", "drift"), "clip-1.mp4")
    assert queue.get(stored.item_id) == stored


def test_a_new_judgement_refreshes_what_waits(queue: ReviewQueue) -> None:
    queue.open_items([item(1, risk=0.2, reasons=("swap",)), item(2, risk=0.3)])
    counts = queue.open_items([item(1, risk=0.9, reasons=("drift", "leak"), snapshot="v000002")])
    assert counts == OpenCounts(refreshed=1)
    assert [i.key.video_id for i in queue.list()] == [video_id(1), video_id(2)]
    assert [i.key for i in queue.list(reason="drift")] == [KEY]
    assert queue.list(reason="swap", category="car")[0].key != KEY


def test_a_newer_version_closes_the_older_open_and_claimed_one(queue: ReviewQueue) -> None:
    queue.open_items([item(1, risk=0.9), item(2, risk=0.1)])
    lease = queue.claim("ada")
    assert lease is not None
    assert lease.item.key == KEY
    counts = queue.open_items([item(1, version=2), item(2, version=3)])
    assert counts == OpenCounts(opened=2, superseded=2)
    old = queue.get(KEY)
    assert (old.status, old.closed_because, old.reviewer) == (ItemStatus.CLOSED, "superseded by version 2", None)
    with pytest.raises(LostLease, match="superseded by version 2") as lost:
        queue.decide(lease, "reject", note="two cars")
    assert [(d.draft_id, d.action, d.note, d.reviewer) for d in drafts_of(queue)] == [
        (lost.value.draft_id, "reject", "two cars", "ada")
    ]
    assert queue.open_items([item(1, version=1)]) == OpenCounts(stale=1)
    assert {i.key.label_version for i in queue.list()} == {2, 3}


def test_only_the_newest_version_of_a_batch_is_opened(queue: ReviewQueue) -> None:
    assert queue.open_items([item(1, version=2), item(1, version=1), item(1, version=3)]) == OpenCounts(opened=1, stale=2)
    assert [i.key.label_version for i in queue.list()] == [3]


def test_a_decided_item_stays_decided(queue: ReviewQueue) -> None:
    queue.open_items([item(1)])
    queue.decide(KEY, "accept", reviewer="ada")
    assert queue.open_items([item(1, risk=0.99)]) == OpenCounts(settled=1)
    assert queue.open_items([item(1, version=2)]) == OpenCounts(opened=1)
    assert queue.get(KEY).status is ItemStatus.DECIDED


def test_the_page_is_ordered_by_priority_then_risk(queue: ReviewQueue) -> None:
    queue.open_items([item(n, risk=r) for n, r in enumerate((0.2, 0.9, 0.5))] + [item(9, risk=0.1, priority=1)])
    assert [i.risk for i in queue.list()] == [0.1, 0.9, 0.5, 0.2]
    assert [i.risk for i in queue.list(limit=2, offset=1)] == [0.9, 0.5]


def test_filters_name_reason_category_run_and_status(queue: ReviewQueue) -> None:
    queue.open_items([
        item(1, risk=0.9, reasons=("swap", "drift"), category="car", run="a"),
        item(2, risk=0.8, reasons=("drift",), category="dog", run="a"),
        item(3, risk=0.7, reasons=("leak",), category="dog", run="b"),
    ])

    def risks(**wanted: str) -> list[float]:
        return [i.risk for i in queue.list(**wanted)]

    assert risks(reason="drift") == [0.9, 0.8]
    assert risks(category="dog") == [0.8, 0.7]
    assert risks(run="b") == [0.7]
    assert risks(reason="drift", category="dog", run="a") == [0.8]
    lease = queue.claim("ada", reason="drift", category="dog")
    assert lease is not None
    assert lease.item.risk == 0.8
    assert risks(reason="drift") == [0.9]
    assert risks(reason="drift", status="claimed") == [0.8]
    assert PageQueue(queue).counts(ItemFilter()).by_reason == {"drift": 1, "leak": 1, "swap": 1}
    assert [i.risk for i in queue.list(None)] == [0.9, 0.8, 0.7]


def test_claims_follow_risk_until_nothing_waits(queue: ReviewQueue) -> None:
    queue.open_items([item(n, risk=r) for n, r in enumerate((0.2, 0.9, 0.5))])
    held = [queue.claim(f"r{n}") for n in range(4)]
    assert [lease and lease.item.risk for lease in held] == [0.9, 0.5, 0.2, None]


def test_a_lease_expires_and_a_heartbeat_keeps_it(queue: ReviewQueue, clock: HandClock) -> None:
    queue.open_items([item(1)])
    lease = queue.claim("ada", lease_s=600)
    assert lease is not None
    clock.pass_s(599)
    assert queue.claim("bob") is None
    assert queue.heartbeat(lease.token).expires_at > lease.expires_at
    clock.pass_s(599)
    assert queue.claim("bob") is None
    clock.pass_s(1)
    with pytest.raises(LostLease, match="ran out"):
        queue.heartbeat(lease.token)
    other = queue.claim("bob")
    assert other is not None
    assert (other.item.key, other.reviewer, other.token != lease.token) == (KEY, "bob", True)
    assert [e.kind for e in queue.history(KEY).events] == ["opened", "claimed", "expired", "claimed"]


def test_a_late_decision_is_refused_and_kept_as_one_draft(queue: ReviewQueue, clock: HandClock) -> None:
    queue.open_items([item(1)])
    lease = queue.claim("ada", lease_s=60)
    assert lease is not None
    clock.pass_s(60)
    with pytest.raises(LostLease, match="ran out"):
        queue.decide(lease.token, "correct", prompts=[seen_mask(), click()], note="wrong car", seconds=41.5)
    other = queue.claim("bob")
    assert other is not None
    with pytest.raises(LostLease, match="claimed by bob") as lost:
        queue.decide(lease.token, "correct", prompts=[seen_mask(), click()], note="wrong car", seconds=41.5)
    (kept,) = drafts_of(queue)
    assert (kept.draft_id, kept.reviewer, kept.action, kept.note, kept.seconds) == (
        lost.value.draft_id, "ada", "correct", "wrong car", 41.5
    )
    assert kept.prompts[0] == seen_mask()
    assert queue.decide(other, "accept").reviewer == "bob"
    history = queue.history(KEY)
    assert [d.action for d in history.decisions] == ["accept"]
    assert [d.action for d in history.drafts] == ["correct"]
    assert [e.kind for e in history.events] == ["opened", "claimed", "refused", "expired", "claimed", "refused", "decided"]


def test_an_unknown_token_is_refused_without_a_draft(queue: ReviewQueue) -> None:
    with pytest.raises(LostLease, match="unknown") as lost:
        queue.decide("no-such-token", "accept")
    assert lost.value.draft_id is None
    assert drafts_of(queue) == []


def test_a_released_item_is_free_again_and_can_be_skipped(queue: ReviewQueue) -> None:
    queue.open_items([item(1, risk=0.9), item(2, risk=0.5)])
    lease = queue.claim("ada")
    assert lease is not None
    queue.release(lease.token)
    queue.release(lease.token)
    after = queue.claim("ada", skipping=[lease.item.item_id])
    assert after is not None
    assert after.item.risk == 0.5
    with pytest.raises(LostLease, match="released"):
        queue.decide(lease, "accept")
    again = queue.claim("bob")
    assert again is not None
    assert again.item.key == KEY


def test_deciding_again_with_the_same_lease_gives_the_same_decision(queue: ReviewQueue) -> None:
    queue.open_items([item(1)])
    lease = queue.claim("ada")
    assert lease is not None
    first = queue.decide(lease, "correct", prompts=[click()], note="n")
    assert queue.decide(lease, "correct", prompts=[click()], note="n") == first
    with pytest.raises(AlreadySettled, match="correct"):
        queue.decide(lease, "accept")
    with pytest.raises(AlreadySettled, match="decided"):
        queue.claim("bob", item=KEY)
    assert audit_log(queue.database).num_decisions == 1


def test_a_named_item_is_claimed_and_decided_in_one_step(queue: ReviewQueue, clock: HandClock) -> None:
    queue.open_items([item(1), item(2)])
    lease = queue.claim("ada", item=KEY)
    assert lease is not None
    assert queue.claim("ada", item=KEY).token == lease.token
    with pytest.raises(ItemHeld, match="'ada'"):
        queue.decide(KEY, "accept", reviewer="bob")
    with pytest.raises(ItemHeld, match="'ada'"):
        queue.claim("bob", item=KEY)
    clock.pass_s(7)
    decision = queue.decide(KEY, "reject", reviewer="ada")
    assert decision.seconds == 7.0
    assert queue.decide(KEY, "reject", reviewer="ada") == decision
    with pytest.raises(AlreadySettled, match="decided"):
        queue.decide(KEY, "reject", reviewer="bob")
    with pytest.raises(UnknownItem, match="4711"):
        queue.decide(4711, "accept", reviewer="ada")


def test_corrections_wait_until_they_are_applied(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    queue.decide(KEY, "correct", reviewer="ada", prompts=[click(frame_idx=3), seen_mask()])
    queue.decide(ItemKey(video_id(2), "7", 1), "accept", reviewer="ada")
    (correction,) = queue.corrections()
    assert (correction.key, correction.video_key) == (KEY, "clip-1.mp4")
    assert {p.source for p in correction.prompts} == {PromptSource.CORRECTION}
    assert correction.prompts[1] == seen_mask()
    assert correction.prompts[0].points_xy == click().points_xy
    assert queue.mark_applied([correction], run_id="run-2") == 1
    assert queue.mark_applied([correction], run_id="run-2") == 0
    assert queue.corrections() == []
    assert [c.applied_by for c in queue.corrections(unapplied_only=False)] == ["run-2"]


def test_decisions_for_the_publish(queue: ReviewQueue, clock: HandClock) -> None:
    queue.open_items([item(1), item(2), item(3)])
    queue.decide(KEY, "accept", reviewer="ada")
    clock.pass_s(5)
    queue.decide(ItemKey(video_id(2), "7", 1), "reject", reviewer="bob")
    assert [(d.video_id, d.action, d.reviewer, d.decided_at) for d in queue.pending_decisions()] == [
        (video_id(1), "accept", "ada", "2026-03-01T12:00:00+00:00"),
        (video_id(2), "reject", "bob", "2026-03-01T12:00:05+00:00"),
    ]
    assert [d.seq for d in queue.decisions_since()] == [1, 2]
    assert [d.action for d in queue.decisions_since(1)] == ["reject"]


def test_what_is_no_longer_in_doubt_leaves_the_queue(queue: ReviewQueue) -> None:
    queue.open_items([item(1, risk=0.9), item(2, risk=0.5), item(3, risk=0.4)])
    lease = queue.claim("ada")
    assert queue.withdraw([KEY, (video_id(2), "7", 1), (video_id(8), "7", 1)], because="accepted in v000002") == 1
    assert queue.decide(lease, "accept").action == "accept"
    assert [i.risk for i in queue.list()] == [0.4]
    assert queue.open_items([item(2, risk=0.6)]) == OpenCounts(reopened=1)
    assert [i.risk for i in queue.list(reason="swap")] == [0.6, 0.4]
    assert queue.close_superseded({(video_id(2), "7"): 1, (video_id(3), "7"): 4, (video_id(1), "7"): 2}) == 1
    assert [i.risk for i in queue.list()] == [0.6]
    assert queue.list("closed")[0].closed_because == "superseded by version 4"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda q: q.decide(KEY, "maybe", reviewer="ada"), "'maybe'; expected accept, reject or correct"),
        (lambda q: q.decide(KEY, "correct", reviewer="ada"), "0 prompts came with correct"),
        (lambda q: q.decide(KEY, "accept", prompts=[click()], reviewer="ada"), "1 prompts came with accept"),
        (lambda q: q.decide(KEY, "correct", prompts=[click(8)], reviewer="ada"), "object_id is 8; expected 7"),
        (lambda q: q.decide(KEY, "accept"), "reviewer is ''"),
        (lambda q: q.decide(KEY, "accept", reviewer="ada", note="a\0b"), "without NUL"),
        (lambda q: q.decide(KEY, "accept", reviewer="ada", seconds=-1), "seconds is -1"),
        (lambda q: q.claim("ada", lease_s=0), "lease_s is 0"),
        (lambda q: q.list("late"), "status is 'late'; expected one of open"),
        (lambda q: q.list(limit=0), "limit"),
        (lambda q: ItemKey.parse("xyz"), "VIDEO_ID/TRACK_ID@VERSION"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    queue: ReviewQueue, wrong: Callable[[ReviewQueue], object], message: str
) -> None:
    queue.open_items([item(1)])
    with pytest.raises(BadInput, match=message):
        wrong(queue)
    assert queue.get(KEY).status is ItemStatus.OPEN
    assert [e.kind for e in queue.history(KEY).events] == ["opened"]


def test_item_names_read_back() -> None:
    assert ItemKey.parse(f" {KEY} ") == KEY
    assert ItemKey.parse(str(ItemKey(video_id(3), "-12", 0))) == (video_id(3), "-12", 0)
