"""The alerts and the dashboard: that they do what they say, about metrics that there are."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from service.telemetry import metrics
from tests.e2e.server import ROOT

DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
ALL = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"] for rule in ALL if "alert" in rule}
RECORDS = {rule["record"] for rule in ALL if "record" in rule}
DASHBOARD = json.loads((DEPLOY / "grafana" / "nelumbo.json").read_text())
NAME = re.compile(r"\b(?:job:)?nelumbo_\w+(?::\w+)?")


def exposed() -> set[str]:
    """Return the name of every series that the service exposes, in the text format's spelling."""
    names = set()
    for line in metrics.exposition([("tiny@1", "0", "cpu")]).decode().splitlines():
        if found := re.match(r"# TYPE (nelumbo_\w+) (\w+)", line):
            name, kind = found.groups()
            names |= {name} if kind != "histogram" else {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def asked() -> list[str]:
    """Return every query of the dashboard."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def test_every_metric_that_a_rule_or_the_dashboard_names_is_there() -> None:
    queries = [*(rule["expr"] for rule in ALL), *asked()]
    queries += re.findall(r"query: (.*)", (DEPLOY / "kubernetes/components/keda/scaledobject.yaml").read_text())
    queries += re.findall(r"name: (nelumbo_.*)", (DEPLOY / "kubernetes/base/autoscaler.yaml").read_text())
    named = {name for query in queries for name in NAME.findall(query)}
    assert named <= exposed() | RECORDS
    assert len(named) > 10


def test_the_latency_of_the_slo_is_the_edge_of_a_bucket() -> None:
    (limit,) = re.findall(r"p99_rate5m > (\S+)", "\n".join(rule["expr"] for rule in ALL))
    assert float(limit) in metrics.SECONDS


def test_the_operator_gets_the_same_rules() -> None:
    given = yaml.safe_load((DEPLOY / "kubernetes/components/monitoring/prometheusrule.yaml").read_text())
    assert given["spec"] == RULES


def test_each_alert_is_tested_to_fire_and_not_to() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "rules.test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == ALERTS
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == ALERTS


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool, of Debian's prometheus, runs the alerts' tests")
def test_the_alerts_fire_when_they_should() -> None:
    result = subprocess.run(
        ["promtool", "test", "rules", DEPLOY / "prometheus" / "rules.test.yaml"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
