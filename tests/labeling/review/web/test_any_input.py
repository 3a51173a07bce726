"""Whatever is sent to a documented endpoint, the answer is no failure of the server, and a refusal has the one shape.

Each example begins with the same queue, session and lease, so that one that fails fails again.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling.objects import FolderObjects
from labeling.review.queue import ReviewQueue
from labeling.review.web.app import create_app
from tests.labeling.review.web.served import Browser, fill, services_of

NUMBERS = st.one_of(st.integers(-2, 30), st.integers(), st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30]))
WORDS = st.one_of(st.text(max_size=12), st.sampled_from(["\0", "open", "any", "../..", "x" * 3000, "object_lost", "forward"]))
# JSON has words for them; no address has.
TEXTS = st.one_of(WORDS, WORDS, st.sampled_from(["\ud800", "a\udfffb"]))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=12,
)


@dataclass(frozen=True)
class Begun:
    """A browser that holds an item, the token of its lease, the documented endpoints, and the queue as it was then."""

    browser: Browser
    token: str
    item_id: int
    endpoints: list[tuple[str, str, dict[str, Any]]]
    schemas: dict[str, Any]
    path: Path
    kept: sqlite3.Connection
    cookies: dict[str, str]

    def again(self) -> "Begun":
        """Put the queue and the session back."""
        with closing(sqlite3.connect(self.path)) as live:
            self.kept.backup(live)
        self.browser.client.cookies.clear()
        self.browser.client.cookies.update(self.cookies)
        return self


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, objects: FolderObjects) -> Iterator[Begun]:
    """Where each example begins."""
    folder = tmp_path_factory.mktemp("any")
    path = folder / "queue.sqlite"
    shutil.copy(sqlite_template, path)
    with ReviewQueue(str(path)) as queue, closing(sqlite3.connect(":memory:")) as kept:
        fill(queue, objects)
        services = services_of(queue, objects, folder / "scratch")
        app = create_app(services)
        browser = Browser.of(services).sign_in()
        token, item_id = browser.claim()
        with closing(sqlite3.connect(path)) as live:
            live.backup(kept)
        paths = app.openapi()["paths"]
        endpoints = [(method.upper(), path, spec) for path in paths for method, spec in paths[path].items()]
        schemas, cookies = app.openapi()["components"]["schemas"], dict(browser.client.cookies)
        yield Begun(browser, token, item_id, endpoints, schemas, path, kept, cookies)
        services.close()


def body_of(schema: dict[str, Any], schemas: dict[str, Any], token: str) -> st.SearchStrategy[Any]:
    """Bodies that are nearly right: known fields with values of the right kind or any, or something else altogether."""
    return st.one_of(value_of(schema, schemas, token), ANYTHING)


def value_of(schema: dict[str, Any], schemas: dict[str, Any], token: str) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return value_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, token)
    if "anyOf" in schema:
        return st.one_of([value_of(schema_part, schemas, token) for schema_part in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        right = {name: near(name, part, schemas, token) for name, part in schema["properties"].items()}
        return st.fixed_dictionaries({n: right[n] for n in schema.get("required", [])}, optional={
            n: right[n] for n in right if n not in schema.get("required", [])
        })
    if kind == "array":
        parts = schema.get("prefixItems")
        if parts:
            return st.tuples(*[value_of(schema_part, schemas, token) for schema_part in parts]).map(list)
        return st.lists(value_of(schema.get("items", {}), schemas, token), max_size=3)
    plain: dict[str | None, st.SearchStrategy[Any]] = {
        "integer": NUMBERS, "number": st.floats(-50, 50), "string": TEXTS, "boolean": st.booleans(), "null": st.none(),
        "object": st.dictionaries(TEXTS, ANYTHING, max_size=3),
    }
    return plain.get(kind, ANYTHING)


def near(name: str, schema: dict[str, Any], schemas: dict[str, Any], token: str) -> st.SearchStrategy[Any]:
    right = value_of(schema, schemas, token)
    if name == "token":
        return st.one_of(st.just(token), right)
    return st.one_of(right, right, right, ANYTHING)


@settings(
    max_examples=100, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_input_makes_the_server_fail(begun: Begun, data: st.DataObject) -> None:
    begun.again()
    for _ in range(data.draw(st.integers(1, 3))):
        ask(begun, data)


def ask(begun: Begun, data: st.DataObject) -> None:
    """Send one request and look at the answer."""
    method, path, spec = data.draw(st.sampled_from(begun.endpoints))
    in_path = {"item_id": st.one_of(st.just(begun.item_id), NUMBERS), "frame_idx": NUMBERS}
    for name, values in in_path.items():
        if "{" + name + "}" in path:
            path = path.replace("{" + name + "}", str(data.draw(values)))
    asked = {
        parameter["name"]: data.draw(st.one_of(NUMBERS.map(str), WORDS))
        for parameter in spec.get("parameters", []) if parameter["in"] == "query" and data.draw(st.booleans())
    }
    body = None
    if "requestBody" in spec:
        schema = spec["requestBody"]["content"]["application/json"]["schema"]
        body = json.dumps(data.draw(body_of(schema, begun.schemas, begun.token)))
    headers = {"X-CSRF-Token": begun.browser.csrf, "Content-Type": "application/json"}
    answer = begun.browser.client.request(method, path, params=asked, content=body, headers=headers)
    # 503 is what is told where no network was given.
    assert answer.status_code < 500 or (answer.status_code == 503 and "network" in answer.text), answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error"}
        assert {"code", "message", "hint"} <= set(answer.json()["error"])
