"""Any order of openings, claims, heartbeats, releases, decisions and waiting leads where a plain model says."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from labeling.review.db.decision_log import audit_log
from labeling.review.items import AlreadySettled, ItemKey, ItemStatus, LostLease
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, drafts_of, item, video_id


@dataclass
class Expected:
    """What the model says of one item."""

    risk: float
    status: ItemStatus = ItemStatus.OPEN
    token: str | None = None
    ends_at: float = 0.0
    action: str | None = None


class QueueMachine(RuleBasedStateMachine):
    """Runs a real queue beside the model."""

    template: Path
    tokens = Bundle("tokens")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="review-states-")
        shutil.copy(self.template, f"{self.folder}/queue.sqlite")
        self.clock, self.elapsed_s = HandClock(), 0.0
        self.queue = ReviewQueue(f"{self.folder}/queue.sqlite", clock=self.clock)
        self.items: dict[ItemKey, Expected] = {}
        self.item_of: dict[str, ItemKey] = {}
        self.num_decisions = self.num_drafts = 0

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.close()
            shutil.rmtree(self.folder)

    def expire(self) -> None:
        for known in self.items.values():
            if known.status is ItemStatus.CLAIMED and known.ends_at <= self.elapsed_s:
                known.status, known.token = ItemStatus.OPEN, None

    def held(self, token: str) -> Expected | None:
        known = self.items[self.item_of[token]]
        return known if known.token == token and known.ends_at > self.elapsed_s else None

    @rule(number=st.integers(0, 2), version=st.integers(1, 3), risk=st.sampled_from([0.1, 0.5, 0.9]))
    def open(self, number: int, version: int, risk: float) -> None:
        self.queue.open_items([item(number, version=version, risk=risk)])
        versions = {key.label_version: key for key in self.items if key.video_id == video_id(number)}
        if any(known > version for known in versions):
            return
        for known, key in versions.items():
            if known < version and self.items[key].status in (ItemStatus.OPEN, ItemStatus.CLAIMED):
                self.items[key].status, self.items[key].token = ItemStatus.CLOSED, None
        key = ItemKey(video_id(number), "7", version)
        before = self.items.setdefault(key, Expected(risk))
        if before.status is not ItemStatus.DECIDED:
            before.risk = risk

    @rule(target=tokens, lease_s=st.sampled_from([10.0, 100.0]))
    def claim(self, lease_s: float):
        lease = self.queue.claim("ada", lease_s=lease_s)
        self.expire()
        free = {key: known for key, known in self.items.items() if known.status is ItemStatus.OPEN}
        assert (lease is None) == (not free)
        if lease is None:
            return multiple()
        known = free[lease.item.key]
        assert known.risk == max(other.risk for other in free.values())
        known.status, known.token, known.ends_at = ItemStatus.CLAIMED, lease.token, self.elapsed_s + lease_s
        self.item_of[lease.token] = lease.item.key
        return lease.token

    @rule(token=tokens)
    def heartbeat(self, token: str) -> None:
        known = self.held(token)
        if known is None:
            with pytest.raises(LostLease):
                self.queue.heartbeat(token, lease_s=50)
            return
        self.queue.heartbeat(token, lease_s=50)
        known.ends_at = self.elapsed_s + 50

    @rule(token=consumes(tokens))
    def release(self, token: str) -> None:
        self.queue.release(token)
        known = self.items[self.item_of[token]]
        if known.token == token:
            known.status, known.token = ItemStatus.OPEN, None

    @rule(token=tokens, action=st.sampled_from(["accept", "reject"]))
    def decide(self, token: str, action: str) -> None:
        held, known = self.held(token), self.items[self.item_of[token]]
        if held is not None:
            assert self.queue.decide(token, action).action == action
            held.status, held.token, held.action = ItemStatus.DECIDED, None, f"{token} {action}"
            self.num_decisions += 1
        elif (known.action or "").startswith(f"{token} "):
            if known.action == f"{token} {action}":
                assert self.queue.decide(token, action).action == action
            else:
                with pytest.raises(AlreadySettled):
                    self.queue.decide(token, action)
        else:
            with pytest.raises(LostLease) as lost:
                self.queue.decide(token, action, note=f"{token} {self.num_drafts}")
            self.num_drafts += 1
            assert lost.value.draft_id == self.num_drafts

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.pass_s(seconds)
        self.elapsed_s += seconds

    @invariant()
    def statuses_agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        for queued in self.queue.list(None):
            known = self.items[queued.key]
            lapsed = known.status is ItemStatus.CLAIMED and known.ends_at <= self.elapsed_s
            assert queued.status is known.status or lapsed
        assert sum(self.queue.counts().values()) == len(self.items)
        report = audit_log(self.queue.database)
        assert report.ok
        assert report.num_decisions == self.num_decisions
        assert len(drafts_of(self.queue)) == self.num_drafts


def test_the_queue_does_what_the_model_says(sqlite_template: Path) -> None:
    machine = type("Machine", (QueueMachine,), {"template": sqlite_template})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20, stateful_step_count=25, deadline=None, database=None, derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
