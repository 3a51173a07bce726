"""The audit's items in the queue: nothing tells them from the doubtful and known ones among them, and answers come back."""

from collections.abc import Sequence

import pytest

from labeling.errors import BadInput
from labeling.review.audits import AuditAnswer, Audits
from labeling.review.db.tables import AuditRow
from labeling.review.flow.opening import SUPERSEDED
from labeling.review.gold import Gold, GoldTruth
from labeling.review.items import ItemStatus, ReviewItem
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import click, item


def clear(number: int, **given: object) -> ReviewItem:
    """An item that the judge accepts."""
    return item(number, risk=0.03, reasons=(), **given)


def drawn(*numbers: int) -> Sequence[ReviewItem]:
    return [clear(number) for number in numbers]


def test_what_is_drawn_waits_without_risk_or_flags_before_all_others(queue: ReviewQueue) -> None:
    queue.open_items([item(n, risk=0.6 + n / 100) for n in range(8)])
    counts = Audits(queue).open([*drawn(20, 21, 22), item(3, risk=0.63)], draw="d000001", inclusion=0.4, mixed_in=2)
    assert (counts.waiting, counts.decided, counts.mixed_in) == (4, 0, 2)
    listed = queue.list()
    assert [queued.blind for queued in listed] == [True] * 6 + [False] * 5
    assert {queued.video_key for queued in listed[:6]} >= {"clip-20.mp4", "clip-21.mp4", "clip-22.mp4", "clip-3.mp4"}
    assert all((queued.risk, queued.flags) == (0.0, ()) for queued in listed[:6])
    assert [queued.risk for queued in listed[6:]] == sorted((q.risk for q in listed[6:]), reverse=True)
    # Those that are blind are not among the items of a reason, nor counted there.
    assert len(queue.list(reason="swap")) == 5
    with queue.database.read() as session:
        rows = session.query(AuditRow).all()
    assert {(row.draw, row.inclusion) for row in rows} == {("d000001", 0.4)}
    assert len(rows) == 4


def test_their_order_says_nothing(queue: ReviewQueue) -> None:
    queue.open_items([item(n) for n in range(30)])
    Audits(queue).open(drawn(*range(50, 80)), draw="d000001", inclusion=1.0, mixed_in=30)
    order = [queued.video_key for queued in queue.list()]
    audited = [int(key[5:-4]) >= 50 for key in order]
    # Were all of either kind together, there would be one change.
    assert sum(a != b for a, b in zip(audited, audited[1:], strict=False)) > 10


def test_opening_a_draw_again_changes_nothing(queue: ReviewQueue) -> None:
    audits = Audits(queue)
    first = audits.open(drawn(1, 2), draw="d000001", inclusion=0.5, mixed_in=0)
    before = queue.list()
    assert audits.open(drawn(1, 2), draw="d000001", inclusion=0.5, mixed_in=0) == first
    assert queue.list() == before
    audits.open(drawn(2, 3), draw="d000002", inclusion=0.1, mixed_in=0)
    with queue.database.read() as session:
        assert sorted((row.draw, row.item_id) for row in session.query(AuditRow)) == [
            ("d000001", 1), ("d000001", 2), ("d000002", 2), ("d000002", 3),
        ]


def test_a_newer_judgement_neither_shows_nor_withdraws_them(queue: ReviewQueue) -> None:
    Audits(queue).open(drawn(1, 2), draw="d000001", inclusion=0.5, mixed_in=0)
    counts = queue.open_items([item(1, risk=0.9)])
    assert (counts.unchanged, counts.refreshed) == (1, 0)
    assert queue.withdraw([clear(1).key, clear(2).key], because="judged clear in v000002") == 0
    assert [(q.blind, q.risk, q.reasons) for q in queue.list()] == [(True, 0.0, ())] * 2
    queue.open_items([item(1, version=2)])
    assert queue.get(clear(1).key).closed_because == f"{SUPERSEDED} 2"
    assert Audits(queue).num_waiting() == 1


def test_what_was_withdrawn_is_asked_for_again_and_what_was_replaced_is_not(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    queue.withdraw([item(1).key], because="judged clear in v000002")
    queue.open_items([item(2, version=2)])
    counts = Audits(queue).open(drawn(1, 2), draw="d000001", inclusion=0.5, mixed_in=0)
    assert counts.waiting == 1
    assert (queue.get(item(1).key).status, queue.get(item(1).key).blind) == (ItemStatus.OPEN, True)
    assert queue.get(item(2).key).status is ItemStatus.CLOSED


def test_answers_are_what_settled_an_item_before_the_draw_or_after(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    queue.decide(item(1).key, "correct", prompts=[click()], reviewer="ada", seconds=30)
    audits = Audits(queue)
    counts = audits.open(drawn(1, 2, 3, 4), draw="d000001", inclusion=0.5, mixed_in=0)
    assert (counts.waiting, counts.decided) == (3, 1)
    queue.decide(item(2).key, "reject", reviewer="bo", seconds=8)
    queue.decide(item(3).key, "accept", reviewer="bo", seconds=4)
    lease = queue.claim("ada")
    assert lease is not None
    queue.release(lease.token)
    answers = audits.answers([item(n).key for n in (1, 2, 3, 4)])
    assert {key.video_id: (a.bad, a.reviewer, a.seconds, a.blind) for key, a in answers.items()} == {
        item(1).key.video_id: (True, "ada", 30.0, False), item(2).key.video_id: (True, "bo", 8.0, True),
        item(3).key.video_id: (False, "bo", 4.0, True),
    }
    assert audits.num_waiting() == 1
    assert audits.answers([item(1, version=2).key]) == {}


def test_an_answer_that_was_taken_back_is_none(queue: ReviewQueue) -> None:
    audits = Audits(queue)
    audits.open(drawn(1), draw="d000001", inclusion=0.5, mixed_in=0)
    logged = queue.decide(item(1).key, "accept", reviewer="ada")
    queue.undo(logged.seq, "ada")
    assert audits.answers([item(1).key]) == {}
    assert queue.get(item(1).key).blind


def test_gold_is_mixed_in_and_answers_itself(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    gold = Gold(queue)
    gold.add(item(1).key, GoldTruth(False, {}, "true masks"))
    gold.add(item(2).key, GoldTruth(True, {}, "true masks"))
    audits = Audits(queue)
    assert audits.open(drawn(3), draw="d000001", inclusion=0.5, mixed_in=0).mixed_in == 2
    assert all(queued.blind for queued in queue.list())
    queue.decide(item(1).key, "accept", reviewer="ada")
    queue.decide(item(2).key, "accept", reviewer="ada")
    queue.decide(item(1).key, "reject", reviewer="bo")
    scores = {score.reviewer: score for score in gold.scores()}
    assert (scores["ada"].known_bad, scores["ada"].caught, scores["ada"].right) == (1, 0, 1)
    assert (scores["bo"].known_bad, scores["bo"].caught) == (1, 1)
    answer = audits.answers([item(1).key])[item(1).key]
    assert (answer.bad, answer.reviewer) == (True, "")
    assert isinstance(answer, AuditAnswer)


def test_what_somebody_holds_is_left_to_them(queue: ReviewQueue) -> None:
    queue.open_items([item(1, risk=0.9)])
    lease = queue.claim("ada")
    assert lease is not None
    Audits(queue).open([item(1, risk=0.9)], draw="d000001", inclusion=0.5, mixed_in=0)
    assert not queue.get(item(1).key).blind
    queue.decide(lease, "reject")
    assert Audits(queue).answers([item(1).key])[item(1).key].bad


def test_a_correction_is_no_verdict(queue: ReviewQueue) -> None:
    Audits(queue).open(drawn(1), draw="d000001", inclusion=0.5, mixed_in=0)
    with pytest.raises(BadInput, match="asked for a verdict alone and 1 prompts came; expected accept or reject"):
        queue.decide(item(1).key, "correct", prompts=[click()], reviewer="ada")
    assert queue.get(item(1).key).status is ItemStatus.OPEN
