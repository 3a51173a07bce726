"""A private PostgreSQL for tests and benchmarks: in a folder of its own, on a socket, gone afterwards."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError


def missing() -> str:
    """What this machine lacks to run a server, or nothing."""
    if _server_folder() is None:
        return "needs PostgreSQL's initdb and postgres (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and (shutil.which("runuser") is None or not _has_user("postgres")):
        return "needs the user postgres and runuser: PostgreSQL refuses to run as root"
    return ""


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """Give the folder of a server's socket; it listens nowhere else. `durable` waits for the disk at each commit."""
    binaries = _server_folder()
    assert binaries is not None, missing()
    folder = Path(tempfile.mkdtemp(prefix="review-pg-", dir="/tmp"))
    prefix = _as_server_user(folder)
    server: subprocess.Popen[bytes] | None = None
    try:
        command = [*prefix, str(binaries / "initdb"), "-D", str(folder / "cluster"), "-A", "trust", "-U", "postgres"]
        subprocess.run([*command, "-E", "UTF8", "--no-sync", "--locale=C"], check=True, capture_output=True, cwd=folder)
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            server = subprocess.Popen(
                [*prefix, str(binaries / "postgres"), "-D", str(folder / "cluster"), "-k", str(folder),
                 "-c", "listen_addresses=", "-c", f"fsync={'on' if durable else 'off'}", "-c", "max_connections=200"],
                stdout=log, stderr=log, cwd=folder,
            )
        _wait_for(str(folder), server)
        yield str(folder)
    finally:
        if server is not None:
            _stop(folder, server)
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


def url_of(socket: str, database: str) -> str:
    """The URL of a server's database."""
    return f"postgresql+psycopg://postgres@/{database}?host={socket}"


def _server_folder() -> Path | None:
    on_path = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates = [*folders, *([Path(on_path).parent] if on_path else [])]
    return next((f for f in candidates if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _as_server_user(folder: Path) -> list[str]:
    """The command prefix that leaves root behind: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    return ["runuser", "-u", "postgres", "--"]


def _has_user(name: str) -> bool:
    return any(line.startswith(f"{name}:") for line in Path("/etc/passwd").read_text().splitlines())


def _wait_for(socket: str, server: "subprocess.Popen[bytes]") -> None:
    engine = create_engine(url_of(socket, "postgres"))
    deadline_s = time.monotonic() + 60
    while True:
        try:
            with engine.connect():
                return
        except OperationalError:
            if server.poll() is not None or time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        finally:
            engine.dispose()


def _stop(folder: Path, server: "subprocess.Popen[bytes]") -> None:
    # runuser stands between us and the server, so the server's own pid file says whom to tell.
    pid_file = folder / "cluster" / "postmaster.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
    else:
        server.terminate()
    server.wait(timeout=30)
