"""What is refused before it is looked at, what every answer carries, and what a proxy's word does and does not do."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Mount

from labeling.review.web.app import STATIC, create_app
from labeling.review.web.guard import checked_prefix, is_own_page, limit_of
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


SITE = "https://labels.example.com"


def test_no_address_of_the_page_starts_at_the_servers_root() -> None:
    for path in STATIC.glob("*.*"):
        assert re.findall(r"""["'`(]/(?:static|api|\w+\.js)""", path.read_text()) == [], path.name


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_the_page_below_a_path(services: Services, *, cut: bool, told: bool) -> None:
    """Whether the proxy cuts the path off or not, and whether the server was told of it or the proxy says it."""
    app = create_app(services, root_path="/labels" if told else "")
    client = TestClient(app, base_url=HERE, headers={} if told else {"X-Forwarded-Prefix": "/labels/"})
    under = "" if cut else "/labels"
    assert "Review" in client.get(f"{under}/").text
    for part in ("main.js", "style.css", "icon.svg"):
        assert client.get(f"{under}/static/{part}").status_code == 200
    answer = client.post(f"{under}/api/login", json={"reviewer": "ada"})
    assert "; path=/labels/;" in answer.headers["set-cookie"].lower()
    refusal(client.get(f"{under}/nothing"), 404, "not_found")
    bare = client.get("/labels", follow_redirects=False)
    assert (bare.status_code, bare.headers["location"]) == (307, "labels/")


def test_the_page_in_a_larger_application(services: Services) -> None:
    client = TestClient(Starlette(routes=[Mount("/labels", create_app(services))]), base_url=HERE)
    assert "Review" in client.get("/labels/").text
    assert client.get("/labels/static/main.js").status_code == 200
    assert "; path=/labels/;" in client.post("/labels/api/login", json={"reviewer": "ada"}).headers["set-cookie"].lower()


def test_a_prefix_that_is_none_is_passed_over(services: Services) -> None:
    for prefix in ("/a b", "labels", "//evil.example", "/x;domain=evil", "/../x/ y"):
        client = TestClient(create_app(services), base_url=HERE, headers={"X-Forwarded-Prefix": prefix})
        answer = client.post("/api/login", json={"reviewer": "ada"})
        assert "; path=/;" in answer.headers["set-cookie"].lower(), prefix
    with pytest.raises(ValueError, match="'labels'; expected a path such as /labels"):
        checked_prefix("labels")


def test_tls_that_ends_at_the_proxy_makes_the_cookie_secure(services: Services) -> None:
    client = TestClient(create_app(services), base_url=HERE)
    for headers, secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True), ({"X-Forwarded-Proto": "http"}, False)):
        answer = client.post("/api/login", json={"reviewer": "ada"}, headers=headers)
        assert ("secure" in answer.headers["set-cookie"].lower()) is secure
        client.cookies.clear()


@pytest.mark.parametrize(("headers", "ours"), [
    ({"host": "labels.example.com"}, True),
    ({"host": "labels.example.com", "origin": SITE}, True),
    ({"host": "labels.example.com", "origin": f"{SITE}:8443"}, True),
    ({"host": "labels.example.com:80", "origin": f"{SITE}:8443"}, False),
    ({"host": "127.0.0.1:8765", "origin": SITE, "x-forwarded-host": "labels.example.com:8443"}, True),
    ({"host": "127.0.0.1:8765", "origin": SITE, "forwarded": "for=10.0.0.1;host=Labels.example.com;proto=https"}, True),
    ({"host": "127.0.0.1:8765", "origin": SITE, "sec-fetch-site": "same-origin"}, True),
    ({"host": "127.0.0.1:8765", "origin": "https://known.example"}, True),
    ({"host": "127.0.0.1:8765", "origin": SITE}, False),
    ({"host": "127.0.0.1:8765", "origin": SITE, "x-forwarded-host": "evil.example"}, False),
    ({"host": "127.0.0.1", "origin": "http://127.0.0.1:9"}, False),
    ({"host": "labels.example.com", "origin": SITE, "sec-fetch-site": "cross-site"}, False),
    ({"host": "labels.example.com", "sec-fetch-site": "same-site"}, False),
    ({"host": "labels.example.com", "origin": "null"}, False),
])
def test_whose_page_asks_for_a_change(headers: dict[str, str], *, ours: bool) -> None:
    assert is_own_page(Headers(headers), {"known.example", "127.0.0.1"}) is ours


def test_a_refusal_names_the_host_and_the_option(services: Services) -> None:
    client = TestClient(create_app(services), base_url=HERE)
    reply = refusal(client.get("/", headers={"host": "labels.example.com:8443"}), 403, "forbidden")
    assert "'labels.example.com:8443'" in reply["message"]
    assert "--name labels.example.com" in reply["hint"]
    reply = refusal(client.post("/api/login", json={}, headers={"origin": SITE}), 403, "forbidden")
    assert SITE in reply["message"]
    assert "X-Forwarded-Host" in reply["hint"]
    assert "--name labels.example.com" in reply["hint"]
    # A name that leads here does not become one of ours because a page says so.
    refusal(client.get("/", headers={"host": "evil.example", "x-forwarded-host": "127.0.0.1"}), 403, "forbidden")


def test_a_proxy_does_not_open_the_door_of_this_machine(services: Services) -> None:
    """Without a token a name signs in whoever sits at this machine, not whom a proxy on it asks for."""
    client = TestClient(create_app(services), base_url=HERE, client=("127.0.0.1", 50000))
    for headers in ({"X-Forwarded-For": "192.0.2.7"}, {"X-Real-IP": "192.0.2.7"}, {"X-Forwarded-For": "127.0.0.1, 192.0.2.7"}):
        refusal(client.post("/api/login", json={"reviewer": "ada"}, headers=headers), 401, "unauthorized")
        refusal(client.get("/metrics", headers=headers), 401, "unauthorized")
    token = services.accounts.make_token("eve")
    far = {"X-Forwarded-For": "192.0.2.7"}
    assert client.post("/api/login", json={"token": token}, headers=far).status_code == 200


def test_a_reviewer_works_through_a_proxy(services: Services) -> None:
    """What nginx's block in infra/README.md passes on: sign in, claim, look at a frame, sign out."""
    token = services.accounts.make_token("eve")
    app = create_app(services, hosts={"labels.example.com"}, root_path="/labels")
    client = TestClient(app, base_url=SITE, headers={
        "Host": "labels.example.com", "X-Forwarded-Host": "labels.example.com:8443", "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "192.0.2.7", "Origin": f"{SITE}:8443",
    })
    browser = Browser(client)
    answer = client.post("/labels/api/login", json={"token": token})
    browser.csrf = answer.json()["csrf"]
    claimed = browser.send("/labels/api/claim", {}).json()
    frame = client.get(f"/labels/api/items/{claimed['item']['item_id']}/frames/3.jpg")
    assert frame.content[:2] == b"\xff\xd8"
    assert browser.send("/labels/api/logout", {}).status_code == 200
    refusal(client.get("/labels/api/me"), 401, "unauthorized")
