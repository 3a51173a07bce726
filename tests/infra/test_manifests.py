"""Compose file, Dockerfile, KubeRay manifests and S3 policies: what they name is there, and nothing runs as root or open."""

import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.configure import load_config

TOP = Path(__file__).resolve().parents[2]
INFRA = TOP / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
DOCKERFILE = (INFRA / "Dockerfile").read_text()
EXAMPLE = set(re.findall(r"^(\w+)=", (INFRA / "example.env").read_text(), re.MULTILINE))
MANIFESTS = [doc for path in sorted((INFRA / "kuberay").glob("*.yaml")) for doc in yaml.safe_load_all(path.read_text())]


def pods(node: Any) -> list[dict[str, Any]]:
    """Every pod's spec in a manifest."""
    if isinstance(node, dict):
        own = [node] if "containers" in node else []
        return own + [pod for value in node.values() for pod in pods(value)]
    return [pod for value in node for pod in pods(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_is_whole(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["image"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), "a port that others reach"
    assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (INFRA / source).exists(), source
        elif not source.startswith("$"):
            assert source in COMPOSE["volumes"], source


def test_the_parts_that_were_promised_are_there() -> None:
    there = set(COMPOSE["services"])
    assert there >= {"postgres", "prefect", "worker", "s3", "ray-head", "ray-worker", "review", "prometheus", "grafana"}
    assert COMPOSE["services"]["ray-worker"]["deploy"]["replicas"] == 2


def test_compose_takes_from_the_environment_what_the_example_names() -> None:
    named = re.findall(r"\$\{(\w+)(:-)?", (INFRA / "compose.yaml").read_text())
    assert {name for name, default in named if not default} <= EXAMPLE


def test_both_images_are_built_and_neither_runs_as_root() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    final = {stage.split()[2]: stage for stage in stages}
    for target in ("cpu", "cuda"):
        assert re.search(r"^USER labeling$", final[target], re.MULTILINE), target
    assert COMPOSE["x-labeling"]["build"]["target"] == "${LABELING_IMAGE:-cpu}"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: m["kind"])
def test_a_manifest_asks_for_a_token_and_no_root(manifest: dict[str, Any]) -> None:
    found = pods(manifest)
    assert found
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"]
        mounted = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", ())}
        assert mounted <= {volume["name"] for volume in pod.get("volumes", ())}
        assert all(c["image"].startswith("samurai-labeling:") for c in pod["containers"])
    if manifest["kind"] == "Deployment":
        return
    cluster = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == version("ray")
    assert cluster["enableInTreeAutoscaling"]
    (gpus,) = [group for group in cluster["workerGroupSpecs"] if group["groupName"] == "gpu"]
    assert gpus["minReplicas"] <= gpus["replicas"] < gpus["maxReplicas"]
    assert gpus["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_job_s_command_composes() -> None:
    (job,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "RayJob"]
    program, command, *overrides = shlex.split(job["spec"]["entrypoint"])
    assert (program, command) == ("labeling", "run")
    assert load_config(overrides).cluster.name == "ray"


def test_commands_and_paths_of_the_readme_are_there() -> None:
    readme = (INFRA / "README.md").read_text()
    for name in re.findall(r"^\| (`[^-|][^|]*`) \|", readme, re.MULTILINE):
        for path in re.findall(r"`([\w./-]+)`", name):
            assert (INFRA / path).exists(), path
    alerts = set(re.findall(r"alert: (\w+)", (INFRA / "prometheus" / "alerts.yml").read_text()))
    assert set(re.findall(r"`(Labeling\w+)`", readme)) <= alerts
