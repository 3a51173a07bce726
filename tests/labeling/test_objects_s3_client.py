"""What servers answer when something is wrong: bodies that break off, refusals with and without words, pages of a proxy."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.retries.standard import ExponentialBackoff

from labeling import objects_s3, objects_s3_client
from labeling.config import SourceConfig
from labeling.errors import BadConfiguration, BadCredentials, ErrorKind, Unavailable, record_of
from labeling.ingest.fetch import fetch_video
from labeling.ingest.listing import video_id_of, why_source_is_gone
from labeling.objects import open_objects
from labeling.types import VideoRef

BODY = bytes(range(256)) * 400
LISTING = (
    b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>3</Size>'
    b"<ETag>e</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>"
)


@dataclass
class Server:
    """How the little server behaves: `cuts` answers break off, then all is well; `refusal` is (status, code) for all."""

    cuts: int = 0
    refusal: tuple[int, str] | None = None
    page: bytes = b""
    ignores_ranges: bool = False
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            server.asked.append(self.command)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            more = {"ETag": '"e"', "Last-Modified": "Tue, 01 Dec 2026 03:00:00 GMT", "Content-Length": str(len(body))}
            for name, value in {**more, **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = server.cuts > 0
            server.cuts -= cut
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        def any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if server.refusal:
                status, code = server.refusal
                self.answer(status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode() if code else b"")
            elif "list-type" in self.path:
                self.answer(200, server.page or LISTING)
            elif "Range" in self.headers and not server.ignores_ranges:
                first, last = self.headers["Range"].removeprefix("bytes=").split("-")
                part = BODY[int(first) : int(last) + 1]
                self.answer(206, part, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(BODY)}")
            else:
                self.answer(200, b"" if self.command == "PUT" else BODY)

        do_GET = do_HEAD = do_PUT = do_DELETE = any

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REQUEST_PAYER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{http.server_port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # the pauses between tries are botocore's own affair: without them a test takes no time
    config = objects_s3_client._client_config().merge(Config(retries={"mode": "standard", "max_attempts": 5}))
    monkeypatch.setattr(objects_s3_client, "_client_config", lambda: config)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(objects_s3, "_BODY_PAUSE_S", 0.0)
    yield made
    http.shutdown()
    http.server_close()


def _downloaded(folder: Path) -> bytes:
    open_objects("s3://bucket").download("k", folder / "k")
    return (folder / "k").read_bytes()


@pytest.mark.parametrize("way", ["get", "get_range", "download", "list"])
def test_a_body_that_breaks_off_is_asked_for_again(server: Server, tmp_path: Path, way: str) -> None:
    server.cuts = 2
    place = open_objects("s3://bucket")
    ways: dict[str, tuple[Callable[[], object], object]] = {
        "get": (lambda: place.get("k"), BODY),
        "get_range": (lambda: place.get_range("k", 100, 5000), BODY[100:5000]),
        "download": (lambda: _downloaded(tmp_path), BODY),
        "list": (lambda: [found.key for found in place.list()], ["k"]),
    }
    call, expected = ways[way]
    assert call() == expected
    assert server.cuts == 0


def test_a_put_whose_refusal_breaks_off_is_sent_again(server: Server) -> None:
    server.cuts, server.refusal = 1, (503, "InternalError")
    with pytest.raises(Unavailable):
        open_objects("s3://bucket").put("k", b"1")
    assert server.asked.count("PUT") > 1


def test_a_body_that_always_breaks_off_is_unavailable(server: Server) -> None:
    server.cuts = 99
    with pytest.raises(Unavailable, match="s3://bucket/k: the server did not answer") as error:
        open_objects("s3://bucket").get("k")
    assert record_of(error.value).kind is ErrorKind.TRANSIENT


def test_a_server_that_ignores_ranges_gives_the_range(server: Server) -> None:
    server.ignores_ranges = True
    assert open_objects("s3://bucket").get_range("k", 100, 200) == BODY[100:200]


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        ((403, "AccessDenied"), BadConfiguration, "access is denied"),
        ((403, "InvalidAccessKeyId"), BadCredentials, "AWS_ACCESS_KEY_ID"),
        ((403, "SignatureDoesNotMatch"), BadConfiguration, "secret key"),
        ((403, "RequestTimeTooSkewed"), BadCredentials, "clock"),
        ((403, "InvalidToken"), BadCredentials, "AWS_SESSION_TOKEN"),
        ((400, "ExpiredToken"), Unavailable, "token has run out"),
        ((400, "AuthorizationHeaderMalformed"), BadConfiguration, "another region"),
        ((404, "NoSuchBucket"), BadConfiguration, "the bucket does not exist"),
        ((503, "SlowDown"), Unavailable, "asked less often"),
    ],
)
def test_a_refusal_is_named_alike_by_each_way_of_asking(
    server: Server, tmp_path: Path, refusal: tuple[int, str], kind: type[Exception], words: str
) -> None:
    server.refusal = refusal
    place = open_objects("s3://bucket")
    calls: list[Callable[[], object]] = [
        lambda: place.get("k"), lambda: place.stat("k"), lambda: list(place.list()), lambda: place.put("k", b""),
        lambda: place.download("k", tmp_path / "k"),
    ]
    for call in calls:
        with pytest.raises(kind, match=words):
            call()


@pytest.mark.parametrize(("refusal", "kind", "reason"), [
    ((400, "ExpiredToken"), ErrorKind.TRANSIENT, "credentials_expired"),
    ((403, "InvalidAccessKeyId"), ErrorKind.POISON, "credentials_refused"),
    ((403, "SignatureDoesNotMatch"), ErrorKind.POISON, "source_unavailable"),     # of one odd key alone, with some servers
    ((403, "AccessDenied"), ErrorKind.POISON, "source_unavailable"),
])
def test_credentials_that_are_refused_are_no_single_videos_fault(
    server: Server, tmp_path: Path, refusal: tuple[int, str], kind: ErrorKind, reason: str
) -> None:
    server.refusal = refusal
    ref = VideoRef(video_id_of("a.mp4"), "a.mp4", "s3://b/raw/a.mp4", "etag:x:1", 1)
    with pytest.raises(Exception, match="s3://b/raw/a.mp4: ") as error, fetch_video(ref, tmp_path):
        pass
    record = record_of(error.value)
    assert (record.kind, record.reason) == (kind, reason)


@pytest.mark.parametrize(("refusal", "said"), [
    ((403, "SignatureDoesNotMatch"), "s3://b: the secret key is wrong"),
    ((403, "AccessDenied"), ""),        # who may read single videos need not be allowed to list
    (None, ""),
])
def test_a_wrong_secret_is_no_single_videos_fault_with_a_manifest_either(
    server: Server, refusal: tuple[int, str] | None, said: str
) -> None:
    server.refusal = refusal
    why = why_source_is_gone(SourceConfig(manifest="s3://b/list.jsonl"), "s3://b/raw/a.mp4")
    assert why.startswith(said)
    assert bool(why) == bool(said)


def test_a_page_in_the_place_of_an_answer_is_named(server: Server) -> None:
    server.page = b"<html><body>Please log in<br></body></html>"
    with pytest.raises(Unavailable, match="s3://bucket: .*AWS_ENDPOINT_URL"):
        list(open_objects("s3://bucket").list())


def test_the_reader_pays_where_asked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    place = open_objects("s3://bucket")
    place.get("k")
    place.stat("k")
    list(place.list())
    place.download("k", tmp_path / "k")
    assert {headers.get("x-amz-request-payer") for headers in server.headers} == {"requester"}
    monkeypatch.setenv("AWS_REQUEST_PAYER", "me")
    with pytest.raises(BadConfiguration, match="AWS_REQUEST_PAYER is 'me'; expected requester"):
        place.get("k")
