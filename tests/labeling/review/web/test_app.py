"""The queue's figures: what they count, and who may read them."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from labeling.errors import BadInput
from labeling.objects import FolderObjects
from labeling.review.accounts import MOST_ADDRESSES, SignInLimit, network_of
from labeling.review.figures import figures_of
from labeling.review.queue import ReviewQueue
from labeling.review.web.app import create_app
from labeling.review.web.services import Services
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.served import HERE, Browser, refusal, services_of


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


def test_signing_in_by_name(services: Services) -> None:
    browser = Browser.of(services)
    refusal(browser.get("/api/me"), 401, "unauthorized")
    answer = browser.client.post("/api/login", json={"reviewer": " ada "})
    reply = answer.json()
    assert {name: reply[name] for name in ("reviewer", "role", "lease_seconds", "dataset")} == {
        "reviewer": "ada", "role": "senior", "lease_seconds": 600.0, "dataset": "cars",
    }
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("labeling_session=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/api/me").json() == reply
    refusal(Browser.of(services).client.post("/api/login", json={"reviewer": "  "}), 400, "bad_request")


def test_a_change_needs_the_sessions_own_token(browser: Browser, other: Browser) -> None:
    for wrong in ("", "x", other.csrf):
        answer = browser.client.post("/api/claim", json={}, headers={"X-CSRF-Token": wrong})
        refusal(answer, 403, "forbidden")
    refusal(browser.client.post("/api/claim", json={}), 403, "forbidden")
    assert browser.send("/api/claim", {}).status_code == 200


def test_signing_out_ends_the_session(browser: Browser) -> None:
    cookie = browser.client.cookies["labeling_session"]
    assert browser.send("/api/logout", {}).json() == {}
    browser.client.cookies.set("labeling_session", cookie)
    refusal(browser.get("/api/me"), 401, "unauthorized")


def test_once_there_is_a_token_a_name_is_not_enough(browser: Browser, services: Services) -> None:
    token = services.accounts.make_token("eve", role="reviewer")
    refusal(browser.get("/api/me"), 401, "unauthorized")
    fresh = Browser.of(services)
    for body in ({"reviewer": "eve"}, {"token": "x"}, {"token": token, "reviewer": "ada"}, {"token": ""}):
        refusal(fresh.client.post("/api/login", json=body), 401, "unauthorized")
    fresh.sign_in("", token)
    assert (fresh.get("/api/me").json()["reviewer"], fresh.get("/api/me").json()["role"]) == ("eve", "reviewer")
    assert services.accounts.revoke("eve") == 1
    refusal(fresh.get("/api/me"), 401, "unauthorized")
    refusal(fresh.client.post("/api/login", json={"token": token}), 401, "unauthorized")
    refusal(fresh.client.post("/api/login", json={"reviewer": "eve"}), 401, "unauthorized")


def test_secrets_are_not_in_the_database(services: Services, browser: Browser, tmp_path: Path) -> None:
    token = services.accounts.make_token("eve")
    cookie = browser.client.cookies["labeling_session"]
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("queue.sqlite*"))
    assert b"eve" in kept
    assert token.encode() not in kept
    assert cookie.encode() not in kept


def test_a_session_lasts_two_weeks(browser: Browser, clock: HandClock) -> None:
    clock.pass_s(13 * 24 * 3600)
    assert browser.get("/api/me").status_code == 200
    clock.pass_s(2 * 24 * 3600)
    refusal(browser.get("/api/me"), 401, "unauthorized")


def test_a_server_for_one_reviewer_signs_them_in(queue: ReviewQueue, objects: FolderObjects, tmp_path: Path) -> None:
    services = services_of(queue, objects, tmp_path, reviewer="ada")
    browser = Browser.of(services)
    csrf = browser.get("/api/me").json()["csrf"]
    assert browser.client.post("/api/claim", json={}, headers={"X-CSRF-Token": csrf}).status_code == 200
    services.accounts.make_token("ada")
    refusal(Browser.of(services).get("/api/me"), 401, "unauthorized")


def test_where_others_reach_the_server_a_name_opens_nothing(
    queue: ReviewQueue, objects: FolderObjects, tmp_path: Path
) -> None:
    browser = Browser.of(services_of(queue, objects, tmp_path, open_door=False, reviewer="ada"))
    refusal(browser.get("/api/me"), 401, "unauthorized")
    refusal(browser.client.post("/api/login", json={"reviewer": "ada"}), 401, "unauthorized")


def test_a_role_is_one_of_two(services: Services) -> None:
    with pytest.raises(BadInput, match="'boss'; expected reviewer or senior"):
        services.accounts.make_token("eve", role="boss")


@dataclass
class Seconds:
    """A clock that a test moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_address_that_misses_too_often_waits_until_the_first_miss_is_old() -> None:
    clock = Seconds()
    sign_in_limit = SignInLimit(of_one=3, in_all=100, window_s=60.0, clock=clock)
    for second in (0.0, 10.0, 20.0):
        clock.now = second
        assert sign_in_limit.wait_s("192.0.2.7") == 0
        sign_in_limit.missed("192.0.2.7")
    assert sign_in_limit.wait_s("192.0.2.7") == 40
    assert sign_in_limit.wait_s("192.0.2.8") == 0
    clock.now = 60.0
    assert sign_in_limit.wait_s("192.0.2.7") == 0


def test_many_addresses_together_are_held_up_too_and_forgotten_in_turn() -> None:
    clock = Seconds()
    sign_in_limit = SignInLimit(of_one=3, in_all=5, window_s=60.0, clock=clock)
    for number in range(5):
        sign_in_limit.missed(f"192.0.2.{number}")
    assert sign_in_limit.wait_s("198.51.100.1") == 60
    clock.now = 61.0
    assert sign_in_limit.wait_s("198.51.100.1") == 0
    for number in range(MOST_ADDRESSES + 10):
        sign_in_limit.missed(f"host-{number}")
    assert len(sign_in_limit._missed) == MOST_ADDRESSES


@pytest.mark.parametrize(("address", "network"), [
    ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
    ("fe80::1%eth0", "fe80::/64"), ("testclient", "testclient"), ("x" * 500, "x" * 80),
])
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


def test_who_guesses_is_told_to_wait_and_others_work_on(services: Services) -> None:
    clock = Seconds()
    services = replace(services, sign_in_limit=SignInLimit(of_one=3, clock=clock))
    token = services.accounts.make_token("eve")
    app = create_app(services)
    guesser = TestClient(app, base_url=HERE, client=("192.0.2.7", 50000))
    signed_in = Browser(TestClient(app, base_url=HERE, client=("192.0.2.7", 50001))).sign_in("", token)
    refusal(guesser.post("/api/login", json={"token": "wrong"}), 401, "unauthorized")
    refusal(guesser.post("/api/login", json={"token": token, "reviewer": "ada"}), 401, "unauthorized")
    refusal(guesser.get("/metrics", headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
    bearer = {"Authorization": f"Bearer {token}"}
    for answer in (guesser.post("/api/login", json={"token": token}), guesser.get("/metrics", headers=bearer)):
        reply = refusal(answer, 429, "too_many")
        assert answer.headers["retry-after"] == "300"
        assert "try again in 300 seconds" in reply["hint"]
    assert signed_in.send("/api/claim", {}).status_code == 200
    elsewhere = TestClient(app, base_url=HERE, client=("192.0.2.8", 50000))
    assert elsewhere.post("/api/login", json={"token": token}).status_code == 200
    clock.now = 301.0
    assert guesser.post("/api/login", json={"token": token}).status_code == 200


def test_a_guesser_cannot_give_another_address_unless_a_known_proxy_says_it(services: Services) -> None:
    services = replace(services, sign_in_limit=SignInLimit(of_one=2, in_all=100))
    services.accounts.make_token("eve")
    app = create_app(services)
    direct = TestClient(app, base_url=HERE, client=("127.0.0.1", 50000))
    proxied = TestClient(ProxyHeadersMiddleware(app, ["127.0.0.1"]), base_url=HERE, client=("127.0.0.1", 50000))

    def guess(client: TestClient, forwarded_for: str) -> int:
        return client.post("/api/login", json={"token": "wrong"}, headers={"X-Forwarded-For": forwarded_for}).status_code

    assert [guess(direct, f"198.51.100.{n}") for n in range(3)] == [401, 401, 429]
    # The proxy writes the last one; what the browser wrote before it is not believed.
    assert [guess(proxied, f"203.0.113.{n}, 192.0.2.7") for n in range(3)] == [401, 401, 429]
    assert guess(proxied, "192.0.2.8") == 401
