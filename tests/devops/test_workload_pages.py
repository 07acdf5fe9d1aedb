"""The console's pages of workloads: metrics, diagnosis, and changes that are planned there."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from common.security.principal import Principal
from tests.common.console.console_site import Site, form_token
from tests.support.clusters import real
from tests.support.operations import Served, ask, person, served
from tests.support.prometheus import fake_prometheus

ENGINE = "/console/workloads/production/alert-engine"
OLGA, AMIR = person("olga", "operator"), person("amir", "approver")


@pytest.fixture
async def ops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    async with served(tmp_path) as server:
        yield server


async def browser(server: Served, who: Principal) -> httpx2.AsyncClient:
    """Somebody who is signed in."""
    rights = (sorted(who.roles), sorted(who.groups), who.clearance)
    key = server.runtime.credentials.api_keys.create(who.subject, who.tenant, *rights)[1]
    return await Site(server.runtime, server.asgi).signed_in(key)


async def planned(who: httpx2.AsyncClient, verb: str, **fields: str) -> httpx2.Response:
    """The page of the change, after the form was sent."""
    token = form_token(await who.get(ENGINE), f"{ENGINE}/{verb}")
    answer = await who.post(f"{ENGINE}/{verb}", data={"form_token": token, "kind": "Deployment", **fields})
    return await who.get(answer.headers["location"]) if answer.status_code == 303 else answer


async def test_a_workload_shows_its_metrics_revisions_and_diagnosis(ops: Served) -> None:
    alice = await browser(ops, person())
    overview = (await alice.get("/console/cluster")).text
    assert "/console/workloads?cluster=fern-ams-1&amp;namespace=production" in overview
    assert f'"{ENGINE}?cluster=fern-ams-1"' in overview
    listed = (await alice.get("/console/workloads?namespace=production")).text
    assert "report-worker" in listed and "ingest-replay" not in listed
    shown = (await alice.get(ENGINE)).text
    for text in (
        "Processor, cores. alert-engine-",
        "Memory. alert-engine-",
        "Restarts. ",
        "STORE_CONNECTIONS: 40 -&gt; 60",
    ):
        assert text in shown, text
    assert "(simulated)" in shown and "too many clients" not in shown and "rollback_workload" not in shown
    shown = (await alice.get(f"{ENGINE}?diagnose=on&minutes=360")).text
    assert "too many clients" in shown and "9f2e-simulated" not in shown
    assert 'value="360" selected' in shown


async def test_the_rollback_of_an_incident_is_planned_approved_and_executed_in_the_browser(ops: Served) -> None:
    olga, amir = await browser(ops, OLGA), await browser(ops, AMIR)
    page = await planned(olga, "rollback_workload")
    url = page.url.path
    assert "awaiting approval" in page.text and "Roll Deployment production/alert-engine" in page.text
    digest = (await amir.get(url, headers={"accept": "application/json"})).json()["digest"]
    token = form_token(await amir.get(url), f"{url}/approve")
    assert (await amir.post(f"{url}/approve", data={"form_token": token, "digest": digest})).status_code == 303
    assert "succeeded" in (await olga.get(url)).text


async def test_the_other_forms_plan_what_the_tools_plan(ops: Served) -> None:
    olga = await browser(ops, OLGA)
    image = "registry.fernhill.example/alert-engine:2026.2.2"
    assert "to 2 replicas" in (await planned(olga, "scale_workload", replicas="2")).text
    assert image in (await planned(olga, "set_image", container="alert-engine", image=image)).text
    assert "Restart Deployment" in (await planned(olga, "restart_workload")).text
    for verb, fields in {
        "scale_workload": {"replicas": "-1"},
        "set_image": {"container": "alert-engine", "image": "--help"},
        "rollback_workload": {"revision": "x"},
        "restart_workload": {"kind": "Pod"},
    }.items():
        assert (await planned(olga, verb, **fields)).status_code == 400, verb
    async with ops.client(OLGA) as client:
        assert len((await ask(client, "list_changes"))["items"]) == 3


async def test_who_may_not_use_the_tool_may_not_send_the_form(ops: Served) -> None:
    olga = await browser(ops, OLGA)
    token = form_token(await olga.get(ENGINE), f"{ENGINE}/rollback_workload")
    for who in (person(), AMIR, person("ann", "auditor")):
        visitor = await browser(ops, who)
        assert "rollback_workload" not in (await visitor.get(ENGINE)).text
        assert (await visitor.post(f"{ENGINE}/rollback_workload", data={"form_token": token})).status_code == 403
    assert (await olga.post(f"{ENGINE}/rollback_workload", data={})).status_code == 403
    assert (await olga.post(f"{ENGINE}/restart_workload", data={"form_token": token})).status_code == 403


async def test_what_somebody_may_not_see_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVOPS_NAMESPACE_GROUPS", '{"production": ["sre"], "*": ["engineering"]}')
    async with served(tmp_path) as server:
        alice = await browser(server, person())
        for address in (ENGINE, f"{ENGINE}?diagnose=on", "/console/workloads?namespace=production"):
            found, missing = await alice.get(address), await alice.get(address.replace("production", "nowhere"))
            assert found.status_code == missing.status_code == 404, address
        assert "alert-engine" not in (await alice.get("/console/workloads")).text
        for address in (
            "/console/workloads/a%2fb/x",
            "/console/workloads/--all/x",
            "/console/workloads?namespace=../x",
        ):
            assert (await alice.get(address)).status_code in (400, 404)


async def test_a_prometheus_that_fails_stops_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_prometheus() as fake:
        fake.status = 500
        monkeypatch.setenv("DEVOPS_PROMETHEUS_URL", fake.url)
        async with served(tmp_path) as server:
            shown = (await (await browser(server, person())).get(ENGINE)).text
    assert "Metrics cannot be read" in shown and "STORE_CONNECTIONS" in shown


async def test_without_prometheus_a_real_cluster_says_what_to_set(
    kubernetes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with real(kubernetes_folder) as place:
        await place.deploy("app", 1)
        monkeypatch.setenv("DEVOPS_CLUSTER", "kubeconfig")
        monkeypatch.setenv("DEVOPS_KUBECONFIG", str(kubernetes_folder / "admin.kubeconfig"))
        groups = f'{{"{place.namespace}": ["engineering"], "*": ["nobody"]}}'
        monkeypatch.setenv("DEVOPS_NAMESPACE_GROUPS", groups)
        async with served(tmp_path) as server:
            alice = await browser(server, person())
            overview = (await alice.get("/console/cluster")).text
            assert "no requests are counted" in overview and "DEVOPS_PROMETHEUS_URL" in overview
            shown = await alice.get(f"/console/workloads/{place.namespace}/app")
            assert shown.status_code == 200 and "nothing is known of the past" in shown.text
            async with server.client(person()) as client:
                with pytest.raises(Exception, match="DEVOPS_PROMETHEUS_URL is not set"):
                    await ask(client, "get_metrics", namespace=place.namespace, workload="app", minutes=30)
