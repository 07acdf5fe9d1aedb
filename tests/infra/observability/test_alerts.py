"""Rules, dashboard and collector name what exists, and the alerts fire when they should."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from common.settings import CommonSettings
from infra.cli.verticals import load_vertical, server_names
from tests.services.promtool import program_or_skip

FOLDER = Path(__file__).parents[3] / "infra" / "observability"
OPERATIONS = FOLDER.parents[1] / "docs" / "operations.md"
SELECTED = re.compile(r"(triptych_\w+)(?:\{([^}]*)\})?")
GIVEN_BY_PROMETHEUS = {"le", "worker"}


@pytest.fixture(scope="module")
def tool() -> Path:
    return program_or_skip()


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of every metric that a server of the suite has, by the names that Prometheus sees."""
    found: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEVOPS_MODE", "read-write")
        for name in server_names():
            settings = CommonSettings(data_dir=tmp_path_factory.mktemp(name))
            registry = load_vertical(name).build(settings, "http://127.0.0.1:1").runtime.metrics.registry
            found |= dict(named(registry))
    return found


def named(registry: CollectorRegistry) -> Iterator[tuple[str, set[str]]]:
    for name, collector in registry._names_to_collectors.items():
        # What counts by itself says its labels only where it describes itself.
        own = getattr(collector, "_labelnames", None)
        yield name, set(own if own is not None else next(iter(collector.describe()))._labelnames)  # type: ignore[attr-defined]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    return found


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]


def test_every_metric_and_label_that_is_asked_for_exists(labels: dict[str, set[str]]) -> None:
    asked = [(name, inside) for expression in expressions() for name, inside in SELECTED.findall(expression)]
    assert len(asked) > 30
    for name, inside in asked:
        assert name in labels, name
        used = set(re.findall(r"(\w+)\s*=", inside))
        assert used <= labels[name] | GIVEN_BY_PROMETHEUS, (name, used)


def test_every_metric_of_the_suite_is_shown_or_judged(labels: dict[str, set[str]]) -> None:
    asked = {name for expression in expressions() for name, _ in SELECTED.findall(expression)}
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in labels}
    assert families == {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked}


def test_every_alert_has_a_test_and_a_page_of_the_runbook() -> None:
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    tests = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == set(alerts)
    headings = {
        line.lower().lstrip("# ").strip() for line in OPERATIONS.read_text().splitlines() if line.startswith("#")
    }
    for rule in alerts.values():
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == "docs/operations.md" and anchor in headings


def test_the_collector_uses_what_it_defines() -> None:
    config = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text())
    service = config["service"]
    assert set(service["extensions"]) == set(config["extensions"])
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in service["pipelines"].values() for name in pipeline[kind]}
        assert used == set(config[kind])
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")


@pytest.mark.slow
def test_rules_fire_when_they_should_and_only_then(tool: Path) -> None:
    for command in (["check", "config", "prometheus.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run([tool, *command], cwd=FOLDER, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "broken"),
    [("> 0.05 * triptych:calls", "> 0.5 * triptych:calls"), ("6 * triptych", "0 * triptych"), ("< 0.8", "< 0.5")],
)
def test_the_tests_of_the_rules_notice_a_wrong_threshold(tool: Path, tmp_path: Path, rule: str, broken: str) -> None:
    text = (FOLDER / "alerts.yaml").read_text()
    assert rule in text
    (tmp_path / "alerts.yaml").write_text(text.replace(rule, broken))
    shutil.copy(FOLDER / "alerts.test.yaml", tmp_path)
    done = subprocess.run([tool, "test", "rules", "alerts.test.yaml"], cwd=tmp_path, capture_output=True, timeout=300)
    assert done.returncode != 0
