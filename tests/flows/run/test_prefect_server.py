"""Prefect's server out of reach in many ways: one sentence each that says what to mend."""

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

import flows
from flows.run import prefect_server
from flows.run.prefect_server import CHILD, ensure_server
from flows.run.redacted_flow import DiscreetFlow, not_said_again, without_traceback
from labeling.config import LabelConfig, SourceConfig
from labeling.errors import BadInput, Unavailable

Serve = Callable[[int, str, bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that gives one answer to everything, and return its address."""
    started = []

    def start(status: int, kind: str, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        started.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, "text/html", b"<html></html>"), "not as Prefect does; expected http://host:port/api"),
        ((401, "application/json", b"{}"), "wants a login; set PREFECT_API_AUTH_STRING"),
        ((418, "application/json", b"{}"), "answers 418, not as Prefect does"),
    ],
)
def test_a_server_that_is_not_prefects_is_named(serve: Serve, answer: tuple[int, str, bytes], words: str) -> None:
    url = serve(*answer) + "/api"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(Unavailable, match=f"PREFECT_API_URL={url}.*{words}"):
        ensure_server()


def test_a_server_that_answers_is_enough(serve: Serve) -> None:
    with temporary_settings({PREFECT_API_URL: serve(200, "application/json", b'"3.8"') + "/api"}):
        ensure_server()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "nonsense"])
def test_a_server_that_is_down_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_server, "PAUSE_S", 0.0)
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(Unavailable, match=f"PREFECT_API_URL={url} does not answer"):
        ensure_server()


def test_without_a_server_and_the_right_to_start_one_the_setting_is_named() -> None:
    alone = temporary_settings({PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}, restore_defaults={PREFECT_API_URL})
    with alone, pytest.raises(Unavailable, match="set PREFECT_API_URL"):
        ensure_server()


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below_a_file = temporary_settings({PREFECT_HOME: tmp_path / "file" / "home"})
    with below_a_file, pytest.raises(Unavailable, match="PREFECT_HOME=.*Not a dir"):
        prefect_server._writable_home()


def test_what_a_server_said_last_is_told() -> None:
    log = b"...\nsqlite3.OperationalError: database is locked\n(Background: docs)\n12:00 | ERROR | Application startup failed\n"
    assert prefect_server._tail(io.BytesIO(log)) == "sqlite3.OperationalError: database is locked"


def test_the_server_ends_with_a_driver_that_is_killed() -> None:
    program = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-P', sys.argv[1], '1'], stdin=subprocess.PIPE, "
        "start_new_session=True); print(p.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(CHILD)], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        server = psutil.Process(int(driver.stdout.readline()))
        driver.send_signal(signal.SIGKILL)
        gone, _ = psutil.wait_procs([server], timeout=60)
    assert gone == [server]


def test_this_machines_servers_are_reached_without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in (*flows.PROXIES, "no_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    flows.bypass_proxies()
    assert os.environ["NO_PROXY"] == ""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "company.example, localhost")
    flows.bypass_proxies()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "company.example,localhost,127.0.0.1,::1"


def test_an_error_that_names_what_to_mend_is_logged_without_its_traceback() -> None:
    def record(error: Exception) -> logging.LogRecord:
        cause = (type(error), error, None)
        made = logging.LogRecord("prefect.flow_runs", logging.ERROR, "", 0, "Encountered %r", (error,), cause)
        assert without_traceback(made)
        return made

    told = record(BadInput("a.mp4 is no video", "not_a_video"))
    assert (told.getMessage(), told.exc_info) == ("a.mp4 is no video", None)
    assert not not_said_again(told)      # the command says it
    other = record(KeyError("x"))
    assert other.exc_info is not None
    assert not_said_again(other)


def test_a_start_is_not_waited_for_when_the_process_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        began = time.monotonic()
        assert not prefect_server._wait(process, 1, 60.0)
    assert time.monotonic() - began < 30


def test_a_secret_of_the_environment_is_not_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "k3yk3yk3yk3y")
    config = LabelConfig(source=SourceConfig(uri="/data/k3yk3yk3yk3y"))
    shown = DiscreetFlow(lambda config: None, name="f").serialize_parameters({"config": config})
    assert "k3yk3yk3yk3y" not in str(shown)
    assert shown["config"]["source"]["uri"] == "/data/***"
