"""Who gets in: by name on this machine, by token once there is one; sessions end, and secrets are not in the database."""

from pathlib import Path

import pytest

from labeling.errors import BadInput
from labeling.objects import FolderObjects
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import Services
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.served import Browser, refusal, services_of


def test_signing_in_by_name(services: Services) -> None:
    browser = Browser.of(services)
    refusal(browser.get("/api/me"), 401, "unauthorized")
    answer = browser.client.post("/api/login", json={"reviewer": " ada "})
    said = answer.json()
    assert {name: said[name] for name in ("reviewer", "role", "lease_seconds", "dataset")} == {
        "reviewer": "ada", "role": "senior", "lease_seconds": 600.0, "dataset": "cars",
    }
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("labeling_session=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/api/me").json() == said
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
