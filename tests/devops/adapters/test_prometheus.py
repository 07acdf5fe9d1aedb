"""History from Prometheus: queries are made here from names, and its failures are told."""

from pathlib import Path

import pytest

from tests.support.operations import PRODUCTION, ask, person, served
from tests.support.prometheus import fake_prometheus

CALL = {"namespace": PRODUCTION, "workload": "report-worker", "metric": "cpu", "minutes": 30}


async def test_history_of_the_pods_that_a_workload_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_prometheus() as prometheus:
        monkeypatch.setenv("DEVOPS_PROMETHEUS_URL", prometheus.url)
        monkeypatch.setenv("DEVOPS_PROMETHEUS_TOKEN", "reader-token")
        values = [[1_795_000_000, "0.25"], [1_795_000_030, "0.5"]]
        prometheus.result = [{"metric": {"pod": "report-worker-1"}, "values": values}]
        async with served(tmp_path) as ops, ops.client(person()) as alice:
            answer = await ask(alice, "get_metrics", **CALL)
            [series] = answer["history"]
            assert [point["value"] for point in series["points"]] == [0.25, 0.5]
            [asked] = prometheus.asked
            assert asked["query"].count("report-worker-") == 3 and f'namespace="{PRODUCTION}"' in asked["query"]
            assert float(asked["end"]) - float(asked["start"]) == 1800 and asked["step"] == "30"
            assert prometheus.tokens == ["Bearer reader-token"]
            steps = [(step.layer, step.name) for step in ops.runtime.traces.last("local", 1)[0].steps]
            assert ("upstream", "Prometheus POST") in steps and ("cluster", "list pods, simulated") in steps
            with pytest.raises(Exception, match="Name a workload"):
                await ask(alice, "get_metrics", namespace=PRODUCTION, minutes=30)


@pytest.mark.parametrize(("status", "body"), [(500, "{}"), (200, "not json"), (302, "")])
async def test_its_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: str) -> None:
    async with fake_prometheus() as prometheus:
        prometheus.status, prometheus.body = status, body
        monkeypatch.setenv("DEVOPS_PROMETHEUS_URL", prometheus.url)
        async with served(tmp_path) as ops, ops.client(person()) as alice:
            with pytest.raises(Exception, match="Prometheus (answered|gave).* Ask without `minutes`"):
                await ask(alice, "get_metrics", **CALL)
    monkeypatch.setenv("DEVOPS_PROMETHEUS_URL", prometheus.url)
    async with served(tmp_path) as ops, ops.client(person()) as alice:
        with pytest.raises(Exception, match="Prometheus cannot be reached.* Ask without `minutes`"):
            await ask(alice, "get_metrics", **CALL)
