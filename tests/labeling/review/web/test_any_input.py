"""Whatever is sent to a documented endpoint, the answer is no failure of the server, and a refusal has the one shape."""

import shutil
from collections.abc import Iterator
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
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(allow_nan=False, allow_infinity=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, objects: FolderObjects) -> Iterator[Any]:
    """A browser that holds item 1, the token of its lease, and the documented endpoints."""
    folder = tmp_path_factory.mktemp("any")
    shutil.copy(sqlite_template, folder / "queue.sqlite")
    with ReviewQueue(str(folder / "queue.sqlite")) as queue:
        fill(queue, objects)
        services = services_of(queue, objects, folder / "scratch")
        app = create_app(services)
        browser = Browser.of(services).sign_in()
        token, item_id = browser.claim()
        endpoints = [
            (method.upper(), path, spec) for path, methods in app.openapi()["paths"].items() for method, spec in methods.items()
        ]
        yield browser, token, item_id, endpoints, app.openapi()["components"]["schemas"]
        services.close()


def body_of(schema: dict[str, Any], schemas: dict[str, Any], token: str) -> st.SearchStrategy[Any]:
    """Bodies that are nearly right: known fields with values of the right kind or any, or something else altogether."""
    return st.one_of(value_of(schema, schemas, token), ANYTHING)


def value_of(schema: dict[str, Any], schemas: dict[str, Any], token: str) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return value_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, token)
    if "anyOf" in schema:
        return st.one_of([value_of(one, schemas, token) for one in schema["anyOf"]])
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
            return st.tuples(*[value_of(one, schemas, token) for one in parts]).map(list)
        return st.lists(value_of(schema.get("items", {}), schemas, token), max_size=3)
    plain: dict[str | None, st.SearchStrategy[Any]] = {
        "integer": NUMBERS, "number": st.floats(-50, 50), "string": WORDS, "boolean": st.booleans(), "null": st.none(),
        "object": st.dictionaries(WORDS, ANYTHING, max_size=3),
    }
    return plain.get(kind, ANYTHING)


def near(name: str, schema: dict[str, Any], schemas: dict[str, Any], token: str) -> st.SearchStrategy[Any]:
    right = value_of(schema, schemas, token)
    if name == "token":
        return st.one_of(st.just(token), right)
    return st.one_of(right, right, right, ANYTHING)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_no_input_makes_the_server_fail(settled: Any, data: st.DataObject) -> None:
    browser, token, item_id, endpoints, schemas = settled
    method, path, spec = data.draw(st.sampled_from(endpoints))
    if path == "/api/logout":
        return
    in_path = {"item_id": st.one_of(st.just(item_id), NUMBERS), "frame_idx": NUMBERS}
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
        body = data.draw(body_of(schema, schemas, token))
    answer = browser.client.request(method, path, params=asked, json=body, headers={"X-CSRF-Token": browser.csrf})
    # 503 is what is told where no network was given.
    assert answer.status_code < 500 or (answer.status_code == 503 and "network" in answer.text), answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error"}
        assert {"code", "message", "hint"} <= set(answer.json()["error"])
