"""The queue as the page sees it: lists with counts, claims, leases that last and end, figures."""

from labeling.review.queue import ReviewQueue
from labeling.review.web.services import Services
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.served import Browser, refusal


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
    said = browser.get("/api/stats").json()
    assert (said["decisions"], said["clicks_per_item"]) == (3, 3.0)
    assert said["seconds_per_item"] == 70 / 3
    assert [(one["reviewer"], one["decisions"], one["seconds_per_item"]) for one in said["by_reviewer"]] == [
        ("ada", 2, 25.0), ("bob", 1, 20.0),
    ]
    assert said["by_reviewer"][0]["by_action"]["accept"]["clicks_per_item"] == 3.0
    browser.send("/api/undo", {"seq": seq})
    said = browser.get("/api/stats").json()
    assert (said["decisions"], said["seconds_per_item"], said["clicks_per_item"]) == (2, 15.0, 2.0)
    assert said["items_per_hour"] == 240.0
