"""Twenty reviewers at once, and processes that are killed: nobody holds the same item, nothing decided is lost."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from labeling.review.db.decision_log import audit_log
from labeling.review.items import ItemStatus
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, item

REVIEWERS, ITEMS = 20, 200

DECIDE_UNTIL_KILLED = """
import sys
from labeling.review.queue import ReviewQueue
queue = ReviewQueue(sys.argv[1])
while (lease := queue.claim("ada")) is not None:
    decision = queue.decide(lease, "accept", note="a note")
    print(decision.seq, decision.row_hash, flush=True)
"""

DIE_AT_COMMIT = """
import os, signal, sys
from sqlalchemy import event
from labeling.review.queue import ReviewQueue
queue = ReviewQueue(sys.argv[1])
lease = queue.claim("ada", lease_s=1)
print(lease.token, flush=True)
event.listen(queue.database.engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
queue.decide(lease, "reject", note="never heard of")
"""


def test_twenty_reviewers_never_hold_the_same_item(queue: ReviewQueue) -> None:
    queue.open_items([item(n, risk=n / ITEMS) for n in range(ITEMS)])
    lock, held, taken = threading.Lock(), set(), []

    def review(name: str) -> int:
        decided = 0
        while (lease := queue.claim(name)) is not None:
            with lock:
                assert lease.item.item_id not in held
                held.add(lease.item.item_id)
                taken.append(lease.item.risk)
            if lease.item.item_id % 7 == 0 and taken.count(lease.item.risk) == 1:
                with lock:
                    held.discard(lease.item.item_id)
                queue.release(lease.token)
                continue
            queue.decide(lease, "accept")
            decided += 1
        return decided

    with ThreadPoolExecutor(REVIEWERS) as threads:
        done = list(threads.map(review, [f"reviewer-{n}" for n in range(REVIEWERS)]))
    assert sum(done) == ITEMS
    assert queue.counts()[ItemStatus.DECIDED] == ITEMS
    report = audit_log(queue.database)
    assert (report.ok, report.num_decisions) == (True, ITEMS)
    assert set(Counter(d.key for d in queue.decisions_since()).values()) == {1}
    # Claims start in order of risk; among twenty at once an item may be overtaken by those claimed beside it.
    ranks = [round((1 - risk) * ITEMS) for risk in dict.fromkeys(taken)]
    assert max(abs(rank - position) for position, rank in enumerate(ranks)) <= 3 * REVIEWERS


def test_one_item_and_twenty_reviewers(queue: ReviewQueue) -> None:
    queue.open_items([item(1)])
    barrier = threading.Barrier(REVIEWERS)

    def claim(name: str) -> bool:
        barrier.wait()
        return queue.claim(name) is not None

    with ThreadPoolExecutor(REVIEWERS) as threads:
        assert sum(threads.map(claim, map(str, range(REVIEWERS)))) == 1


def test_openers_and_reviewers_do_not_get_in_each_others_way(open_queue: Callable[[], ReviewQueue]) -> None:
    queues = [open_queue() for _ in range(4)]
    items = [item(n, risk=n / 50) for n in range(50)]

    def work(number: int) -> int:
        queue = queues[number % 4]
        opened = queue.open_items(items).opened
        while (lease := queue.claim(f"r{number}")) is not None:
            queue.decide(lease, "accept")
        return opened

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) == 50
    assert audit_log(queues[0].database).num_decisions == 50


def test_a_killed_reviewer_loses_no_answered_decision(queue_url: str, queue: ReviewQueue) -> None:
    queue.open_items([item(n) for n in range(400)])
    with subprocess.Popen([sys.executable, "-c", DECIDE_UNTIL_KILLED, queue_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline().split() for _ in range(25)]
        process.kill()
        answered += [line.split() for line in process.stdout if line.endswith("\n")]
    logged = {str(d.seq): d.row_hash for d in queue.decisions_since()}
    assert all(logged.get(seq) == row_hash for seq, row_hash in answered)
    # One more may be logged whose answer was not read any more.
    assert len(answered) <= len(logged) <= len(answered) + 1
    report, counts = audit_log(queue.database), queue.counts()
    assert report.ok
    assert counts[ItemStatus.DECIDED] == len(logged)
    assert counts[ItemStatus.CLAIMED] <= 1
    assert sum(counts.values()) == 400


def test_a_process_killed_in_mid_decision_leaves_a_lease_that_expires(
    queue_url: str, queue: ReviewQueue, clock: HandClock
) -> None:
    queue.open_items([item(1)])
    done = subprocess.run([sys.executable, "-c", DIE_AT_COMMIT, queue_url], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    _wait_until(lambda: queue.get(1).status is ItemStatus.CLAIMED)
    assert audit_log(queue.database).num_decisions == 0
    assert [e.kind for e in queue.history(1).events] == ["opened", "claimed"]
    lease_ends = queue.get(1).lease_expires_at
    assert lease_ends is not None
    clock.now = lease_ends
    lease = queue.claim("bob")
    assert lease is not None
    assert queue.decide(lease, "accept").seq == 1


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not holds():
        if time.monotonic() > deadline_s:
            pytest.fail("it never came true")
        time.sleep(0.05)
