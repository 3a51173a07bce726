"""Prefect's server, reached or started before a flow begins, and one sentence where it is not."""

import atexit
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
)

from labeling.errors import Unavailable

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

CHILD = Path(__file__).with_name("prefect_child.py")
ASK_S, TRIES, PAUSE_S = 5.0, 3, 2.0
STARTS = 3
PORT_TAKEN = ("address already in use", "Errno 98")


def ensure_server() -> None:
    """Have a Prefect server that answers: the one of PREFECT_API_URL, else one of our own, started once a process.

    Raises:
        Unavailable: there is none; the message says what to mend.
    """
    if PREFECT_API_URL.value():
        _ask(str(PREFECT_API_URL.value()))
    elif not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        raise _away("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE is false and PREFECT_API_URL empty; set PREFECT_API_URL to a server's")
    else:
        from prefect.server.api.server import SubprocessASGIServer  # takes seconds, and a server elsewhere needs none of it

        if not SubprocessASGIServer().running:
            _start(SubprocessASGIServer())


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """Turn what Prefect's client raises where its server fails into Unavailable."""
    try:
        yield
    except PrefectHTTPStatusError as error:
        message = f"{error.response.status_code} to {error.request.url.path}"
        raise _away(f"its server answered {message}; look at its log") from error
    except httpx.HTTPError as error:
        raise _away(f"its server does not answer ({type(error).__name__}: {error}); see that it runs, and run again") from error


def _ask(url: str) -> None:
    """Ask a server for its version, which needs a login where there is one."""
    where = f"PREFECT_API_URL={httpx.URL(url).copy_with(userinfo=b'')}"
    for left in reversed(range(TRIES)):
        try:
            with get_client(sync_client=True, httpx_settings={"timeout": ASK_S}) as client:
                answer = client._client.get("/admin/version")
            if "json" not in answer.headers.get("content-type", ""):
                raise _away(f"{where} answers, but not as Prefect does; expected http://host:port/api")
            return
        except PrefectHTTPStatusError as error:
            status = error.response.status_code
            if status in (401, 403):
                raise _away(f"{where} wants a login; set PREFECT_API_AUTH_STRING or PREFECT_API_KEY") from error
            if status == 404 and "json" in error.response.headers.get("content-type", "") and "/api" in url:
                return      # a server without that page
            if status < 500 or not left:
                raise _away(f"{where} answers {status}, not as Prefect does; expected http://host:port/api") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            if not left:
                message = f"{type(error).__name__}: {error}".rstrip(": ")
                advice = "start it (`prefect server start`), correct the address, or unset it to have one started here"
                raise _away(f"{where} does not answer ({message}); {advice}") from error
        time.sleep(PAUSE_S)


def _start(server: "SubprocessASGIServer") -> None:
    """Start a server of our own and hand it to Prefect, which would wait two minutes for one that has ended."""
    home = _writable_home()
    limit_s = float(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value())
    for left in reversed(range(STARTS)):
        server.port = _free_port(server)
        with tempfile.TemporaryFile() as log:
            process = _run(server.port, log)
            answered = _wait(process, server.port, limit_s)
            tail = _tail(log)
        if answered:
            server.server_process, server.running = process, True
            atexit.register(server.stop)
            return
        over = process.poll() is not None
        process.kill()
        process.wait()
        if not over:
            raise _away(f"its server did not answer within {limit_s:.0f} s; is the machine overloaded?")
        if not left or not any(words in tail for words in (*PORT_TAKEN, "database is locked")):
            break
    raise _away(f"its server ended at its start ({tail}); end what else uses PREFECT_HOME={home}, or set another")


def _run(port: int, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    # -P: a folder that is called `prefect` in the working folder is none of its packages. A session of its own: Ctrl+C is ours.
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    ours = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", str(CHILD), str(port)], env={**os.environ, **ours, **settings}, stdin=subprocess.PIPE,
        stdout=log, stderr=log, start_new_session=True,
    )


def _wait(process: "subprocess.Popen[bytes]", port: int, limit_s: float) -> bool:
    give_up_at = time.monotonic() + limit_s
    with httpx.Client(trust_env=False, timeout=ASK_S) as client:
        while process.poll() is None and time.monotonic() < give_up_at:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"http://127.0.0.1:{port}/api/health").status_code == 200:
                    return True
            time.sleep(0.1)
    return False


def _writable_home() -> Path:
    home = Path(PREFECT_HOME.value())
    trial = home / f".{uuid.uuid4().hex}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(bytes(65536))
    except OSError as error:
        raise _away(f"PREFECT_HOME={home} cannot be written ({error.strerror}); set it to a folder that can be") from error
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()
    return home


def _free_port(server: "SubprocessASGIServer") -> int:
    try:
        return server.find_available_port()
    except RuntimeError as error:
        raise _away("no port from 8000 to 8999 is free for its server; set PREFECT_API_URL to one that runs") from error


def _tail(log: IO[bytes]) -> str:
    """The last line of the server's log that names an error."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    errors = (line for line in reversed(lines) if "rror: " in line or "errno" in line.lower())
    return next(errors, lines[-1] if lines else "no word")[:300]


def _away(what: str) -> Unavailable:
    return Unavailable(f"no Prefect: {what}", "prefect_unavailable")
