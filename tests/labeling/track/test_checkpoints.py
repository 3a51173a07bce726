"""Fetching from a server that speaks Range and breaks on the way."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from labeling.errors import BadConfiguration, BadInput, Unavailable
from labeling.track.checkpoints import fetch_checkpoint, find_checkpoint, list_checkpoints, sha256_of, verify_checkpoint

BODY = b"PK\3\4" + os.urandom(300_000)
FILE = "sam2.1_hiera_tiny.pt"


@dataclass
class Mirror:
    """What the server gives, where it breaks (bytes per answer), and which ranges it was asked for."""

    url: str = ""
    body: bytes = BODY
    etag: str = '"one"'
    break_after: int | None = None
    answers: int | None = None  # after so many the server only fails
    ranges: list[str] = field(default_factory=list)


def _handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            mirror.ranges.append(asked)
            if mirror.answers is not None and len(mirror.ranges) > mirror.answers:
                return self.send_error(503)
            if self.path != f"/weights/{FILE}":
                return self.send_error(404)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if "If-Range" in self.headers and self.headers["If-Range"] != mirror.etag:
                start = 0
            if start and start >= len(mirror.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(mirror.body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            rest = mirror.body[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            if mirror.etag:
                self.send_header("ETag", mirror.etag)
            self.end_headers()
            self.wfile.write(rest[:mirror.break_after])
            return None

    return Handler


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Mirror()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}/weights"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(mirror: Mirror, tmp_path: Path) -> Callable[..., Path]:
    return lambda name="tiny", **more: fetch_checkpoint(name, tmp_path / "w", mirror_url=mirror.url, pause_s=0.001, **more)


def test_the_released_files_are_listed() -> None:
    listed = list_checkpoints()
    assert len({c.url for c in listed}) == len(listed) == 8
    large = next(c for c in listed if c.name == "large")
    assert (large.file, large.variant) == ("sam2.1_hiera_large.pt", "sam2.1_hiera_l")
    assert large.url == "https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_large.pt"
    assert find_checkpoint("sam2_hiera_b+").url.endswith("/072824/sam2_hiera_base_plus.pt")
    assert {find_checkpoint(n) for n in ("large", "sam2.1_hiera_large.pt", "sam2.1_hiera_large", "sam2.1_hiera_l")} == {large}


def test_every_variant_is_one_that_can_be_built() -> None:
    variants = pytest.importorskip("sam2.variants").VARIANTS
    assert {c.variant for c in list_checkpoints()} <= set(variants)


def test_a_file_comes_whole_with_its_record(fetch: Callable[..., Path]) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(progress=lambda done, total: seen.append((done, total)))
    assert path.name == FILE
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    sha256 = hashlib.sha256(BODY).hexdigest()
    assert path.with_name(f"{FILE}.sha256").read_text() == f"{sha256}  {FILE}\n"
    assert sorted(p.name for p in path.parent.iterdir()) == [FILE, f"{FILE}.sha256"]


def test_a_line_that_breaks_is_taken_up_where_it_broke(mirror: Mirror, fetch: Callable[..., Path]) -> None:
    mirror.break_after = 100_000
    assert fetch().read_bytes() == BODY
    assert mirror.ranges == ["", "bytes=100000-", "bytes=200000-", "bytes=300000-"]


def test_a_later_call_goes_on_from_what_is_kept(mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path) -> None:
    mirror.break_after, mirror.answers = 100_000, 1
    with pytest.raises(Unavailable, match=r"503.*100000 bytes are kept") as got:
        fetch()
    assert got.value.reason == "source_unavailable"
    assert (tmp_path / "w" / f"{FILE}.part").stat().st_size == 100_000
    mirror.break_after = mirror.answers = None
    mirror.ranges.clear()
    assert fetch().read_bytes() == BODY
    assert mirror.ranges == ["bytes=100000-"]


def test_parts_of_two_versions_are_never_joined(mirror: Mirror, fetch: Callable[..., Path]) -> None:
    mirror.break_after, mirror.answers = 100_000, 1
    with pytest.raises(Unavailable):
        fetch()
    mirror.break_after = mirror.answers = None
    mirror.body, mirror.etag = b"PK\3\4" + os.urandom(200_000), '"two"'
    assert fetch().read_bytes() == mirror.body


def test_a_part_that_is_whole_already_needs_no_byte(mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / f"{FILE}.part").write_bytes(BODY)
    (tmp_path / "w" / f"{FILE}.part.of").write_text(f"{mirror.etag}\n{len(BODY)}")
    assert fetch().read_bytes() == BODY
    assert mirror.ranges == [f"bytes={len(BODY)}-"]


def test_what_is_there_is_checked_and_not_fetched(mirror: Mirror, fetch: Callable[..., Path]) -> None:
    path = fetch()
    mirror.ranges.clear()
    assert fetch() == path
    assert mirror.ranges == []
    path.write_bytes(BODY[:-1] + b"!")
    with pytest.raises(BadInput, match=r"recorded .* at first use") as got:
        fetch()
    assert got.value.reason == "bad_checkpoint"


def test_another_file_than_the_recorded_one_is_refused(mirror: Mirror, fetch: Callable[..., Path]) -> None:
    fetch().unlink()
    mirror.body, mirror.etag = b"PK\3\4 something else", '"two"'
    with pytest.raises(BadInput, match="recorded"):
        fetch()


def test_a_url_without_the_file_is_a_configuration_error(fetch: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"404.*correct the mirror"):
        fetch("large")
    assert list((tmp_path / "w").iterdir()) == []


def test_a_page_instead_of_the_file_is_refused(mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path) -> None:
    mirror.body = b"<html>log in first</html>"
    with pytest.raises(BadInput, match="no checkpoint"):
        fetch()
    assert list((tmp_path / "w").iterdir()) == []


def test_an_unknown_name_gets_the_list() -> None:
    with pytest.raises(BadConfiguration, match="tiny, small, base_plus, large, sam2_tiny"):
        fetch_checkpoint("huge", "/nonexistent")


def test_a_mirror_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="http"):
        fetch_checkpoint("tiny", tmp_path, mirror_url="/mnt/weights")


def test_the_digest_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "w.pt"
    for body in (b"one", b"two"):
        path.write_bytes(body)
        assert sha256_of(path) == hashlib.sha256(body).hexdigest()


def test_the_record_is_made_at_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "own.pt"
    path.write_bytes(b"weights")
    assert verify_checkpoint(path) == verify_checkpoint(path) == hashlib.sha256(b"weights").hexdigest()
    path.write_bytes(b"changed!")
    with pytest.raises(BadInput, match="remove the record"):
        verify_checkpoint(path)
