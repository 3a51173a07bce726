"""Every query of the dashboards and alerts, put to a Prometheus that has watched a run: which of them have no answer?"""

import json
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
STEP_S = 15


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked and where; an alert that has nothing to say is silent, which is no fault."""

    where: str
    expr: str
    alert: bool


def queries() -> list[Query]:
    """Return what the dashboards and alerts ask."""
    found = []
    for path in sorted((INFRA / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [Query(f"{path.stem}: {panel['title']}", target["expr"], alert=False) for target in panel["targets"]]
    for group in yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())["groups"]:
        found += [Query(f"alert {rule['alert']}", rule["expr"], alert=True) for rule in group["rules"]]
    return found


def metrics_of(expr: str) -> set[str]:
    """Return the metrics that an expression names."""
    return set(re.findall(r"\b(?:labeling|process)_\w+", expr))


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus at `url`, asked about the time from `since` to `until`, in seconds since the epoch."""

    url: str
    since: float
    until: float

    def get(self, path: str, **asked: object) -> Any:
        """Return the answer's `data`; raises urllib.error.HTTPError where the query is refused."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(asked)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def count_series(self, expr: str) -> int:
        """Return how many series answer an expression at some time."""
        return len(self.get("query_range", query=expr, start=self.since, end=self.until, step=STEP_S)["result"])

    def unanswered(self, query: Query) -> str:
        """Say why a query has no answer; nothing where it has one. Of an alert, what it looks at must be there."""
        number = self.count_series(query.expr)
        if not query.alert:
            return "" if number else "no series"
        gone = [name for name in sorted(metrics_of(query.expr)) if not self.count_series(name)]
        return f"nothing is known of {', '.join(gone)}" if gone else ""

    def sick_rules(self) -> list[str]:
        """Return the alerts that Prometheus itself could not work out."""
        rules = [rule for group in self.get("rules")["groups"] for rule in group["rules"]]
        assert rules, "Prometheus has no rules"
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]
