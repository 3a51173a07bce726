"""How Ray is started here: what it is given, and what is refused."""

import os
import tempfile
from pathlib import Path

import pytest

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration, ClusterFailed
from labeling.pool import cluster as cluster_module
from labeling.pool.cluster import open_cluster, options_for, usable_cpus


def test_ray_client_is_refused_with_what_to_do_instead() -> None:
    cluster = ClusterConfig(address="ray://127.0.0.1:10001")
    with pytest.raises(BadConfiguration, match="ray start --address"), open_cluster(cluster):
        pass


def test_cpus_are_those_of_the_container(tmp_path: Path) -> None:
    allowed = usable_cpus(tmp_path / "absent")
    assert allowed >= 1
    limit = tmp_path / "cpu.max"
    for text, expected in {"100000 100000": 1, "50000 100000": 1, "max 100000": allowed, "rubbish": allowed}.items():
        limit.write_text(text)
        assert usable_cpus(limit) == expected


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
    job = options_for(ClusterConfig())["job_config"]
    assert job._runtime_env_has_working_dir()
    assert job._py_driver_sys_path in ([], [str(Path(cluster_module.__file__).parents[2])])
