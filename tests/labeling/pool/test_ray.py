"""What Ray's private names are used for, and that Ray starts without them."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from ray._private import parameter, services
from ray._private.ray_constants import PROCESS_TYPE_LOG_MONITOR, PROCESS_TYPE_RAYLET

from labeling.pool.ray import light_start, private, raylet_options

PROGRAM = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:]))"


def test_a_raylet_is_told_more_and_nobody_else(tmp_path: Path) -> None:
    def said(process_type: str) -> str:
        out = tmp_path / process_type
        info = services.start_ray_process([sys.executable, "-c", PROGRAM, str(out), "as ever"], process_type, fate_share=False)
        assert info.process.wait(60) == 0
        return out.read_text()

    with raylet_options("--port=1", "--other=2"):
        assert said(PROCESS_TYPE_RAYLET) == "as ever --port=1 --other=2"
        assert said(PROCESS_TYPE_LOG_MONITOR) == "as ever"
    assert said(PROCESS_TYPE_RAYLET) == "as ever"


def test_a_name_that_is_gone_is_none_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    assert private("ray._private.services", "start_ray_process") is services.start_ray_process
    for _ in range(2):
        assert private("ray._private.services", "renamed_in_this_test") is None
        assert private("ray._moved_in_this_test", "Name") is None
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "this Ray has no ray._private.services.renamed_in_this_test", "this Ray has no ray._moved_in_this_test.Name"
    ]


@pytest.mark.parametrize(
    "dotted",
    [
        "parameter.RayParams", "services.start_ray_process", "services.canonicalize_bootstrap_address",
        "services.find_node_ids", "worker._global_node", "worker.print_to_stdstream", "worker.shutdown",
        "ray_constants.PROCESS_TYPE_RAYLET", "ray_constants.PROCESS_TYPE_GCS_SERVER",
    ],
)
def test_the_installed_ray_has_every_private_name(dotted: str) -> None:
    """Of a newer Ray this says which name went, and what `labeling.pool.ray` does without it."""
    module, _, name = dotted.partition(".")
    assert hasattr(importlib.import_module(f"ray._private.{module}"), name)


def test_the_installed_ray_starts_lightly() -> None:
    before = parameter.RayParams
    with light_start():
        assert parameter.RayParams is not before
        assert parameter.RayParams().no_monitor
    assert parameter.RayParams is before
    assert {"Config", "GcsClient"} <= set(vars(importlib.import_module("ray._raylet")))


NAMELESS = """
import os
os.environ["RAY_AUTH_MODE"] = "disabled"    # as a user may say; whose mode is read again needs a private name
from labeling.pool import cluster, ray as names
names.private = lambda module, name: None
cluster.usable_cpus = lambda: 1
from labeling.config import ClusterConfig
from labeling.pool.pulse import pulse_of_ray
import ray
with cluster.open_cluster(ClusterConfig()):
    pulse_of_ray().check()
    print(ray.get(ray.remote(lambda: 6 * 7).remote()))
print(ray.is_initialized())
"""


def test_ray_starts_and_ends_plainly_where_every_private_name_is_gone() -> None:
    done = subprocess.run([sys.executable, "-c", NAMELESS], capture_output=True, text=True, timeout=120)
    assert done.stdout == "42\nFalse\n", done.stderr
