"""The queue as the page sees it: lists with counts, claims, leases that last and end, figures."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from labeling import rle
from labeling.objects import FolderObjects
from labeling.review.db.decision_log import audit_log
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import Services
from labeling.store.publish import publish
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.served import NUM_FRAMES, STRICT, Browser, refusal, services_of
from tests.labeling.store.made_store import SIZE_HW, mask_of


def test_a_page_of_the_queue(browser: Browser, queue: ReviewQueue) -> None:
    page = browser.get("/api/queue", limit=2).json()
    assert [item["item_id"] for item in page["items"]] == [item.item_id for item in queue.list(limit=2)]
    assert (page["counts"], page["reasons"], page["total"]) == (
        {"open": 3, "claimed": 0, "decided": 0, "closed": 0}, {"object_lost": 3}, 3,
    )
    assert (page["categories"], page["runs"]) == ({"cat": 1}, {"run-1": 3})
    item = page["items"][0]
    assert item["key"] == f"{item['video_id']}/{item['track_id']}@1"
    assert (item["reasons"], item["frame_span"], item["status"], item["reviewer"]) == (["object_lost"], [0, 24], "open", None)
    assert len(browser.get("/api/queue", offset=2).json()["items"]) == 1
    for status in ("open", "any"):
        assert browser.get("/api/queue", status=status, offset=10_000_000).json()["items"] == []
        assert browser.get("/api/queue", status=status, limit=2).json()["items"] == page["items"]


def test_filters_count_what_they_let_through(browser: Browser) -> None:
    for asked, total in (
        ({"category": "cat"}, 1), ({"reason": "object_lost"}, 3), ({"reason": "swap"}, 0), ({"run": "run-1"}, 3),
        ({"run": "run-2"}, 0), ({"reason": "object_lost", "category": "cat"}, 1), ({"status": "any"}, 3),
        ({"status": "decided"}, 0), ({"status": "any", "category": "cat"}, 1),
    ):
        page = browser.get("/api/queue", **asked).json()
        assert (page["total"], len(page["items"])) == (total, total), asked


def test_bad_questions_are_refused(browser: Browser) -> None:
    for asked in ({"status": "new"}, {"limit": 0}, {"limit": 501}, {"offset": -1}, {"limit": "x"}, {"reason": "a\0b"}):
        refusal(browser.get("/api/queue", **asked), 400, "bad_request")


def test_claiming_the_riskiest_and_then_nothing(browser: Browser, other: Browser, queue: ReviewQueue) -> None:
    first = queue.list()[0].item_id
    _, item_id = browser.claim()
    assert item_id == first
    _, second = other.claim(skipping=[3])
    assert second not in (first, 3)
    assert other.claim(category=None)[1] == 3
    assert browser.send("/api/claim", {"reason": "object_lost"}).json() == {"lease": None}
    assert browser.get("/api/queue", status="claimed").json()["counts"]["claimed"] == 3


def test_a_named_item_that_is_held_settled_or_unknown(browser: Browser, other: Browser, queue: ReviewQueue) -> None:
    token, item_id = browser.claim(item_id=2)
    assert browser.claim(item_id=2) == (token, 2)
    refusal(other.send("/api/claim", {"item_id": 2}), 409, "item_held")
    queue.decide(token, "accept")
    refusal(other.send("/api/claim", {"item_id": item_id}), 409, "already_settled")
    refusal(other.send("/api/claim", {"item_id": 99}), 404, "not_found")


def test_a_lease_lives_by_its_heartbeat(browser: Browser, other: Browser, clock: HandClock) -> None:
    token, _ = browser.claim()
    clock.pass_s(500)
    assert browser.send("/api/heartbeat", {"token": token}).json()["expires_at"] > clock.now.isoformat()
    refusal(other.send("/api/heartbeat", {"token": token}), 403, "forbidden")
    clock.pass_s(599)
    assert browser.send("/api/heartbeat", {"token": token}).status_code == 200
    clock.pass_s(601)
    assert refusal(browser.send("/api/heartbeat", {"token": token}), 409, "lost_lease")["draft_id"] is None
    refusal(browser.send("/api/heartbeat", {"token": "never"}), 409, "lost_lease")


def test_releasing_gives_the_item_back(browser: Browser, other: Browser) -> None:
    token, item_id = browser.claim()
    refusal(other.send("/api/release", {"token": token}), 403, "forbidden")
    assert browser.send("/api/release", {"token": token, "note": "unsure"}).json() == {}
    assert other.claim()[1] == item_id
    events = browser.get(f"/api/items/{item_id}").json()["history"]
    assert [(e["reviewer"], e["detail"]) for e in events if e["kind"] == "released"] == [("ada", "unsure")]


def test_figures_count_what_stands(browser: Browser, other: Browser, services: Services) -> None:
    assert browser.get("/api/stats").json()["items_per_hour"] is None
    for who, seconds, clicks in ((browser, 10.0, 2), (other, 20.0, None), (browser, 40.0, 4)):
        token, item_id = who.claim()
        body = {"token": token, "action": "accept", "seconds": seconds, "clicks": clicks}
        seq = who.send(f"/api/items/{item_id}/decision", body).json()["seq"]
    reply = browser.get("/api/stats").json()
    assert (reply["decisions"], reply["clicks_per_item"]) == (3, 3.0)
    assert reply["seconds_per_item"] == 70 / 3
    assert [(row["reviewer"], row["decisions"], row["seconds_per_item"]) for row in reply["by_reviewer"]] == [
        ("ada", 2, 25.0), ("bob", 1, 20.0),
    ]
    assert reply["by_reviewer"][0]["by_action"]["accept"]["clicks_per_item"] == 3.0
    browser.send("/api/undo", {"seq": seq})
    reply = browser.get("/api/stats").json()
    assert (reply["decisions"], reply["seconds_per_item"], reply["clicks_per_item"]) == (2, 15.0, 2.0)
    assert reply["items_per_hour"] == 240.0

MASK = {"size": list(SIZE_HW), "counts": mask_of(3, 4).rle.counts}


def decide(browser: Browser, item_id: int, token: str, action: str = "accept", **more: Any) -> Any:
    return browser.send(f"/api/items/{item_id}/decision", {"token": token, "action": action, **more})


def test_accepting_once_and_again(browser: Browser, queue: ReviewQueue) -> None:
    token, item_id = browser.claim()
    reply = decide(browser, item_id, token, note="fine", seconds=3.5, clicks=1).json()
    assert reply == {"seq": 1, "action": "accept", "key": str(queue.get(item_id).key)}
    assert decide(browser, item_id, token, note="fine", seconds=9.0, clicks=2).json() == reply
    refusal(decide(browser, item_id, token, "reject"), 409, "already_settled")
    (logged,) = queue.decisions_since()
    assert (logged.reviewer, logged.note, logged.seconds) == ("ada", "fine", 3.5)
    detail = browser.get(f"/api/items/{item_id}").json()
    assert [note["note"] for note in detail["notes"]] == ["fine"]
    assert detail["item"]["status"] == "decided"


def test_a_correction_becomes_prompts_of_the_next_run(browser: Browser, queue: ReviewQueue) -> None:
    token, item_id = browser.claim()
    corrections = [
        {"frame_idx": 4, "points": [[5, 6, 1], [20.5, 3, 0]], "mask": MASK},
        {"frame_idx": 14, "box": [3, 4, 12, 13]},
        {"frame_idx": 20, "absent": True, "span": [18, 22]},
    ]
    assert decide(browser, item_id, token, "correct", corrections=corrections).json()["action"] == "correct"
    (correction,) = queue.corrections()
    clicked, boxed, gone = correction.prompts
    assert (clicked.points_xy, clicked.labels, clicked.mask) == (((5, 6), (20.5, 3)), (1, 0), mask_of(3, 4).rle)
    assert boxed.box_xyxy == (3, 4, 12, 13)
    assert gone.mask == rle.empty(SIZE_HW)
    assert (boxed.span, gone.span) == (None, (18, 22))
    assert {str(p.object_id) for p in correction.prompts} == {queue.get(item_id).key.track_id}


@pytest.mark.parametrize("correction", [
    {"frame_idx": NUM_FRAMES, "points": [[1, 1, 1]]},
    {"frame_idx": 4},
    {"frame_idx": 4, "points": [[99, 1, 1]]},
    {"frame_idx": 4, "points": [[1, 1, 2]]},
    {"frame_idx": 4, "box": [5, 5, 5, 9]},
    {"frame_idx": 4, "box": [50, 50, 60, 60]},
    {"frame_idx": 4, "mask": {"size": [12, 32], "counts": MASK["counts"]}},
    {"frame_idx": 4, "mask": {"size": list(SIZE_HW), "counts": "00"}},
    {"frame_idx": 4, "mask": {"size": list(SIZE_HW), "counts": ""}},
    {"frame_idx": 4, "mask": MASK, "absent": True},
    {"frame_idx": 4, "mask": MASK, "span": [5, 9]},
    {"frame_idx": 4, "mask": MASK, "span": [4, 4]},
    {"frame_idx": 4, "mask": MASK, "object_id": 2},
])
def test_a_correction_that_does_not_fit_the_video_is_refused(browser: Browser, queue: ReviewQueue, correction: Any) -> None:
    token, item_id = browser.claim()
    refusal(decide(browser, item_id, token, "correct", corrections=[correction]), 400, "bad_request")
    assert queue.get(item_id).status == "claimed"


def test_decisions_that_do_not_hang_together_are_refused(browser: Browser, other: Browser) -> None:
    token, item_id = browser.claim()
    refusal(decide(browser, item_id, token, "correct"), 400, "bad_request")
    refusal(decide(browser, item_id, token, "accept", corrections=[{"frame_idx": 4, "mask": MASK}]), 400, "bad_request")
    twice = [{"frame_idx": 4, "mask": MASK}, {"frame_idx": 4, "absent": True}]
    refusal(decide(browser, item_id, token, "correct", corrections=twice), 400, "bad_request")
    refusal(decide(browser, item_id % 3 + 1, token), 400, "bad_request")
    refusal(decide(other, item_id, token), 403, "forbidden")
    refusal(decide(browser, item_id, token, "skip"), 400, "bad_request")
    refusal(decide(browser, item_id, token, seconds=-1), 400, "bad_request")


def test_a_decision_that_comes_too_late_is_kept(browser: Browser, other: Browser, clock: HandClock) -> None:
    token, item_id = browser.claim()
    clock.pass_s(601)
    assert other.claim()[1] == item_id
    error = refusal(decide(browser, item_id, token, "correct", corrections=[{"frame_idx": 4, "mask": MASK}]), 409, "lost_lease")
    (draft,) = browser.get(f"/api/items/{item_id}").json()["drafts"]
    assert (draft["draft_id"], draft["kind"], draft["action"]) == (error["draft_id"], "refused", "correct")
    assert draft["corrections"][0]["mask"] == MASK
    assert other.get(f"/api/items/{item_id}").json()["drafts"] == []


def test_work_in_hand_is_kept_for_its_reviewer_until_they_decide(browser: Browser, other: Browser, clock: HandClock) -> None:
    token, item_id = browser.claim()
    path = f"/api/items/{item_id}/draft"
    first = browser.send(path, {"token": token, "work": {"clicks": [1, {"x": None}]}}, method="PUT").json()
    assert browser.send(path, {"token": token, "work": {"clicks": [2]}}, method="PUT").json() == first
    clock.pass_s(601)
    assert browser.send(path, {"token": token, "work": {"clicks": [3]}}, method="PUT").json() == first
    (draft,) = browser.get(f"/api/items/{item_id}").json()["drafts"]
    assert (draft["draft_id"], draft["kind"], draft["work"]) == (first["draft_id"], "work", {"clicks": [3]})
    assert other.get(f"/api/items/{item_id}").json()["drafts"] == []
    refusal(other.send(path, {"token": token, "work": {}}, method="PUT"), 403, "forbidden")
    token, _ = browser.claim(item_id=item_id)
    assert decide(browser, item_id, token).status_code == 200
    assert browser.get(f"/api/items/{item_id}").json()["drafts"] == []


def test_work_has_a_limit_and_is_json(browser: Browser) -> None:
    token, item_id = browser.claim()
    path = f"/api/items/{item_id}/draft"
    refusal(browser.send(path, {"token": token, "work": {"a": "x" * (256 * 1024)}}, method="PUT"), 413, "too_large")
    headers = {"X-CSRF-Token": browser.csrf, "Content-Type": "application/json"}
    deep = b'{"a": ' * 40 + b"1" + b"}" * 40
    for work in (b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"\\udfff": 1}', deep):
        body = b'{"token": "' + token.encode() + b'", "work": ' + work + b"}"
        refusal(browser.client.put(path, content=body, headers=headers), 400, "bad_request")
    assert browser.get(f"/api/items/{item_id}").json()["drafts"] == []


def test_text_that_nothing_can_keep_is_refused_wherever_it_stands(browser: Browser) -> None:
    token, _ = browser.claim()
    headers = {"X-CSRF-Token": browser.csrf, "Content-Type": "application/json"}
    for path, body in (
        ("claim", b'{"reason": "\\ud800"}'), ("heartbeat", b'{"token": "\\ud800"}'), ("claim", b'{"\\ud800": 1}'),
        ("release", b'{"token": "' + token.encode() + b'", "note": "\\udfff"}'), ("login", b'{"reviewer": "\\ud800"}'),
    ):
        refusal(browser.client.post(f"/api/{path}", content=body, headers=headers), 400, "bad_request")


def test_taking_back_the_last_decision(browser: Browser, queue: ReviewQueue) -> None:
    token, item_id = browser.claim()
    correction = [{"frame_idx": 4, "mask": MASK}]
    seq = decide(browser, item_id, token, "correct", corrections=correction).json()["seq"]
    reply = browser.send("/api/undo", {"seq": seq}).json()["item"]
    assert (reply["item_id"], reply["status"], reply["reviewer"]) == (item_id, "open", None)
    assert (queue.corrections(unapplied_only=False), queue.pending_decisions()) == ([], [])
    assert [(d.seq, d.action, d.note) for d in queue.decisions_since()][1:] == [(2, "undo", "takes back row 1")]
    assert audit_log(queue.database).ok
    assert browser.get(f"/api/items/{item_id}").json()["history"][-1]["kind"] == "undone"
    refusal(browser.send("/api/undo", {"seq": seq}), 409, "already_settled")
    again, _ = browser.claim(item_id=item_id)
    assert decide(browser, item_id, again, "reject").json()["seq"] == 3
    assert [d.action for d in queue.pending_decisions()] == ["reject"]


def test_a_decision_that_was_taken_back_does_not_stand_when_it_is_sent_again(browser: Browser, queue: ReviewQueue) -> None:
    token, item_id = browser.claim()
    browser.send("/api/undo", {"seq": decide(browser, item_id, token).json()["seq"]})
    refusal(decide(browser, item_id, token), 409, "lost_lease")
    assert queue.get(item_id).status == "open"


def test_what_cannot_be_taken_back(browser: Browser, other: Browser, queue: ReviewQueue) -> None:
    seqs = []
    for who in (browser, browser, other):
        token, item_id = who.claim()
        seqs.append(decide(who, item_id, token, "correct", corrections=[{"frame_idx": 4, "mask": MASK}]).json()["seq"])
    refusal(browser.send("/api/undo", {"seq": seqs[0]}), 409, "already_settled")
    refusal(browser.send("/api/undo", {"seq": seqs[2]}), 409, "already_settled")
    refusal(browser.send("/api/undo", {"seq": 99}), 409, "already_settled")
    assert browser.send("/api/undo", {"seq": seqs[1]}).status_code == 200
    assert browser.send("/api/undo", {"seq": seqs[0]}).status_code == 200
    queue.mark_applied(queue.corrections(), run_id="run-2")
    refusal(other.send("/api/undo", {"seq": seqs[2]}), 409, "already_settled")


def test_a_published_decision_stays(queue: ReviewQueue, objects: FolderObjects, tmp_path: Path) -> None:
    shutil.copytree(objects.root, tmp_path / "store")
    copy = FolderObjects(tmp_path / "store")
    services: Services = services_of(queue, copy, tmp_path / "scratch")
    browser = Browser.of(services).sign_in()
    token, item_id = browser.claim()
    seq = decide(browser, item_id, token).json()["seq"]
    publish(copy, STRICT, run_id="run-2", decisions=queue.pending_decisions())
    error = refusal(browser.send("/api/undo", {"seq": seq}), 409, "already_settled")
    assert "v000002" in error["message"]
    services.close()
