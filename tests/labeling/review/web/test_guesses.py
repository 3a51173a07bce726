"""A limit on tokens that do not work: by address and in all, told with how long to wait, and not held against others."""

from dataclasses import dataclass, replace

import pytest
from fastapi.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from labeling.review.web.app import create_app
from labeling.review.web.guesses import MOST_ADDRESSES, Guesses, place_of
from labeling.review.web.services import Services
from tests.labeling.review.web.served import HERE, Browser, refusal


@dataclass
class Seconds:
    """A clock that a test moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_address_that_misses_too_often_waits_until_the_first_miss_is_old() -> None:
    clock = Seconds()
    guesses = Guesses(of_one=3, in_all=100, window_s=60.0, clock=clock)
    for second in (0.0, 10.0, 20.0):
        clock.now = second
        assert guesses.wait_s("192.0.2.7") == 0
        guesses.missed("192.0.2.7")
    assert guesses.wait_s("192.0.2.7") == 40
    assert guesses.wait_s("192.0.2.8") == 0
    clock.now = 60.0
    assert guesses.wait_s("192.0.2.7") == 0


def test_many_addresses_together_are_held_up_too_and_forgotten_in_turn() -> None:
    clock = Seconds()
    guesses = Guesses(of_one=3, in_all=5, window_s=60.0, clock=clock)
    for number in range(5):
        guesses.missed(f"192.0.2.{number}")
    assert guesses.wait_s("198.51.100.1") == 60
    clock.now = 61.0
    assert guesses.wait_s("198.51.100.1") == 0
    for number in range(MOST_ADDRESSES + 10):
        guesses.missed(f"host-{number}")
    assert len(guesses._missed) == MOST_ADDRESSES


@pytest.mark.parametrize(("address", "place"), [
    ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
    ("fe80::1%eth0", "fe80::/64"), ("testclient", "testclient"), ("x" * 500, "x" * 80),
])
def test_what_counts_as_one_address(address: str, place: str) -> None:
    assert place_of(address) == place


def test_who_guesses_is_told_to_wait_and_others_work_on(services: Services) -> None:
    clock = Seconds()
    services = replace(services, guesses=Guesses(of_one=3, clock=clock))
    token = services.accounts.make_token("eve")
    app = create_app(services)
    guesser = TestClient(app, base_url=HERE, client=("192.0.2.7", 50000))
    signed_in = Browser(TestClient(app, base_url=HERE, client=("192.0.2.7", 50001))).sign_in("", token)
    refusal(guesser.post("/api/login", json={"token": "wrong"}), 401, "unauthorized")
    refusal(guesser.post("/api/login", json={"token": token, "reviewer": "ada"}), 401, "unauthorized")
    refusal(guesser.get("/metrics", headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
    bearer = {"Authorization": f"Bearer {token}"}
    for answer in (guesser.post("/api/login", json={"token": token}), guesser.get("/metrics", headers=bearer)):
        said = refusal(answer, 429, "too_many")
        assert answer.headers["retry-after"] == "300"
        assert "try again in 300 seconds" in said["hint"]
    assert signed_in.send("/api/claim", {}).status_code == 200
    elsewhere = TestClient(app, base_url=HERE, client=("192.0.2.8", 50000))
    assert elsewhere.post("/api/login", json={"token": token}).status_code == 200
    clock.now = 301.0
    assert guesser.post("/api/login", json={"token": token}).status_code == 200


def test_a_guesser_cannot_give_another_address_unless_a_known_proxy_says_it(services: Services) -> None:
    services = replace(services, guesses=Guesses(of_one=2, in_all=100))
    services.accounts.make_token("eve")
    app = create_app(services)
    direct = TestClient(app, base_url=HERE, client=("127.0.0.1", 50000))
    proxied = TestClient(ProxyHeadersMiddleware(app, ["127.0.0.1"]), base_url=HERE, client=("127.0.0.1", 50000))

    def guess(client: TestClient, said: str) -> int:
        return client.post("/api/login", json={"token": "wrong"}, headers={"X-Forwarded-For": said}).status_code

    assert [guess(direct, f"198.51.100.{n}") for n in range(3)] == [401, 401, 429]
    # The proxy writes the last one; what the browser wrote before it is not believed.
    assert [guess(proxied, f"203.0.113.{n}, 192.0.2.7") for n in range(3)] == [401, 401, 429]
    assert guess(proxied, "192.0.2.8") == 401
