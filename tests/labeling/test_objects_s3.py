"""What S3 does that a folder never does: refuse, contend, lose an answer, lack conditional writes."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from labeling.errors import BadConfiguration, Unavailable
from labeling.objects import open_objects


@dataclass
class Behaviour:
    """What the little server below gets wrong; `objects` maps a path to its body and writer."""

    ignores_conditions: bool = False
    contended_puts: int = 0
    lost_answers: int = 0
    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)


def _handler(behaviour: Behaviour) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, status: int, code: str = "", headers: dict[str, str] | None = None) -> None:
            body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode() if code else b""
            self.send_response(status)
            for name, value in {"ETag": '"e"', "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            probe = ".~probe" in self.path
            conditional = "If-None-Match" in self.headers or "If-Match" in self.headers
            if not probe and behaviour.contended_puts > 0:
                behaviour.contended_puts -= 1
                return self.answer(409, "ConditionalRequestConflict")
            refused = self.path in behaviour.objects if "If-None-Match" in self.headers else True
            if conditional and refused and not behaviour.ignores_conditions:
                return self.answer(412, "PreconditionFailed")
            behaviour.objects[self.path] = (body, self.headers.get("x-amz-meta-labeling-writer", ""))
            if not probe and behaviour.lost_answers > 0:
                behaviour.lost_answers -= 1
                return self.answer(503, "SlowDown")
            return self.answer(200)

        def do_HEAD(self) -> None:
            if self.path not in behaviour.objects:
                return self.answer(404)
            body, writer = behaviour.objects[self.path]
            self.send_response(200)
            for name, value in {
                "Content-Length": str(len(body)), "ETag": '"e"', "x-amz-meta-labeling-writer": writer,
                "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            return None

        def do_DELETE(self) -> None:
            behaviour.objects.pop(self.path, None)
            self.answer(204)

    return Handler


@pytest.fixture
def behaviour(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    made = Behaviour()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    _reach(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
    yield made
    server.shutdown()
    server.server_close()


def _reach(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_contended_write_is_tried_again(behaviour: Behaviour) -> None:
    behaviour.contended_puts = 2
    assert open_objects("s3://bucket").put_if_absent("a", b"1") is True
    assert behaviour.objects["/bucket/a"][0] == b"1"


def test_a_write_that_stays_contended_is_lost(behaviour: Behaviour) -> None:
    behaviour.contended_puts = 99
    assert open_objects("s3://bucket").put_if_absent("a", b"1") is False
    assert "/bucket/a" not in behaviour.objects


def test_a_write_whose_answer_was_lost_still_counts_as_ours(behaviour: Behaviour) -> None:
    behaviour.lost_answers = 1
    assert open_objects("s3://bucket").put_if_absent("a", b"1") is True
    assert open_objects("s3://bucket").put_if_absent("a", b"1") is False


def test_a_server_without_conditions_is_found_out_and_said(behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    behaviour.ignores_conditions = True
    place = open_objects("s3://bucket/p")
    with caplog.at_level(logging.WARNING, "labeling.objects_s3"):
        assert place.put_if_absent("a", b"1") is True
        assert place.put_if_absent("a", b"2") is False
    assert behaviour.objects["/bucket/p/a"][0] == b"1"
    assert [r.message.partition(":")[0] for r in caplog.records] == ["s3"]
    assert "ignores If-None-Match" in caplog.text
    assert place.put_if_match("a", b"3", "other") is False
    assert place.put_if_match("a", b"3", "e") is True
    assert list(behaviour.objects) == ["/bucket/p/a"]  # the probe is gone


def test_nobody_listening_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    _reach(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="s3://bucket/k: the server did not answer") as got:
        open_objects("s3://bucket", unavailable="source_unavailable").get("k")
    assert got.value.reason == "source_unavailable"


def test_an_endpoint_that_is_no_url_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _reach(monkeypatch, "nonsense")
    with pytest.raises(BadConfiguration, match="AWS_ENDPOINT_URL"):
        open_objects("s3://bucket").get("k")


def test_a_missing_bucket_says_what_to_do(s3: str) -> None:
    for call in (lambda o: o.get("k"), lambda o: list(o.list()), lambda o: o.put("k", b"")):
        with pytest.raises(BadConfiguration, match=r"s3://no-such-bucket.*create it"):
            call(open_objects("s3://no-such-bucket"))


def test_missing_credentials_say_what_to_set(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(BadConfiguration, match="AWS_ACCESS_KEY_ID"):
        open_objects(s3).put("k", b"")


def test_a_listing_longer_than_a_page_comes_whole(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = open_objects(s3 + "/many")
    keys = [f"{n:02d}" for n in range(12)]
    for key in keys:
        place.put(key, b"")
    client = place._client()  # type: ignore[attr-defined]
    pages = []

    def five_a_page(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = 5
        pages.append(params)

    client.meta.events.register("provide-client-params.s3.ListObjectsV2", five_a_page)
    assert [found.key for found in place.list()] == keys
    assert len(pages) == 3
