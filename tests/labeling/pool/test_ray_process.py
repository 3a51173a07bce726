"""What Ray's processes are told beside what Ray tells them."""

import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ray._private import services
from ray._private.ray_constants import PROCESS_TYPE_LOG_MONITOR, PROCESS_TYPE_RAYLET

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration
from labeling.pool import ray_process
from labeling.pool.ray_process import ClusterFailed, OwnPaths, check_head, options_for, raylet_told

PROGRAM = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:]))"


def test_a_raylet_is_told_more_and_nobody_else(tmp_path: Path) -> None:
    def said(process_type: str) -> str:
        out = tmp_path / process_type
        info = services.start_ray_process([sys.executable, "-c", PROGRAM, str(out), "as ever"], process_type, fate_share=False)
        assert info.process.wait(60) == 0
        return out.read_text()

    with raylet_told("--port=1", "--other=2"):
        assert said(PROCESS_TYPE_RAYLET) == "as ever --port=1 --other=2"
        assert said(PROCESS_TYPE_LOG_MONITOR) == "as ever"
    assert said(PROCESS_TYPE_RAYLET) == "as ever"


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_cluster_that_is_gone_is_named_by_its_setting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_process, "CONNECT_S", 0.5)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    address, began = free_address(), time.monotonic()
    with pytest.raises(ClusterFailed, match=f"cluster.address={address}: nobody answers"):
        check_head(options_for(ClusterConfig(address=address))["address"])
    monkeypatch.setenv("RAY_ADDRESS", address)
    for cluster in (ClusterConfig(), ClusterConfig(address="auto")):
        with pytest.raises(ClusterFailed, match=f"RAY_ADDRESS={address}: nobody answers"):
            check_head(options_for(cluster)["address"])
    assert time.monotonic() - began < 20


def test_what_is_not_rays_head_is_told_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_process, "ANSWER_S", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(ClusterFailed, match="does not answer as a head of Ray"):
            check_head(f"127.0.0.1:{mute.getsockname()[1]}")


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="cluster.address=head; expected host:port"):
        check_head("head")


def test_rays_folder_is_short_wherever_temporary_files_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert "_temp_dir" not in options_for(ClusterConfig())
    monkeypatch.setenv("RAY_TMPDIR", str(deep))
    assert options_for(ClusterConfig())["_temp_dir"].startswith("/tmp/ray")
    monkeypatch.setattr(os, "access", lambda path, mode: path != "/dev/shm")
    assert options_for(ClusterConfig())["_plasma_directory"] == tempfile.gettempdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ClusterFailed, match="set RAY_TMPDIR to a short one"):
        options_for(ClusterConfig())


def test_actors_import_from_where_this_package_lies_and_not_from_the_working_folder() -> None:
    job = OwnPaths()
    assert job._runtime_env_has_working_dir()
    assert job._py_driver_sys_path in ([], [str(Path(ray_process.__file__).parents[2])])
