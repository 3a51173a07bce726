"""Prometheus's and Grafana's files, by their own checks where they are installed; which metrics exist, a run's test says."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
BOARDS = sorted((INFRA / "grafana/dashboards").glob("*.json"))

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus")


def run_promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@promtool
def test_prometheus_takes_its_configuration() -> None:
    assert "SUCCESS" in run_promtool("check", "config", INFRA / "prometheus/prometheus.yml")


@promtool
def test_alerts_fire_when_they_should_and_not_before() -> None:
    assert "SUCCESS" in run_promtool("test", "rules", Path(__file__).parent / "alerts_test.yml")


def test_every_alert_is_tried() -> None:
    rules = yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    tried = yaml.safe_load((Path(__file__).parent / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert {rule["alert"] for rule in rules} == fired
    assert all({"summary", "runbook"} == set(rule["annotations"]) for rule in rules)


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_dashboards_are_whole(path: Path, tmp_path: Path) -> None:
    board = json.loads(path.read_text())
    source = yaml.safe_load((INFRA / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert board["uid"] == path.stem
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert panel["title"]
        assert panel["description"]
        assert panel["targets"]
    places = [panel["gridPos"] for panel in panels]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)), "panels lie over each other"
    assert max(x for x, _ in cells) < 24


@promtool
@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_the_queries_of_dashboards_parse(path: Path, tmp_path: Path) -> None:
    asked = [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    rules = [{"record": f"asked:{n}", "expr": expr} for n, expr in enumerate(asked)]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    assert re.search(rf"SUCCESS: {len(asked)} rules", run_promtool("check", "rules", tmp_path / "asked.yml"))
