"""Alerts fire where they should, and they and the dashboard ask for metrics that there are."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.metrics import Metrics
from tests.conftest import require

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "k8s" / "monitoring"
METRIC = re.compile(r"\b(?:fovea|process|http)_[a-z0-9_]+\b")
LABELS = re.compile(r"\{[^}]*\}|\bby \([^)]*\)")


def promtool(*arguments: str | Path) -> None:
    require(shutil.which("promtool") is not None, "promtool (Debian package `prometheus`)")
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [*group["rules"]]


def panels() -> Iterator[tuple[str, str]]:
    """(title, expression) of the dashboard."""
    board = json.loads((MONITORING / "dashboards" / "fovea.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def names_told() -> set[str]:
    """Every series that a service tells, whether it has a value yet or not."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    return {
        family.name + ending
        for family in Metrics().registry.collect()
        for ending in (*endings.get(family.type, ("",)), *(("_total",) if family.name.startswith("process") else ()))
    }


def test_alerts_fire_where_they_should_and_not_beside_it() -> None:
    promtool("test", "rules", "rules_test.yaml")


def test_every_alert_has_a_test_that_makes_it_fire_and_a_paragraph_that_says_what_to_do() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    names = {rule["alert"] for rule in alerts()}
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "operating.md").read_text(), flags=re.MULTILINE))
    assert names == tested
    assert names == headings
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"


def test_the_operators_rule_says_the_same_as_the_plain_file() -> None:
    plain = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    assert yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"] == plain


@pytest.mark.parametrize(("where", "expression"), [*((rule["alert"], rule["expr"]) for rule in alerts()), *panels()])
def test_what_is_asked_for_is_told(where: str, expression: str) -> None:
    asked = set(METRIC.findall(LABELS.sub("", expression)))
    assert asked or "up{" in expression
    assert asked <= names_told(), where


def test_the_dashboard_shows_what_held_answers_save_and_take() -> None:
    shown = {name for _, expression in panels() for name in METRIC.findall(LABELS.sub("", expression))}
    told = {name for name in names_told() if name.startswith(("fovea_result_cache", "fovea_saved", "fovea_resumable"))}
    assert len(told) == 4
    assert told <= shown


def test_no_panel_of_the_dashboard_lies_upon_another() -> None:
    board = json.loads((MONITORING / "dashboards" / "fovea.json").read_text())
    covered = [
        (x, y)
        for at in (panel["gridPos"] for panel in board["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(covered) == len(set(covered))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "1m", expression)}
        for number, (_, expression) in enumerate(panels())
    ]
    assert len(rules) > 20
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


def test_prometheus_reads_the_configuration_of_compose(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker" / "prometheus.yml", tmp_path)
    shutil.copy(MONITORING / "rules.yaml", tmp_path)
    promtool("check", "config", tmp_path / "prometheus.yml")
