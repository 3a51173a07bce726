"""What reviewing takes, on both databases: by reviewer and kind of decision, and what waits over time."""

from datetime import timedelta

import pytest

from labeling.review.figures import Effort, Rates, by_reviewer, rates_of, step_for, throughput
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, click, item

EFFORTS = (
    Effort("ada", "accept", 3, 9.0, counted=1, clicks=4), Effort("bob", "accept", 1, 11.0),
    Effort("ada", "correct", 1, 20.0, counted=1, clicks=6),
)


def test_figures_weigh_each_decision_once() -> None:
    assert rates_of(EFFORTS) == Rates(5, 8.0, 5.0, 450.0)
    assert rates_of(EFFORTS[1:2]) == Rates(1, 11.0, None, 3600 / 11)
    assert rates_of([]) == Rates(0, None, None, None)
    assert list(by_reviewer(EFFORTS)) == ["ada", "bob"]


def test_the_backlog_counts_what_waits_after_each_stretch(queue: ReviewQueue, clock: HandClock) -> None:
    assert throughput(queue).backlog == ()
    start = clock()
    queue.open_items([item(number) for number in range(1, 6)])
    clock.pass_s(90)
    lease = queue.claim("ada")
    assert lease is not None
    queue.decide(lease, "accept", seconds=3.0, clicks=2)
    clock.pass_s(60)
    undone = queue.decide(2, "correct", prompts=[click()], reviewer="ada", seconds=20.0)
    clock.pass_s(60)
    queue.undo(undone.seq, "ada")
    queue.decide(3, "reject", reviewer="bob", seconds=5.0)
    waits = next(number for number in range(1, 6) if item(number).key == queue.list()[-1].key)
    queue.open_items([item(waits, version=2)])      # closes the older version
    done = throughput(queue)
    assert [(m.until - start, m.waiting, m.decided) for m in done.backlog] == [
        (timedelta(minutes=1), 5, 0), (timedelta(minutes=2), 4, 1), (timedelta(minutes=3), 3, 1), (timedelta(minutes=4), 3, 1),
    ]
    assert [(name, kind, figures.decisions) for name, kind, figures in done.rows] == [
        ("everybody", "all", 2), ("everybody", "accept", 1), ("everybody", "reject", 1),
        ("ada", "all", 1), ("ada", "accept", 1), ("bob", "all", 1), ("bob", "reject", 1),
    ]
    assert sum(queue.counts()[status] for status in ("open", "claimed")) == done.backlog[-1].waiting


@pytest.mark.parametrize(("length", "minutes"), [
    ({"minutes": 0}, 1), ({"minutes": 47}, 1), ({"minutes": 48}, 10), ({"hours": 20}, 60), ({"days": 2}, 24 * 60),
    ({"days": 60}, 7 * 24 * 60), ({"days": 4000}, 7 * 24 * 60),
])
def test_stretches_grow_with_the_time(length: dict[str, float], minutes: int) -> None:
    assert step_for(timedelta(**length)) == timedelta(minutes=minutes)
