"""Error budgets: the arithmetic, queries that a real Prometheus evaluates, and who sees whose."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SettingsError
from common.settings import load_settings
from devops.adapters.prometheus import Prometheus
from devops.budget import Objective, budget
from devops.settings import DevopsSettings
from tests.common.console.console_site import Site
from tests.services.prometheus import running_prometheus
from tests.support.operations import Served, served
from tests.support.prometheus import fake_prometheus


def counter(namespace: str, code: str, a_second: float) -> dict[str, object]:
    """A counter that grows by so much in a second."""
    labels = {"namespace": namespace, "pod": f"{namespace}-1", "status": code}
    return {"record": "shop_requests_total", "expr": f"vector(time() * {a_second})", "labels": labels}


RULES: list[dict[str, object]] = [
    {"alert": "Ready", "expr": "vector(1)"},
    *(counter("production", code, rate) for code, rate in {"200": 9.0, "404": 0.98, "503": 0.02}.items()),
    *(counter("load-test", code, rate) for code, rate in {"200": 9.996, "500": 0.004}.items()),
]
METRIC = {"DEVOPS_REQUESTS_METRIC": "shop_requests_total", "DEVOPS_REQUESTS_STATUS_LABEL": "status"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), RULES) as url:
        yield url


async def page(ops: Served, group: str = "engineering", role: str = "user") -> str:
    """The console's page of the cluster."""
    key = ops.runtime.credentials.api_keys.create("alice", "local", [role], [group], "internal")[1]
    browser = await Site(ops.runtime, ops.asgi).signed_in(key)
    answer = await browser.get("/console/cluster")
    assert answer.status_code == 200
    return answer.text


# The arithmetic


@given(st.floats(0.51, 0.9999), st.floats(1, 1e9), st.floats(0, 1))
def test_what_is_left_is_the_share_of_allowed_errors_that_did_not_happen(
    share: float, requests: float, failing: float
) -> None:
    objective = Objective(share, 30)
    found = budget("a", (requests, requests * failing), None, objective)
    assert found.left == pytest.approx(1 - failing / (1 - share), abs=1e-6) and found.burn is None
    assert budget("a", (requests, 0), None, objective).left == 1
    assert budget("a", (requests, requests * (1 - share)), None, objective).left == pytest.approx(0, abs=1e-9)


def test_a_burn_rate_of_one_lasts_for_the_window() -> None:
    objective = Objective(0.999, 30)
    assert budget("a", (1e6, 0), (1000, 1), objective).burn == pytest.approx(1)
    assert budget("a", (1e6, 0), (1000, 10), objective).burn == pytest.approx(10)
    assert budget("a", (1e6, 0), (0, 0), objective).burn is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEVOPS_OBJECTIVE", "1"),
        ("DEVOPS_OBJECTIVE", "99.9"),
        ("DEVOPS_OBJECTIVE_DAYS", "0"),
        ("DEVOPS_REQUESTS_METRIC", 'up{job="x"} or vector(1)'),
        ("DEVOPS_REQUESTS_STATUS_LABEL", 'code="200"'),
    ],
)
def test_settings_that_make_no_objective_stop_the_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings(DevopsSettings)


# What Prometheus makes of the queries


async def counted(url: str, namespaces: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """As soon as two values of each counter are there, which takes Prometheus a few seconds."""
    client = Prometheus(url, None, 10.0, "shop_requests_total", "status")
    try:
        async with asyncio.timeout(60):
            while set(found := await client.counted(namespaces, 3600)) != set(namespaces):
                await asyncio.sleep(0.1)
    finally:
        await client.close()
    return found


async def test_a_real_prometheus_counts_requests_and_errors_of_the_named_namespaces(prometheus: str) -> None:
    found = await counted(prometheus, ["production"])
    requests, failed = found["production"]
    assert failed / requests == pytest.approx(0.002, rel=0.1), "4xx is no error of ours"
    both = await counted(prometheus, ["load-test", "production"])
    assert both["load-test"][1] / both["load-test"][0] == pytest.approx(0.0004, rel=0.1)


async def test_the_page_shows_budgets_of_the_namespaces_that_somebody_sees(
    prometheus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await counted(prometheus, ["load-test", "production"])
    groups = '{"load-test": ["qa"], "production": ["engineering"], "*": ["nobody"]}'
    for name, value in {**METRIC, "DEVOPS_PROMETHEUS_URL": prometheus, "DEVOPS_NAMESPACE_GROUPS": groups}.items():
        monkeypatch.setenv(name, value)
    async with served(tmp_path) as ops:
        engineer, tester = await page(ops), await page(ops, "qa")
    assert "99.9 % of requests succeed, over 30 days" in engineer
    # Prometheus guesses what was counted before its first look and after its last one.
    [(overspent, burn)] = set(re.findall(r"overspent by (\d+) %, burns at ([\d.]+)", engineer))
    assert int(overspent) == pytest.approx(100, abs=8) and float(burn) == pytest.approx(2, abs=0.2)
    [(left, slow)] = set(re.findall(r"(\d+) % left, burns at ([\d.]+)", tester))
    assert int(left) == pytest.approx(60, abs=4) and float(slow) == pytest.approx(0.4, abs=0.04)
    assert " left, burns" not in engineer and "overspent" not in tester


async def test_without_the_counter_the_page_says_which_setting_names_it(
    prometheus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVOPS_PROMETHEUS_URL", prometheus)
    async with served(tmp_path) as ops:
        shown = await page(ops)
    assert "has no <code>http_requests_total</code>" in shown and "DEVOPS_REQUESTS_METRIC" in shown


async def test_a_prometheus_that_fails_stops_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_prometheus() as fake:
        monkeypatch.setenv("DEVOPS_PROMETHEUS_URL", fake.url)
        async with served(tmp_path) as ops:
            shown = await page(ops)
    assert "Requests cannot be counted" in shown and "Health by namespace" in shown


async def test_the_simulated_cluster_has_budgets_and_says_that_it_is_simulated(tmp_path: Path) -> None:
    async with served(tmp_path) as ops:
        shown = await page(ops)
        assert "fern-ams-1 (simulated)" in shown and "Error budget" in shown
        assert shown.count(" % left, burns at ") >= 2
        again = await page(ops)
    assert again.split("Error budget")[1].split("Restarts")[0] == shown.split("Error budget")[1].split("Restarts")[0]
