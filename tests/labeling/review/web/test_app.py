"""The queue's figures: what they count, and who may read them."""

from fastapi.testclient import TestClient

from labeling.review.figures import figures_of
from labeling.review.queue import ReviewQueue
from labeling.review.web.app import create_app
from labeling.review.web.services import Services
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.served import HERE, refusal


def test_figures_follow_the_queue(queue: ReviewQueue, clock: HandClock) -> None:
    clock.pass_s(100.0)
    first, second = queue.claim("ada", lease_s=60.0), queue.claim("bob", lease_s=600.0)
    assert first is not None
    assert second is not None
    queue.decide(second, "reject")
    clock.pass_s(30.0)
    held = figures_of(queue)
    assert (held.waiting, held.items["open"], held.items["claimed"], held.items["decided"]) == (2, 1, 1, 1)
    assert (held.leases, held.oldest_seconds) == (1, 130.0)
    assert held.decisions == {"accept": 0, "reject": 1, "correct": 0}
    clock.pass_s(40.0)
    assert figures_of(queue).leases == 0, "the lease has run out"


def test_an_empty_queue_has_no_age(queue: ReviewQueue, clock: HandClock) -> None:
    for item in queue.list():
        queue.decide(item.item_id, "accept", reviewer="ada")
    clock.pass_s(50.0)
    figures = figures_of(queue)
    assert (figures.waiting, figures.oldest_seconds) == (0, 0.0)


def test_this_machine_reads_them_and_others_with_a_token(services: Services) -> None:
    app = create_app(services)
    here = TestClient(app, base_url=HERE, client=("127.0.0.1", 50000))
    answer = here.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "labeling_review_backlog 3.0" in answer.text
    elsewhere = TestClient(app, base_url=HERE, client=("192.0.2.7", 50000))
    refusal(elsewhere.get("/metrics"), 401, "unauthorized")
    refusal(elsewhere.get("/metrics", headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
    token = services.accounts.make_token("eve")
    bearer = {"Authorization": f"Bearer {token}"}
    assert "labeling_review_backlog 3.0" in elsewhere.get("/metrics", headers=bearer).text
    services.accounts.revoke("eve")
    refusal(elsewhere.get("/metrics", headers=bearer), 401, "unauthorized")
