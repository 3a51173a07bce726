"""`infra/prefect.yaml`, read by Prefect's own parser: entrypoints import, and their parameters are what the flows take."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from prefect.cli.deploy._config import _load_deploy_configs_and_actions
from prefect.cli.deploy._schedules import _schedule_config_to_deployment_schedule
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import apply_values
from rich.console import Console

from flows.configure import config_folder, load_config
from flows.deployments import Settings
from labeling.errors import BadConfiguration

TOP = Path(__file__).resolve().parents[2]
FILE = TOP / "infra" / "prefect.yaml"
VARIANTS = {"nightly", "review-apply", "qc", "upkeep", "backfill"}


def example_env() -> dict[str, str]:
    """What `infra/example.env` sets, as a shell reads it."""
    lines = (TOP / "infra" / "example.env").read_text().splitlines()
    words = [word for line in lines for word in shlex.split(line, comments=True)]
    return dict(word.split("=", 1) for word in words)


def deployments() -> list[dict[str, Any]]:
    """Every deployment of the file, filled from the example's environment as `prefect deploy` fills it."""
    found, actions = _load_deploy_configs_and_actions(FILE, console=Console())
    with mock.patch.dict(os.environ, example_env()):
        filled: list[dict[str, Any]] = apply_values(found, {}, remove_notset=False)
    assert "{{" not in repr(filled), "a name in the file is not in infra/example.env"
    assert actions["pull"]
    return filled


def test_every_name_of_the_file_is_in_the_example() -> None:
    named = set(re.findall(r"\{\{ \$(\w+) \}\}", FILE.read_text())) - {"NAME"}
    assert named <= set(example_env())


def test_deployments_are_named_by_environment_and_variant() -> None:
    assert {d["name"] for d in deployments()} == {f"production-{variant}" for variant in VARIANTS}


@pytest.mark.parametrize("deployment", deployments(), ids=lambda d: d["name"])
def test_a_deployment_imports_validates_and_runs_alone(deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP)
    flow: Flow[Any, Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    taken = flow.validate_parameters(deployment["parameters"])
    schema = parameter_schema(flow).model_dump()
    assert set(deployment["parameters"]) <= set(schema["properties"])
    for definition in schema["definitions"].values():
        assert all("type" in told or "enum" in told for told in definition["properties"].values())
    if "settings" in taken:
        config = taken["settings"].load()
        assert config.cluster.name == "ray"
    else:
        config = load_config([f"store.root={taken['store_root']}", *taken["overrides"]])
    assert (config.store.root, config.run.scratch) == ("s3://labels/main", "/scratch")
    limit = deployment["concurrency_limit"]
    assert limit["limit"] == 1
    assert limit["collision_strategy"] in {strategy.value for strategy in ConcurrencyLimitStrategy}
    for told in deployment.get("schedules", ()):
        schedule = _schedule_config_to_deployment_schedule(told)["schedule"]
        assert schedule.timezone == "Europe/Berlin"


def test_settings_choices_are_those_of_the_configuration() -> None:
    properties = Settings.model_json_schema()["properties"]
    for group in ("model", "tracker", "precision", "qc", "cluster"):
        there = {path.stem for path in (config_folder() / group).glob("*.yaml")}
        assert set(properties[group]["enum"]) == there, group


def test_settings_are_checked_as_on_the_command_line() -> None:
    places = {"source_uri": "clips", "prompts_uri": "p.jsonl", "store_root": "labels"}
    assert Settings(**places, overrides=["run.timeout_s=5"]).load().run.timeout_s == 5
    with pytest.raises(BadConfiguration, match=r"run\.timeout_s"):
        Settings(**places, overrides=["run.timeout_s=-1"]).load()
    with pytest.raises(BadConfiguration, match=r"store\.root is not set"):
        Settings(**{**places, "store_root": ""}).load()


def test_every_parameter_is_explained() -> None:
    for deployment in deployments():
        properties = parameter_schema(load_flow_from_entrypoint(deployment["entrypoint"])).properties
        assert all(told.get("description") for told in properties.values()), deployment["name"]
    settings = Settings.model_json_schema()["properties"]
    assert all(told.get("description") for told in settings.values())


@pytest.mark.parametrize("there", [True, False])
def test_deploying_makes_the_pool_where_there_is_none(there: bool, tmp_path: Path) -> None:
    said = tmp_path / "said"
    prefect = tmp_path / "prefect"
    prefect.write_text(f'#!/bin/sh\necho "$@" >> {said}\ncase "$*" in *inspect*) exit {0 if there else 1};; esac\n')
    prefect.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LABELING_POOL": "night"}
    subprocess.run([TOP / "infra" / "deploy.sh"], env=env, cwd=tmp_path, check=True)
    made = [] if there else ["--no-prompt work-pool create night --type process"]
    deployed = "--no-prompt deploy --prefect-file infra/prefect.yaml --all"
    assert said.read_text().splitlines() == ["work-pool inspect night", *made, deployed]
