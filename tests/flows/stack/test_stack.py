"""A stack's processes: started once, found again, ended with their children, and nothing else."""

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.stack import raise_up
from flows.stack.parts import _clear, parts_of
from flows.stack.process import Running, start, stop, wait_until
from flows.stack.stack import environment, open_stack
from labeling.errors import BadConfiguration
from labeling.objects import open_objects

PARENT = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"


def test_a_process_ends_with_its_children_and_no_other(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        log = tmp_path / "logs" / "parent.log"
        running = start([sys.executable, "-c", PARENT], env={"PATH": "/usr/bin:/bin"}, log=log)
        wait_until(lambda: log.exists() and bool(log.read_text()), running, log=log, limit_s=60)
        child = int(log.read_text())
        assert running.process() is not None
        assert psutil.pid_exists(child)
        stop(running)
        assert running.process() is None
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        assert Running(bystander.pid, time.time() - 3600).process() is None, "an id that was used again"
        stop(Running(bystander.pid, time.time() - 3600))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_part_that_ends_at_once_says_why(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    running = start([sys.executable, "-c", "raise SystemExit('the port is taken')"], env={}, log=log)
    with pytest.raises(BadConfiguration, match=r"part ended; the end of .*\nthe port is taken"):
        wait_until(lambda: False, running, log=log, limit_s=60)
    with pytest.raises(BadConfiguration, match="no-such-program is not on this machine"):
        start(["no-such-program"], env={}, log=log)


def test_up_twice_and_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, quiet = open_stack(tmp_path / "stack"), Console(quiet=True)
    raise_up(stack, only=["s3"], console=quiet)
    first = stack.running["s3"]
    again = open_stack(tmp_path / "stack")
    assert (again.ports, again.secrets, again.running) == (stack.ports, stack.secrets, {"s3": first})
    raise_up(again, only=["s3"], console=quiet)
    assert again.running["s3"] == first
    # As if that call had been killed before the buckets were made.
    again.running["s3"] = replace(first, settled=False)
    raise_up(again, only=["s3"], console=quiet)
    assert again.running["s3"] == first

    for name, value in environment(again).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    open_objects("s3://videos").put("raw/a.mp4", b"x")
    assert (tmp_path / "stack" / "stack.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "stack" / "env.sh").stat().st_mode & 0o077 == 0

    where = ["--folder", str(tmp_path / "stack")]
    told = CliRunner().invoke(app, ["stack", "status", *where])
    assert told.exit_code == 0, told.output
    assert str(first.pid) in told.output
    stack.ray_folder.mkdir()
    assert CliRunner().invoke(app, ["stack", "down", *where]).output == "s3 is down\n"
    assert not stack.ray_folder.exists(), "it lies outside the stack's folder"
    assert first.process() is None
    assert open_stack(tmp_path / "stack").running == {}


def test_a_stack_without_postgresql_and_prometheus_says_which_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("flows.stack.stack.Path.glob", lambda path, pattern: iter(()))
    parts, missing = parts_of(open_stack(tmp_path))
    assert {"s3", "prefect", "ray-head", "ray-node-1", "ray-node-2", "worker", "review", "metrics"} == {p.name for p in parts}
    assert "apt-get install postgresql" in missing[0]
    assert "apt-get install prometheus" in missing[1]
    assert all(".sqlite" in part.env["LABELING_REVIEW_URL"] for part in parts)


def test_a_folder_with_another_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{}")
    with pytest.raises(BadConfiguration, match=r"stack\.json cannot be read"):
        open_stack(tmp_path)


def test_only_a_database_that_was_begun_here_is_cleared(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "thesis.txt").write_text("years")
    with pytest.raises(BadConfiguration, match="other files than a database"):
        _clear(data)
    assert (data / "thesis.txt").read_text() == "years"
    (data / "thesis.txt").rename(tmp_path / "thesis.txt")
    _clear(data)
    data.mkdir()
    (data / "half").touch()  # a call that was killed here
    _clear(data)
    assert not data.exists()
