"""What is refused before it is looked at, what every answer carries, and that no path leads out of the page's folder."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from labeling.review.web.app import create_app
from labeling.review.web.guard import limit_of
from labeling.review.web.services import Services
from tests.labeling.review.web.served import HERE, Browser, refusal


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", ""])
def test_another_name_for_this_machine_is_refused(browser: Browser, host: str) -> None:
    refusal(browser.client.get("/api/me", headers={"host": host}), 403, "forbidden")


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_this_machines_own_names_are_served(browser: Browser, host: str) -> None:
    assert browser.client.get("/api/me", headers={"host": host}).status_code == 200


def test_a_page_of_another_site_changes_nothing(browser: Browser) -> None:
    headers = {"X-CSRF-Token": browser.csrf}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9", "http://["):
        answer = browser.client.post("/api/claim", json={}, headers={**headers, "Origin": origin})
        refusal(answer, 403, "forbidden")
    assert browser.client.post("/api/claim", json={}, headers={**headers, "Origin": HERE}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_form_is_no_json(browser: Browser, kind: str) -> None:
    answer = browser.client.post("/api/claim", content=b"{}", headers={"X-CSRF-Token": browser.csrf, "Content-Type": kind})
    refusal(answer, 400, "bad_request")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_a_limit(browser: Browser, chunked: bool) -> None:
    body = b'{"note": "' + b"x" * limit_of("/api/release") + b'"}'
    content = iter([body[:1000], body[1000:]]) if chunked else body
    answer = browser.client.post("/api/release", content=content, headers={"Content-Type": "application/json"})
    refusal(answer, 413, "too_large")


@pytest.mark.parametrize("body", [b"{", b"[" * 5000, b"\xff\xfe", b"1" * 5000, b'"\\ud800"', b"null", b"[]", b""])
def test_what_is_no_json_object_is_refused(browser: Browser, body: bytes) -> None:
    headers = {"X-CSRF-Token": browser.csrf, "Content-Type": "application/json"}
    refusal(browser.client.post("/api/claim", content=body, headers=headers), 400, "bad_request")


def test_every_answer_says_what_a_page_may_do(browser: Browser) -> None:
    for answer in (browser.get("/api/me"), browser.get("/nothing"), browser.get("/"), browser.get("/api/items/9")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert browser.get("/api/me").headers["cache-control"] == "no-store"


def test_the_page_and_its_files_and_nothing_else(services: Services, tmp_path: Path) -> None:
    static = tmp_path / "inside" / "static"
    static.mkdir(parents=True)
    (tmp_path / "inside" / "secret.txt").write_text("secret")
    client = TestClient(create_app(services, static=static), base_url=HERE)
    refusal(client.get("/"), 404, "not_found")
    (static / "index.html").write_text("<!doctype html><title>review</title>")
    (static / "page.js").write_text("export {};")
    (static / "link.txt").symlink_to(tmp_path / "inside" / "secret.txt")
    assert "review" in client.get("/").text
    script = client.get("/static/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert (client.get("/").headers["cache-control"], script.headers["cache-control"]) == ("no-cache", "no-cache")
    again = client.get("/static/page.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")
    for path in ("../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "....//secret.txt", "link.txt", "/etc/passwd"):
        refusal(client.get(f"/static/{path}"), 404, "not_found")


def test_another_method_is_refused_in_the_same_shape(browser: Browser) -> None:
    refusal(browser.get("/api/claim"), 405, "bad_request")
